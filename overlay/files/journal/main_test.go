package journal

import (
	"testing"

	"quicpeer/internal/properties"
)

func TestMain(m *testing.M) {
	properties.Fix()
	m.Run()
}
