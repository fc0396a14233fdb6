package chat

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has rapid draw the same each time; make fuzz draws anew. It fails if a
// goroutine is left over.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
