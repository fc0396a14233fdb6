package core_test

import (
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
)

// TestSimComingHome: the first peer of a network leaves in good order and comes back without an
// address to join: it finds the others if it remembers them, and otherwise they find it. A
// separate network becomes part of this one by one Join.
func TestSimComingHome(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 6)
		w.build(5, 0)
		w.settle(30 * time.Second)
		first := w.Machines[0]
		first.Process.Leave()
		w.Run(w.Between(time.Second, time.Minute))
		for _, n := range w.Machines[1 : 1+4*(seed%2)] {
			w.met[first] = append(w.met[first], base.Acquaintance{ID: n.ID, Key: n.Key, Addresses: []string{n.Address}, Address: ""})
		}
		first.Start()
		w.settle(time.Minute)
		w.Machines[5].Start() // a network of its own, which knows one of ours by hearsay
		w.Run(10 * time.Second)
		w.Machines[5].Process.Core.Step(w.Now, core.Join{Address: w.Machines[3].Address})
		w.Machines[5].Process.Drain()
		w.settle(30 * time.Second)
	})
}

// joined reports whether some link is up on both sides.
func joined(a *node) bool {
	return slices.ContainsFunc(a.Process.Ends, func(e *coretest.End) bool {
		return a.Process.Core.View(e.ID).Up && !e.Other.Ending()
	})
}

// linked reports whether some link is up.
func linked(a *node) bool {
	return slices.ContainsFunc(a.Process.Ends, func(e *coretest.End) bool { return a.Process.Core.View(e.ID).Up })
}

// TestNeverBothClosed: several dials at once leave a link at every moment.
func TestNeverBothClosed(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t, seed, 2)
		a, b := w.Machines[0], w.Machines[1]
		two := func(address string) []string { return []string{address, address} }
		w.At(w.Between(0, 60*time.Millisecond), func() { a.Start(two(b.Address)...) })
		w.At(w.Between(0, 60*time.Millisecond), func() { b.Start(two(a.Address)[:1+seed%2]...) })
		had := false
		for range 1000 {
			w.Run(4 * time.Millisecond)
			if a.Process == nil || b.Process == nil || !linked(a) || !linked(b) {
				continue
			}
			if has := joined(a); !has && had {
				w.fatal("no link is left")
			} else if has {
				had = true
			}
		}
		if !had {
			w.fatal("they have not met")
		}
	}
}

// Two peers own an ID: the older was cut off and is held as lost by the peers that could tell,
// and the younger is alone when the cut heals. Neither stops for the other's word; and once somebody
// links both, each has the other in its table.
func TestTwinsAlone(t *testing.T) {
	w := newWorld(t, 3, 0)
	older, bob, younger, carol := w.addNode("twin", 100), w.addNode("bob", 101), w.addNode("twin", 102), w.addNode("carol", 103)
	older.Epoch, younger.Epoch = 1000, 2000
	w.strict = false
	first := older.Start()
	w.Run(time.Second)
	bob.Start(older.Address)
	carol.Start(bob.Address)
	w.Run(5 * time.Second)
	for i := range 3 {
		w.setCut(w.Machines[0], w.Machines[1+i], true)
	}
	w.Run(30 * time.Second)
	second := younger.Start(bob.Address)
	w.Run(10 * time.Second)
	bob.Process.Leave()
	carol.Process.Leave()
	w.Run(5 * time.Second)
	w.heal()
	w.Run(2 * time.Minute)
	if first.Err != nil || second.Err != nil {
		t.Errorf("the older: %v, the younger: %v", first.Err, second.Err)
	}
	w.addNode("dave", 104).Start(older.Address, younger.Address)
	w.settle(10 * time.Second)
}

// TestSimAccusation: the note of an accusation has that kind.
func TestSimAccusation(t *testing.T) {
	w := newWorld(t, 1, 4)
	w.build(4, time.Second)
	w.Run(5 * time.Second)
	w.Machines[3].Process.Crash()
	w.settle(10 * time.Second)
	if w.told[base.Accusation] == 0 || w.told[base.Violation] > 0 {
		t.Errorf("after a crash %d accusations and %d violations are told", w.told[base.Accusation], w.told[base.Violation])
	}
}
