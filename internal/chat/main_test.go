package chat

import (
	"testing"

	"go.uber.org/goleak"

	"quicpeer/internal/properties"
)

// TestMain fails if a goroutine is left over.
func TestMain(m *testing.M) {
	properties.Fix()
	goleak.VerifyTestMain(m)
}
