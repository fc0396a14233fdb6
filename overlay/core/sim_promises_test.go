package core

import (
	"testing"
	"time"
)

// TestSimDependants has one peer that all can reach, and thirty that can reach
// nobody else: all are in every table, above the usual number of neighbours, and
// somebody who crashes is missed by all.
func TestSimDependants(t *testing.T) {
	eachSeed(t, 10, 3, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 31)
		w.take(shapeStar)
		w.loss = float64(seed%3) / 50
		w.build(len(w.nodes), 2*time.Second)
		w.run(time.Minute)
		w.settle(time.Second)
		hub := w.nodes[0].process.core
		if n := hub.links.neighbours() - hub.links.dependants(); n > maxNeighbours || hub.links.dependants() == 0 {
			w.fatal("the hub has %d neighbours and %d dependants", n, hub.links.dependants())
		}
		w.living()[7].broadcast("to all")
		w.run(2 * time.Second)
		w.nodes[20].process.crash()
		w.settle(10 * time.Second)
		w.checkBroadcasts()
	})
}

// TestSimLongCut cuts a network in half for an hour: when it is whole again, all
// tables are right within the three seconds that are promised, and nothing was
// done by hand. One seed shows that time makes no difference; after two minutes, in
// which the others end, all pauses between dials are as long as they get.
func TestSimLongCut(t *testing.T) {
	eachSeed(t, 10, 2, func(t *testing.T, seed uint64) {
		n := 4 + int(seed*8%29)
		w := newWorld(t, seed, n)
		w.strict = false
		w.build(n, time.Second)
		w.run(10 * time.Second)
		w.split(func(i int) int { return i % 2 })
		if seed == 2 {
			w.run(time.Hour)
		} else {
			w.run(2 * time.Minute)
		}
		for _, p := range w.living() {
			if len(p.there) != (n+1-p.node.index%2)/2-1 {
				w.fatal("%s has %d others on its side", p.node.id, len(p.there))
			}
		}
		w.heal()
		t.Logf("%d peers: right %v after the heal", n, w.settle(3*time.Second))
	})
}
