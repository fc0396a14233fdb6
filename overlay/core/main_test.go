package core

import (
	"flag"
	"testing"
)

// TestMain keeps rapid from leaving a file in testdata for each failure: it prints the
// seed by which a failure repeats.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	m.Run()
}
