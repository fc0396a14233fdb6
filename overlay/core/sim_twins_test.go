package core

import (
	"errors"
	"testing"
	"time"
)

// TestSimTwins starts two peers with one ID and two keys at the same instant at
// two doors of a network: exactly one of them stays, everywhere the same, and a
// third one is refused at every door.
func TestSimTwins(t *testing.T) {
	eachSeed(t, 50, 10, twins)
}

func twins(t *testing.T, seed uint64) {
	n := 2 + int(seed%13)
	w := newWorld(t, seed, n)
	w.loss = float64(seed%3) / 50
	w.build(n, time.Second)
	if seed%2 == 0 {
		w.run(10 * time.Second)
	}
	w.strict = false
	var list []*process
	for i := range 2 {
		machine := w.addNode("twin", 1<<32+uint64(i))
		if seed%3 == 0 {
			machine.epoch += w.rng.Uint64N(3) // the clocks differ
		}
		door := w.nodes[(i*int(1+seed))%n]
		if seed%5 == 0 {
			door = w.nodes[0]
		}
		at := w.between(0, 30*time.Millisecond)
		w.at(w.now+at, func() { list = append(list, machine.start(door.address)) })
	}
	w.run(30 * time.Millisecond)
	w.settle(10 * time.Second)
	stayed, lost := list[0], list[1]
	if stayed.err != nil {
		stayed, lost = lost, stayed
	}
	var duplicate *DuplicateIDError
	if stayed.err != nil || !errors.As(lost.err, &duplicate) || duplicate.Holder != stayed.node.identity.Key() {
		w.fatal("of two twins one ends with %v, the other with %v", stayed.err, lost.err)
	}
	w.run(3 * time.Second)
	w.settle(time.Second)
	w.checkQuiet()

	for i := range w.living() {
		third := w.addNode("twin", 1<<33+uint64(i))
		third.epoch = uint64(i) // a smaller epoch does not help
		p := third.start(w.living()[i].node.address)
		w.run(2 * time.Second)
		if !errors.As(p.err, &duplicate) || duplicate.Holder != stayed.node.identity.Key() {
			w.fatal("a third twin at the door of %s: %v", w.living()[i].node.id, p.err)
		}
	}
	w.settle(time.Second)
}

// TestSimStartedElsewhere copies a peer's key and starts it a second time: the
// newer run stays, the older ends.
func TestSimStartedElsewhere(t *testing.T) {
	eachSeed(t, 20, 5, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 3+int(seed%5))
		w.build(len(w.nodes), time.Second)
		w.strict = false
		older := w.nodes[1].process
		newer := w.addNode("n01", 1)
		newer.epoch = older.epoch
		p := newer.start(w.nodes[0].address, w.nodes[2].address)
		w.run(2 * time.Second)
		var elsewhere *StartedElsewhereError
		if p.err != nil || !errors.As(older.err, &elsewhere) {
			w.fatal("the older ends with %v, the newer with %v", older.err, p.err)
		}
		w.settle(time.Second)
	})
}

// TestSimRestart kills a peer and starts it again at once, with a clock that runs
// on or that has gone back, or from a state that was put back: everybody sees it lost and joined once, at once.
func TestSimRestart(t *testing.T) {
	eachSeed(t, 40, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 3+int(seed%9))
		w.resets = seed%2 == 0
		w.build(len(w.nodes), time.Second)
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		old := n.process
		if !old.isReady {
			w.fatal("not ready")
		}
		old.crash()
		w.run(w.between(10*time.Millisecond, time.Second))
		epoch := n.epoch + 1
		switch seed % 3 {
		case 0:
			epoch = n.epoch - 5
		case 1:
			epoch = n.epoch
		}
		p := n.startAt(epoch, n.doors()...)
		w.run(2 * time.Second)
		if p.epoch <= old.epoch || p.err != nil {
			w.fatal("runs in epoch %d after %d: %v", p.epoch, old.epoch, p.err)
		}
		w.settle(time.Second)
		w.run(30 * time.Second)
		w.checkQuiet()
		w.checkEvents()
	})
}
