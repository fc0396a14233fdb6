package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core"
)

// healedWithin is how long a cut network may take until it is right everywhere: a lost peer is
// redialled at least every MaxBackoff.
const healedWithin = core.LostBackoff + 2*core.HealEvery + core.DialTimeout + 15*time.Second

// TestSimPartition cuts networks into pieces for a while and heals them.
func TestSimPartition(t *testing.T) {
	eachSeed(t, 30, 6, partition)
}

func partition(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := shape(w.Rand.IntN(int(shapes)))
	n := 2 + w.Rand.IntN(min(s.widest(), 10)-1)
	if seed%10 == 0 {
		s, n = shapeFull, 30
	}
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.Loss = float64(seed%2) / 50
	w.strict = false
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.Loss))
	w.build(n, time.Second)
	w.Run(w.Between(0, 30*time.Second))
	for _, p := range w.Living() {
		w.diary(p).jumpy = true
	}
	for range 1 + w.Rand.IntN(2) {
		groups := 2 + w.Rand.IntN(2)
		group := make([]int, n)
		for i := range group {
			group[i] = w.Rand.IntN(groups)
		}
		w.note("", "cut", group)
		w.split(func(i int) int { return group[i] })
		for range 3 {
			w.Run(w.Between(0, 20*time.Second))
			living := w.Living()
			w.broadcast(living[w.Rand.IntN(len(living))], "in a piece")
		}
		if w.Rand.IntN(3) == 0 && s == shapeFull && n > 3 {
			w.Living()[1].Crash()
		}
		w.note("", "heal")
		w.heal()
		w.Run(w.Between(0, 5*time.Second))
	}
	took := w.settle(healedWithin)
	t.Logf("%v of %d: %v", s, n, took)
	w.Run(60 * time.Second)
	w.settle(10 * time.Second)
	w.checkQuiet()
}

// TestSimBrokenPaths cuts pairs from each other, never so many that the network falls apart: they
// accuse each other and are refuted, and users see nothing.
func TestSimBrokenPaths(t *testing.T) {
	eachSeed(t, 40, 8, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%9))
		w.Loss = float64(seed%2) / 100
		w.build(len(w.Machines), time.Second)
		w.Run(5 * time.Second)
		for range 1 + w.Rand.IntN(len(w.Machines)) {
			a, b := w.Rand.IntN(len(w.Machines)), w.Rand.IntN(len(w.Machines))
			if a == b || !w.Reach(w.Machines[a], w.Machines[b]) {
				continue
			}
			w.setCut(w.Machines[a], w.Machines[b], true)
			if !w.connected(nil, true) {
				w.setCut(w.Machines[a], w.Machines[b], false)
				continue
			}
			w.note("", "cut", a, b)
			if w.Rand.IntN(2) == 0 {
				w.Run(w.Between(0, 10*time.Second))
			}
		}
		w.Run(30 * time.Second)
		w.settle(time.Second)
		w.checkEvents()
		w.heal()
		w.Run(30 * time.Second)
		w.settle(time.Second)
		w.checkEvents()
	})
}

// TestSimFreeze stops processes for so long that others must think them dead;
// when they go on, everything becomes right, and they accuse nobody.
func TestSimFreeze(t *testing.T) {
	eachSeed(t, 40, 8, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 2+int(seed%9))
		w.build(len(w.Machines), time.Second)
		w.Run(w.Between(0, 10*time.Second))
		for range 3 {
			p := w.Living()[w.Rand.IntN(len(w.Machines))]
			d := w.Between(5*time.Second, 40*time.Second)
			w.diary(p).jumpy = true
			p.Freeze(d)
			w.Run(d + w.Between(0, 5*time.Second))
			w.settle(healedWithin)
		}
		w.Run(30 * time.Second)
		w.checkQuiet()
		w.checkEvents()
	})
}
