package overlay

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left by the tests outside of bubbles; inside,
// testing/synctest sees to it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
