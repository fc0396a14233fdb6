package overlay

import (
	"strings"
	"testing"
)

// `make test` runs the tests whose names begin with TestLong a second time without the race
// detector, where they take a tenth of the time. With it they show it an example: fewer seeds,
// rounds or cases.

// long begins a test that has no part of that size, of hours in a bubble or of many megabytes,
// and whose concurrency shorter tests also show to the race detector.
func long(t *testing.T) {
	if !strings.HasPrefix(t.Name(), "TestLong") {
		t.Fatal("make test does not find it: its name is to begin with TestLong")
	}
	if raceDetector {
		t.Skip("takes a minute with the race detector: make test runs it without")
	}
}

// enough is how many of all seeds or rounds a test takes: with the race detector, or -short, an example.
func enough(all, example int) int {
	if testing.Short() || raceDetector {
		return example
	}
	return all
}
