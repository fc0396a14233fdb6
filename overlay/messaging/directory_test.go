package messaging

import (
	"fmt"
	"testing"

	"quicpeer/certs"
)

// When nearly all peers that were met are here, the search for one to forget does not look at
// all of them.
func TestForgettingTheMetLooksAtFew(t *testing.T) {
	d := &Directory{met: map[certs.ID]Contact{}, present: map[certs.ID]presence{}}
	d.met["gone"] = Contact{}
	if id, ok := d.forgettable(); !ok || id != "gone" {
		t.Errorf("found %q, %v", id, ok)
	}
	for i := range maxMet {
		id := certs.ID(fmt.Sprint("p", i))
		d.met[id], d.present[id] = Contact{}, presence{}
	}
	const tries = 1000
	found := 0
	for range tries {
		if _, ok := d.forgettable(); ok {
			found++
		}
	}
	if found > tries/2 { // by chance in 4 of these
		t.Errorf("in %d of %d tries all were looked at", found, tries)
	}
}
