package core

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run the simulations with this seed only")
	simSeeds = flag.Int("sim.seeds", 0, "run each simulation with so many seeds")
)

// eachSeed runs a simulation with many seeds, or the one asked for.
func eachSeed(t *testing.T, seeds, short int, simulate func(t *testing.T, seed uint64)) {
	first, count := uint64(1), seeds
	if testing.Short() {
		count = short
	}
	if Race {
		count = 1
	}
	if *simSeeds != 0 {
		count = *simSeeds
	}
	if *simSeed != 0 {
		first, count = *simSeed, 1
	}
	for i := range count {
		seed := first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed)
		})
	}
}

// TestSimChurn lets peers come, go, crash, restart and freeze in networks of
// all shapes. At no time may somebody who is there be shown as lost.
func TestSimChurn(t *testing.T) {
	eachSeed(t, 200, 20, func(t *testing.T, seed uint64) { churn(t, seed) })
}

// TestSimRepeats: the same seed gives the same trace.
func TestSimRepeats(t *testing.T) {
	eachSeed(t, 5, 2, func(t *testing.T, seed uint64) {
		first, second := churn(t, seed), churn(t, seed)
		if a, b := first.trace.Sum64(), second.trace.Sum64(); a != b {
			t.Fatalf("two runs of seed %d differ: %x and %x", seed, a, b)
		}
	})
}

// churnSize draws a size: many small networks, some large.
func churnSize(w *world, s shape) int {
	most := min(s.widest(), 10)
	switch w.rng.IntN(16) {
	case 0:
		most = s.widest()
	case 1, 2:
		most = min(s.widest(), 24)
	}
	return 5 + w.rng.IntN(most-4)
}

func churn(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed, 0)
	s := shape(w.rng.IntN(int(shapes)))
	n := churnSize(w, s) - 2
	for i := range n + 2 { // two that join later
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.loss = []float64{0, 0, 0.01, 0.05}[w.rng.IntN(4)]
	if s == shapeLine || s == shapeRing {
		w.loss /= 5 // many links in a row are as bad
	}
	w.resets = w.rng.IntN(2) == 0
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.loss))
	w.build(n, w.between(0, 3*time.Second))
	for range 3 + w.rng.IntN(6) {
		w.something(s == shapeFull)
		if s == shapeFull && w.rng.IntN(2) == 0 {
			w.run(w.between(0, 3*time.Second))
		} else {
			w.run(w.between(0, 15*time.Second))
		}
	}
	w.settle(30 * time.Second)
	w.run(5 * time.Second) // what is under way
	if s != shapeFull {
		w.run(150 * time.Second) // those who can't reach each other find that out
	}
	w.settle(10 * time.Second)
	w.checkQuiet()
	w.checkEvents()
	w.checkBroadcasts()
	return w
}

// something does one thing of a network's life.
func (w *world) something(full bool) {
	living := w.living()
	p := living[w.rng.IntN(len(living))]
	if !p.isReady {
		return
	}
	switch w.rng.IntN(8) {
	case 0, 1:
		p.broadcast(fmt.Sprintf("at %v", w.now))
	case 2:
		if w.spare(p, full) {
			p.crash()
			if !full { // who else has a link to it must not go before it is missed
				w.run(12 * time.Second)
			}
		}
	case 3:
		if w.spare(p, full) {
			if w.rng.IntN(2) == 0 {
				p.broadcast("goodbye") // as a pipe of one line does
			}
			p.leave()
		}
	case 4:
		if w.spare(p, full) {
			p.crash()
			w.at(w.now+w.between(10*time.Millisecond, 5*time.Second), func() { p.node.rejoin() })
			if !full {
				w.run(12 * time.Second)
			}
		}
	case 5:
		// One failed dial is enough while somebody else has just died, and a stopped
		// process can't refute. Where some can't reach it, it must always be able to.
		if full {
			p.freeze(w.between(10*time.Millisecond, quietAfter-simKeepalive-100*time.Millisecond))
		}
	default:
		for _, i := range w.rng.Perm(len(w.nodes)) {
			if n := w.nodes[i]; n.process == nil && (len(n.runs) == 0 || w.now > n.runs[len(n.runs)-1].stopped+2*time.Second) {
				n.rejoin()
				return
			}
		}
	}
}

// rejoin starts a machine again if there is a door for it.
func (n *node) rejoin() {
	if doors := n.doors(); n.process == nil && len(doors) > 0 {
		n.start(doors...)
	}
}

// spare says that the others stay one network without p, and waits a while for
// the links that make it so.
func (w *world) spare(p *process, full bool) bool {
	if len(w.living()) < 3 || !w.connected(p, false) {
		return false
	}
	if full {
		return true
	}
	_, ok := w.runUntil(120*time.Second, func() bool { return w.connected(p, true) })
	if !ok && !p.dead && w.connected(p, false) {
		w.fatal("the network hangs on %s, though there are other ways", p.node.id)
	}
	return ok && !p.dead && p.node.process == p && !p.leaving
}
