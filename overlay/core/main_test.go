package core

import (
	"flag"
	"testing"
)

// TestMain makes rapid draw the same each time, so that a failure comes from the change at hand
// and not from chance; make fuzz draws anew. With the race detector a tenth is enough. Nor does
// rapid leave a file in testdata for a failure: it prints the seed that repeats it.
func TestMain(m *testing.M) {
	rapid := map[string]string{"rapid.nofailfile": "true", "rapid.seed": "1"}
	if Race {
		rapid["rapid.checks"] = "10"
	}
	for name, value := range rapid {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	m.Run()
}
