package core

import (
	"flag"
	"testing"

	"quicpeer/internal/properties"
)

// TestMain has a tenth of the properties' checks suffice with the race detector.
func TestMain(m *testing.M) {
	properties.Fix()
	if Race {
		if err := flag.Set("rapid.checks", "10"); err != nil {
			panic(err)
		}
	}
	m.Run()
}
