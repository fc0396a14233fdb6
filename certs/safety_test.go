package certs

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The numbers were computed by another program.
func TestSafetyNumber(t *testing.T) {
	var zero, ones, rising, full PublicKey
	for i := range ones {
		ones[i], rising[i], full[i] = 1, byte(i), 255
	}
	for _, test := range []struct {
		one, other PublicKey
		want       string
	}{
		{zero, ones, "36690 85332 62376 25009 37407 18126 90065 10035 03980 63284 48565 52618"},
		{full, rising, "25755 93841 13265 30429 23507 35074 28618 58790 10953 95550 50748 90133"},
	} {
		if got := SafetyNumber(test.one, test.other); got != test.want {
			t.Errorf("got %s, not %s", got, test.want)
		}
	}
}

// Both sides see the same, every other pair sees another number, and a bit of either key changes
// its half and no other.
func TestSafetyNumberTellsKeysApart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for range 30 {
		var keys [2]PublicKey
		for i := range keys {
			for j := range keys[i] {
				keys[i][j] = byte(random.Uint32())
			}
		}
		if keys[0][0] > keys[1][0] {
			keys[0], keys[1] = keys[1], keys[0]
		}
		keys[1][0] |= 1 // so that the first stays the smaller one
		keys[0][0] &^= 1
		number := SafetyNumber(keys[0], keys[1])
		if number != SafetyNumber(keys[1], keys[0]) {
			t.Errorf("%s looks different from the other side", number)
		}
		for i, half := range []string{number[:len(number)/2], number[len(number)/2+1:]} {
			if seen[half] {
				t.Errorf("%s stands for two keys", half)
			}
			seen[half] = true
			other := keys
			other[i][1+random.IntN(31)] ^= 1 << random.IntN(8)
			changed := SafetyNumber(other[0], other[1])
			halves := []string{changed[:len(changed)/2], changed[len(changed)/2+1:]}
			if halves[i] == half || !strings.Contains(changed, []string{number[:len(number)/2], number[len(number)/2+1:]}[1-i]) {
				t.Errorf("another bit of key %d makes %s of %s", i, changed, number)
			}
		}
	}
}
