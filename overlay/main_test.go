package overlay

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left by the tests outside of bubbles; inside,
// testing/synctest sees to it.
//
// With the race detector Go code runs on one processor at a time: the timers of a bubble share one context of
// the race detector, and two goroutines that come upon timers at the same moment make it
// crash ("ThreadSanitizer: CHECK failed", https://go.dev/issue/78156, seen with Go 1.26).
// A race is found all the same: the detector goes by what happens before what.
func TestMain(m *testing.M) {
	if raceDetector {
		runtime.GOMAXPROCS(1)
	}
	goleak.VerifyTestMain(m)
}
