package overlay

import (
	"strings"
	"testing"
)

// long begins a test of hours in a bubble, or of many megabytes, whose concurrency shorter
// tests also show to the race detector: with it the test would take a minute, without it a few
// seconds. `make test` runs the tests whose names begin with TestLong a second time, without
// the detector, and so in full.
func long(t *testing.T) {
	if !strings.HasPrefix(t.Name(), "TestLong") {
		t.Fatal("make test does not find it: its name is to begin with TestLong")
	}
	if raceDetector {
		t.Skip("takes a minute with the race detector: make test runs it without")
	}
}
