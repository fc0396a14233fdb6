package core

import (
	"slices"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
)

// TestViaOfNewcomers: every peer that a newcomer's flood has reached knows the route to it,
// including those that it passed first: when the link over which it came breaks, the other route
// is taken.
func TestViaOfNewcomers(t *testing.T) {
	w := newWire(t)
	w.network(4)
	for i := range 4 {
		w.connect(w.peers[i], w.peers[(i+1)%4])
	}
	w.pass(4 * table.RouteEvery)
	newcomer := w.add(4, func(c *base.Config) { c.Join = []string{"0"} })
	check := func(distances [4]uint8, vias [4][]certs.ID) {
		t.Helper()
		w.pass((table.NoWay + 2) * table.RouteEvery)
		for i, p := range w.peers[:4] {
			e := p.c.table.Owner(newcomer.id, w.now)
			if via, d := p.c.links.Via(e), p.c.links.Distance(e); d != distances[i] || !slices.Contains(vias[i], via) {
				t.Errorf("from %s it is %d links away, via %q", p.id, d, via)
			}
		}
	}
	w.answer(newcomer, w.peers[0], newcomer.c.reach.LastDial)
	check([4]uint8{1, 2, 3, 2}, [4][]certs.ID{{""}, {"p0"}, {"p1", "p3"}, {"p0"}})
	w.connect(w.peers[2], newcomer)
	check([4]uint8{1, 2, 1, 2}, [4][]certs.ID{{""}, {"p0", "p2"}, {""}, {"p0", "p2"}})
	w.disconnect(w.peers[0], newcomer)
	check([4]uint8{3, 2, 1, 2}, [4][]certs.ID{{"p1", "p3"}, {"p2"}, {""}, {"p2"}})
}
