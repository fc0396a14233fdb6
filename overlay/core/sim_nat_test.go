package core_test

import (
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/coretest"
)

// canPunch reports whether two machines can have a link at all.
func canPunch(a, b *node) bool {
	if a.NAT == coretest.NoNAT || b.NAT == coretest.NoNAT || a.NAT == coretest.ConeNAT || b.NAT == coretest.ConeNAT {
		return true
	}
	return a.NAT == coretest.StrictNAT && b.NAT == coretest.StrictNAT
}

// withNATs puts all machines but the first few behind NATs.
func (w *world) withNATs(open int) {
	for _, n := range w.Machines[open:] {
		n.PutBehind(coretest.NAT(w.Rand.IntN(int(coretest.NATKinds))))
	}
}

// TestSimNATs: a network with most peers behind NATs is a network like any other. Two peers that
// can have a link get one when messages wait, and the rest goes over others. When the open ones
// die, those with links go on.
func TestSimNATs(t *testing.T) {
	eachSeed(t, 24, 8, func(t *testing.T, seed uint64) {
		n := 6 + int(seed%14)
		w := newWorld(t, seed, n)
		w.withNATs(1 + int(seed%3))
		if seed%4 == 3 {
			w.Loss = 0.1
		}
		door := w.Machines[0].Start()
		w.Run(time.Second)
		for _, m := range w.Machines[1:] {
			w.At(w.Now+w.Between(0, 3*time.Second), func() { m.Start(door.Address) })
		}
		w.Run(10 * time.Second)
		w.settle(10 * time.Second)
		for range 3 * n {
			a, b := w.Machines[w.Rand.IntN(n)], w.Machines[w.Rand.IntN(n)]
			if a == b {
				continue
			}
			linked := func() bool { return a.Process.Core.Linked(b.Key) }
			a.Process.Core.Step(w.Now, core.Want{To: b.ID})
			a.Process.Drain()
			if took, ok := w.runUntil(20*time.Second, linked); ok != canPunch(a, b) && (ok || w.Loss == 0) {
				w.fatal("%s (%d) and %s (%d), linked: %v after %v; %+v", a.ID, a.NAT, b.ID, b.NAT, ok, took, a.Process.Core.Net())
			}
			if !linked() && !a.Process.Core.HasWay(b.ID) {
				w.fatal("%s has no way to %s", a.ID, b.ID)
			}
		}
		w.checkQuiet()
		w.checkEvents()
		w.checkOneNetwork()
	})
}

// TestSimOrphans: the peers behind NATs go on when all doors that let them in have died.
func TestSimOrphans(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%9))
		open := 1 + int(seed%2)
		w.withNATs(open)
		for _, n := range w.Machines[open:] {
			n.PutBehind(coretest.StrictNAT)
		}
		w.Machines[0].Start()
		w.Run(time.Second)
		for _, n := range w.Machines[1:] {
			n.Start(w.Machines[0].Address)
		}
		w.Run(30 * time.Second)
		w.settle(5 * time.Second)
		for _, n := range w.Machines[:open] {
			n.Process.Crash()
		}
		w.Run(5 * time.Second)
		w.settle(20 * time.Second)
		w.checkQuiet()
		w.checkEvents()
		w.checkOneNetwork()
	})
}

// checkOneNetwork requires the living to be connected by links over which they hear each other.
func (w *world) checkOneNetwork() {
	living := w.Living()
	seen := []*process{living[0]}
	for i := 0; i < len(seen); i++ {
		for _, e := range seen[i].Ends {
			if e.Open && !slices.Contains(seen, e.Other.Process) {
				seen = append(seen, e.Other.Process)
			}
		}
	}
	if len(seen) != len(living) {
		w.fatal("%d of %d are connected", len(seen), len(living))
	}
}
