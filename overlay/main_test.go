package overlay

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if the tests outside of bubbles leave a goroutine behind; inside,
// testing/synctest checks that.
//
// With the race detector Go code runs on one processor at a time: the timers of a bubble share
// one context of the race detector, and two goroutines that handle timers at the same moment
// make it crash ("ThreadSanitizer: CHECK failed", https://go.dev/issue/78156, seen with Go
// 1.26). Races are found all the same: the detector judges by the happens-before order.
func TestMain(m *testing.M) {
	if raceDetector {
		runtime.GOMAXPROCS(1)
	}
	goleak.VerifyTestMain(m)
}
