package core_test

import (
	"testing"
	"time"
)

// TestSimCrowd lets many peers join through one door at the same instant. That
// nobody has too many neighbours is checked at each tick.
func TestSimCrowd(t *testing.T) {
	eachSeed(t, 6, 1, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 30+5*int(seed%6))
		door := w.Machines[0].Start()
		w.Run(time.Second)
		w.At(w.Now, func() { w.broadcast(door, "before") })
		for _, n := range w.Machines[1:] {
			w.At(w.Now+w.Between(0, 20*time.Millisecond), func() { n.Start(door.Address) })
		}
		w.Run(time.Second)
		w.broadcast(w.Living()[1], "while they come")
		w.settle(5 * time.Second)
		w.Run(time.Minute) // until nobody seeks more neighbours than it needs
		for _, p := range w.Living() {
			if n := len(p.Core.Neighbours()); n < 3 {
				w.fatal("%s has %d neighbours", p.ID, n)
			}
		}
		w.broadcast(w.Living()[3], "when they are here")
		w.Run(2 * time.Second)
		w.checkQuiet()
		w.checkEvents()
		w.checkBroadcasts()
	})
}
