package core

import (
	"fmt"
	"testing"
	"time"
)

// healedWithin is how long it may take until a network that was cut is right
// everywhere: a lost peer is redialled at least every maxBackoff.
const healedWithin = lostBackoff + 2*healEvery + dialTimeout + 15*time.Second

// TestSimPartition cuts networks into pieces for a while and heals them.
func TestSimPartition(t *testing.T) {
	eachSeed(t, 30, 6, partition)
}

func partition(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := shape(w.rng.IntN(int(shapes)))
	n := 2 + w.rng.IntN(min(s.widest(), 10)-1)
	if seed%10 == 0 {
		s, n = shapeFull, 30
	}
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.loss = float64(seed%2) / 50
	w.strict = false
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.loss))
	w.build(n, time.Second)
	w.run(w.between(0, 30*time.Second))
	for _, p := range w.living() {
		p.jumpy = true
	}
	for range 1 + w.rng.IntN(2) {
		groups := 2 + w.rng.IntN(2)
		group := make([]int, n)
		for i := range group {
			group[i] = w.rng.IntN(groups)
		}
		w.note("", "cut", group)
		w.split(func(i int) int { return group[i] })
		for range 3 {
			w.run(w.between(0, 20*time.Second))
			living := w.living()
			living[w.rng.IntN(len(living))].broadcast("in a piece")
		}
		if w.rng.IntN(3) == 0 && s == shapeFull && n > 3 {
			w.living()[1].crash()
		}
		w.note("", "heal")
		w.heal()
		w.run(w.between(0, 5*time.Second))
	}
	took := w.settle(healedWithin)
	t.Logf("%v of %d: %v", s, n, took)
	w.run(60 * time.Second)
	w.settle(10 * time.Second)
	w.checkQuiet()
}

// TestSimBrokenPaths cuts pairs from each other, never so many that the network
// is in pieces: they accuse each other and are refuted, and nobody sees anything.
func TestSimBrokenPaths(t *testing.T) {
	eachSeed(t, 40, 8, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%9))
		w.loss = float64(seed%2) / 100
		w.build(len(w.nodes), time.Second)
		w.run(5 * time.Second)
		for range 1 + w.rng.IntN(len(w.nodes)) {
			a, b := w.rng.IntN(len(w.nodes)), w.rng.IntN(len(w.nodes))
			if a == b || w.cut[a][b] {
				continue
			}
			w.setCut(a, b, true)
			if !w.connected(nil, true) {
				w.setCut(a, b, false)
				continue
			}
			w.note("", "cut", a, b)
			if w.rng.IntN(2) == 0 {
				w.run(w.between(0, 10*time.Second))
			}
		}
		w.run(30 * time.Second)
		w.settle(time.Second)
		w.checkEvents()
		w.heal()
		w.run(30 * time.Second)
		w.settle(time.Second)
		w.checkEvents()
	})
}

// TestSimFreeze stops processes for so long that others must think them dead;
// when they go on, everything becomes right, and they accuse nobody.
func TestSimFreeze(t *testing.T) {
	eachSeed(t, 40, 8, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 2+int(seed%9))
		w.build(len(w.nodes), time.Second)
		w.run(w.between(0, 10*time.Second))
		for range 3 {
			p := w.living()[w.rng.IntN(len(w.nodes))]
			d := w.between(5*time.Second, 40*time.Second)
			p.jumpy = true
			p.freeze(d)
			w.run(d + w.between(0, 5*time.Second))
			w.settle(healedWithin)
		}
		w.run(30 * time.Second)
		w.checkQuiet()
		w.checkEvents()
	})
}
