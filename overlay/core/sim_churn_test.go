package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// TestSimChurn lets peers come, go, crash, restart and freeze in networks of all shapes. No
// living peer may be shown as lost at any time.
func TestSimChurn(t *testing.T) {
	eachSeed(t, 200, 20, func(t *testing.T, seed uint64) { churn(t, seed) })
}

// TestSimRepeats: the same seed gives the same trace.
func TestSimRepeats(t *testing.T) {
	eachSeed(t, 5, 2, func(t *testing.T, seed uint64) {
		first, second := churn(t, seed), churn(t, seed)
		if a, b := first.Trace, second.Trace; a != b {
			t.Fatalf("two runs of seed %d differ: %x and %x", seed, a, b)
		}
	})
}

// churnSize draws a size: many small networks, some large.
func churnSize(w *world, s shape) int {
	most := min(s.widest(), 10)
	switch w.Rand.IntN(16) {
	case 0:
		most = s.widest()
	case 1, 2:
		most = min(s.widest(), 24)
	}
	return 5 + w.Rand.IntN(most-4)
}

func churn(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed, 0)
	s := shape(w.Rand.IntN(int(shapes)))
	n := churnSize(w, s) - 2
	for i := range n + 2 { // two that join later
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.Loss = []float64{0, 0, 0.01, 0.05}[w.Rand.IntN(4)]
	if s == shapeLine || s == shapeRing {
		w.Loss /= 5 // many links in a row are as bad
	}
	w.NoResets = w.Rand.IntN(2) != 0
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.Loss))
	w.build(n, w.Between(0, 3*time.Second))
	for range 3 + w.Rand.IntN(6) {
		w.something(s == shapeFull)
		if s == shapeFull && w.Rand.IntN(2) == 0 {
			w.Run(w.Between(0, 3*time.Second))
		} else {
			w.Run(w.Between(0, 15*time.Second))
		}
	}
	w.settle(30 * time.Second)
	w.Run(5 * time.Second) // what is under way
	if s != shapeFull {
		w.Run(150 * time.Second) // those who can't reach each other find that out
	}
	w.settle(10 * time.Second)
	w.checkQuiet()
	w.checkEvents()
	w.checkBroadcasts()
	return w
}

// something lets one thing of a network's life happen.
func (w *world) something(full bool) {
	living := w.Living()
	p := living[w.Rand.IntN(len(living))]
	if !p.IsReady {
		return
	}
	switch w.Rand.IntN(8) {
	case 0, 1:
		w.broadcast(p, fmt.Sprintf("at %v", w.Now))
	case 2:
		if w.spare(p, full) {
			p.Crash()
			if !full { // who else has a link to it must not go before it is missed
				w.Run(12 * time.Second)
			}
		}
	case 3:
		if w.spare(p, full) {
			if w.Rand.IntN(2) == 0 {
				w.broadcast(p, "goodbye") // as a pipe of one line does
			}
			p.Leave()
		}
	case 4:
		if w.spare(p, full) {
			p.Crash()
			w.At(w.Now+w.Between(10*time.Millisecond, 5*time.Second), func() { p.Machine.Rejoin() })
			if !full {
				w.Run(12 * time.Second)
			}
		}
	case 5:
		// One failed dial is enough to lose a peer while another has just died, and a stopped
		// process can't refute. In networks where some can't reach it, it must always be able to.
		if full {
			p.Freeze(w.Between(10*time.Millisecond, core.QuietAfter-pb.KeepaliveEvery-100*time.Millisecond))
		}
	default:
		for _, i := range w.Rand.Perm(len(w.Machines)) {
			if n := w.Machines[i]; n.Process == nil && (len(n.Runs) == 0 || w.Now > n.Runs[len(n.Runs)-1].Stopped+2*time.Second) {
				n.Rejoin()
				return
			}
		}
	}
}

// spare reports whether the others stay one network without p, and waits a while for the links
// that make it so.
func (w *world) spare(p *process, full bool) bool {
	if len(w.Living()) < 3 || !w.connected(p, false) {
		return false
	}
	if full {
		return true
	}
	_, ok := w.runUntil(120*time.Second, func() bool { return w.connected(p, true) })
	if !ok && !p.Dead && w.connected(p, false) {
		w.fatal("the network hangs on %s, though there are other ways", p.ID)
	}
	return ok && !p.Dead && p.Process == p && !p.Leaving
}
