package core_test

import (
	"errors"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
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
	w.Loss = float64(seed%3) / 50
	w.build(n, time.Second)
	if seed%2 == 0 {
		w.Run(10 * time.Second)
	}
	w.strict = false
	var list []*process
	for i := range 2 {
		machine := w.addNode("twin", 1<<32+uint64(i))
		if seed%3 == 0 {
			machine.Epoch += w.Rand.Uint64N(3) // the clocks differ
		}
		door := w.Machines[(i*int(1+seed))%n]
		if seed%5 == 0 {
			door = w.Machines[0]
		}
		at := w.Between(0, 30*time.Millisecond)
		w.At(w.Now+at, func() { list = append(list, machine.Start(door.Address)) })
	}
	w.Run(30 * time.Millisecond)
	w.settle(10 * time.Second)
	stayed, lost := list[0], list[1]
	if stayed.Err != nil {
		stayed, lost = lost, stayed
	}
	var duplicate *base.DuplicateIDError
	if stayed.Err != nil || !errors.As(lost.Err, &duplicate) || duplicate.Holder != stayed.Key {
		w.fatal("of two twins one ends with %v, the other with %v", stayed.Err, lost.Err)
	}
	w.Run(3 * time.Second)
	w.settle(time.Second)
	w.checkQuiet()

	for i := range w.Living() {
		third := w.addNode("twin", 1<<33+uint64(i))
		third.Epoch = uint64(i) // a smaller epoch does not help
		p := third.Start(w.Living()[i].Address)
		w.Run(2 * time.Second)
		if !errors.As(p.Err, &duplicate) || duplicate.Holder != stayed.Key {
			w.fatal("a third twin at the door of %s: %v", w.Living()[i].ID, p.Err)
		}
	}
	w.settle(time.Second)
}

// TestSimStartedElsewhere copies a peer's key and starts it a second time: the
// newer run stays, the older ends.
func TestSimStartedElsewhere(t *testing.T) {
	eachSeed(t, 20, 5, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 3+int(seed%5))
		w.build(len(w.Machines), time.Second)
		w.strict = false
		older := w.Machines[1].Process
		newer := w.addNode("n01", 1)
		newer.Epoch = older.Epoch
		p := newer.Start(w.Machines[0].Address, w.Machines[2].Address)
		w.Run(2 * time.Second)
		var elsewhere *base.StartedElsewhereError
		if p.Err != nil || !errors.As(older.Err, &elsewhere) {
			w.fatal("the older ends with %v, the newer with %v", older.Err, p.Err)
		}
		w.settle(time.Second)
	})
}

// TestSimRestart kills a peer and starts it again at once, with a clock that runs on or that has
// gone back, or from a state that was restored: everybody sees it lost and joined once, at once.
func TestSimRestart(t *testing.T) {
	eachSeed(t, 40, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 3+int(seed%9))
		w.NoResets = seed%2 != 0
		w.build(len(w.Machines), time.Second)
		n := w.Machines[w.Rand.IntN(len(w.Machines))]
		old := n.Process
		if !old.IsReady {
			w.fatal("not ready")
		}
		old.Crash()
		w.Run(w.Between(10*time.Millisecond, time.Second))
		epoch := n.Epoch + 1
		switch seed % 3 {
		case 0:
			epoch = n.Epoch - 5
		case 1:
			epoch = n.Epoch
		}
		p := n.StartAt(epoch, n.Doors()...)
		w.Run(2 * time.Second)
		if p.Epoch <= old.Epoch || p.Err != nil {
			w.fatal("runs in epoch %d after %d: %v", p.Epoch, old.Epoch, p.Err)
		}
		w.settle(time.Second)
		w.Run(30 * time.Second)
		w.checkQuiet()
		w.checkEvents()
	})
}
