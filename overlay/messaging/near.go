package messaging

import (
	"cmp"
	"slices"

	"quicpeer/certs"
	"quicpeer/internal/nearest"
)

// Hints about a message to an ID that never existed: such a peer may be yet to come, but as a
// rule the ID was mistyped.

const noSuchPeer = "no peer of that name is known"

// maxNear is how many IDs are compared to find one that is similar (a guess: some 20 ms of the
// sending goroutine, and 1 ms in which others wait for the lock).
const maxNear = 16384

// guess caches the result for an ID that was not met, so that many messages to it are not as
// many searches.
type guess struct {
	to  certs.ID
	met int // how many peers were known then
	why string
}

// whyAway is why a message to an absent peer waits; empty if the peer is here.
func (d *Directory) whyAway(to certs.ID) string {
	d.mu.Lock()
	_, present := d.present[to]
	c, here := d.forWhom(to)
	known := c.Key != certs.PublicKey{}
	g := guess{to, len(d.met), noSuchPeer}
	if known || d.guess.to == g.to && d.guess.met == g.met {
		defer d.mu.Unlock()
		switch {
		case here:
			return ""
		case present:
			return hasAnotherKey(to)
		case known:
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

// metNames lists the IDs that were met. d.mu is held.
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

// nearestName is the ID that may have been meant; empty if none is similar. Among equals a
// peer that is here comes first, then the alphabet decides.
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
