package lines

import (
	"strings"
	"testing"
)

func TestBeginning(t *testing.T) {
	x := strings.Repeat("x", 198)
	for in, want := range map[string]string{
		"":          "",
		x + "ab":    x + "ab",
		x + "abc":   x + "ab",
		x + "aé":    x + "a",
		x + "é!":    x + "é",
		x + "€":     x,
		"a\xffb":    "a\uFFFDb",
		x + "\xff":  x,
		x + "a\xff": x + "a",
	} {
		if got := Beginning([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
