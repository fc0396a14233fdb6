package lines

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left over. The tests run on one processor: more can crash the
// race detector in bubbles with timers (https://go.dev/issue/78156, seen with Go 1.26).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}
