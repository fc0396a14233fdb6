package core

import (
	"testing"
	"time"
)

// TestSimCrowd lets many peers join through one door at the same instant. That
// nobody has too many neighbours is checked at each tick.
func TestSimCrowd(t *testing.T) {
	eachSeed(t, 6, 1, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 30+5*int(seed%6))
		door := w.nodes[0].start()
		w.run(time.Second)
		w.at(w.now, func() { door.broadcast("before") })
		for _, n := range w.nodes[1:] {
			w.at(w.now+w.between(0, 20*time.Millisecond), func() { n.start(door.node.address) })
		}
		w.run(time.Second)
		w.living()[1].broadcast("while they come")
		w.settle(5 * time.Second)
		w.run(time.Minute) // until nobody seeks more neighbours than it needs
		for _, p := range w.living() {
			if n := p.core.links.neighbours(); n < 3 {
				w.fatal("%s has %d neighbours", p.node.id, n)
			}
		}
		w.living()[3].broadcast("when they are here")
		w.run(2 * time.Second)
		w.checkQuiet()
		w.checkEvents()
		w.checkBroadcasts()
	})
}
