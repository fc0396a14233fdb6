// Package properties is for tests that check properties with pgregory.net/rapid.
package properties

import (
	"flag"

	_ "pgregory.net/rapid" // which has the flags
)

// Fix makes rapid draw the same each time, so that a failure comes from the change at hand and not
// from chance, and leave no file in testdata: it prints the seed that repeats a failure. It is
// called by TestMain before the flags are parsed, which may say otherwise; make fuzz draws anew.
func Fix() {
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.seed": "1"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}
