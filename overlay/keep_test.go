package overlay

import (
	"fmt"
	"testing"

	"quicpeer/certs"
)

// Where nearly all who were met are here, whom to forget is not looked for among all.
func TestForgettingTheMetLooksAtFew(t *testing.T) {
	n := &Node{known: map[certs.ID]known{}, present: map[certs.ID]certs.PublicKey{}}
	n.known["gone"] = known{}
	if id, ok := n.forgettable(); !ok || id != "gone" {
		t.Errorf("found %q, %v", id, ok)
	}
	for i := range maxKnown {
		id := certs.ID(fmt.Sprint("p", i))
		n.known[id], n.present[id] = known{}, certs.PublicKey{}
	}
	const tries = 1000
	found := 0
	for range tries {
		if _, ok := n.forgettable(); ok {
			found++
		}
	}
	if found > tries/2 { // by chance in 4 of these
		t.Errorf("in %d of %d tries all were looked at", found, tries)
	}
}
