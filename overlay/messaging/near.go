package messaging

import (
	"cmp"
	"slices"

	"quicpeer/certs"
	"quicpeer/internal/nearest"
)

// What is said of a message to an ID that nobody has and nobody had: such a peer may be
// yet to come, but as a rule it was mistyped.

const noSuchPeer = "no peer of that name is known"

// maxNear is how many IDs are looked at for one that is like another (a guess: some 20 ms
// of whoever sends, and 1 ms in which others wait for the lock).
const maxNear = 16384

// guess is what was found for an ID that was not met, so that many messages to it are not
// as many searches.
type guess struct {
	to  certs.ID
	met int // how many peers were known then
	why string
}

// whyAway is why a message to somebody who is not here waits; empty for who is here.
func (d *Directory) whyAway(to certs.ID) string {
	d.mu.Lock()
	_, here := d.present[to]
	_, met := d.met[to]
	g := guess{to, len(d.met), noSuchPeer}
	if here || met || d.guess.to == g.to && d.guess.met == g.met {
		defer d.mu.Unlock()
		switch {
		case here:
			return ""
		case met:
			return notHere
		}
		return d.guess.why
	}
	names := d.metNames()
	d.mu.Unlock()
	if near := nearestName(to, names); near != "" {
		g.why += "; did you mean " + near + "?"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guess = g
	return g.why
}

// name is an ID that was met.
type name struct {
	id   string
	here bool
}

// metNames are the IDs that were met. d.mu is held.
func (d *Directory) metNames() []name {
	list := make([]name, 0, min(len(d.met), maxNear))
	for id := range d.met {
		if len(list) == maxNear {
			break
		}
		_, here := d.present[id]
		list = append(list, name{string(id), here})
	}
	return list
}

// nearestName is the name that may have been meant; empty if none is like it. Of equals
// one who is here is preferred, then the first by the alphabet.
func nearestName(to certs.ID, names []name) string {
	slices.SortFunc(names, func(a, b name) int {
		switch {
		case a.here == b.here:
			return cmp.Compare(a.id, b.id)
		case a.here:
			return -1
		}
		return 1
	})
	ids := make([]string, len(names))
	for i, n := range names {
		ids[i] = n.id
	}
	return nearest.To(string(to), ids)
}
