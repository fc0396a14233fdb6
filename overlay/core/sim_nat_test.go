package core

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// simNAT is what a machine is behind. How real ones behave, to the packet, is simulated
// by transport/simtest; here it is enough who gets in.
type simNAT int

const (
	noNAT     simNAT = iota
	coneNAT          // whoever knows the address gets in
	strictNAT        // only what was sent to
	symmetric        // the same, and another port to each
	simNATKinds
)

// own is the address of the machine's interface. Behind NATs all are of one subnet.
func (n *node) own() string {
	if n.nat == noNAT {
		return n.address
	}
	return fmt.Sprintf("192.168.1.%d:5000", n.index%3+2)
}

// seenBy is where another machine sees this one.
func (n *node) seenBy(other *node) string {
	a := netip.MustParseAddrPort(n.address)
	if n.nat == symmetric {
		a = netip.AddrPortFrom(a.Addr(), 20000+uint16(other.index))
	}
	return a.String()
}

// answersAt says that packets to the address may get to the machine.
func (n *node) answersAt(address string) bool {
	if n.nat != symmetric {
		return n.address == address
	}
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr() == netip.MustParseAddrPort(n.address).Addr()
}

// holeFor is how long a NAT lets in what it expects: Linux's timeout.
const holeFor = 30 * time.Second

// getsIn says that a packet which is sent now to the address of a machine will get in, and
// notes that the sender's NAT expects an answer.
func (w *world) getsIn(from, to *node, address string) bool {
	if w.holes == nil {
		return true
	}
	if to.nat != symmetric {
		w.holes[[2]int{from.index, to.index}] = w.now
	}
	at, made := w.holes[[2]int{to.index, from.index}]
	expected := made && w.now < at+holeFor
	switch to.nat {
	case noNAT, coneNAT:
		return true
	case strictNAT:
		return expected && from.nat != symmetric
	}
	return expected && address == to.seenBy(from)
}

// canPunch says that two machines can have a link at all.
func canPunch(a, b *node) bool {
	if a.nat == noNAT || b.nat == noNAT || a.nat == coneNAT || b.nat == coneNAT {
		return true
	}
	return a.nat == strictNAT && b.nat == strictNAT
}

// withNATs puts the machines but the first ones behind NATs.
func (w *world) withNATs(open int) {
	w.holes = make(map[[2]int]time.Duration)
	for _, n := range w.nodes[open:] {
		n.nat = simNAT(w.rng.IntN(int(simNATKinds)))
		if n.nat != noNAT {
			n.address = fmt.Sprintf("203.0.113.%d:5000", n.index+1)
		}
	}
}

// TestSimNATs: a network of which most are behind NATs is a network like any other; who
// can have a link gets one when messages wait, and the rest goes over others. When the
// open ones die, those who are linked go on.
func TestSimNATs(t *testing.T) {
	eachSeed(t, 24, 8, func(t *testing.T, seed uint64) {
		n := 6 + int(seed%14)
		w := newWorld(t, seed, n)
		w.withNATs(1 + int(seed%3))
		if seed%4 == 3 {
			w.loss = 0.1
		}
		door := w.nodes[0].start()
		w.run(time.Second)
		for _, m := range w.nodes[1:] {
			w.at(w.now+w.between(0, 3*time.Second), func() { m.start(door.node.address) })
		}
		w.run(10 * time.Second)
		w.settle(10 * time.Second)
		for range 3 * n {
			a, b := w.nodes[w.rng.IntN(n)], w.nodes[w.rng.IntN(n)]
			if a == b {
				continue
			}
			linked := func() bool { return a.process.core.links.linkTo(b.identity.Key()) != nil }
			a.process.input(func() { a.process.core.Step(w.now, Want{To: b.id}) })
			if took, ok := w.runUntil(20*time.Second, linked); ok != canPunch(a, b) && (ok || w.loss == 0) {
				w.fatal("%s (%d) and %s (%d), linked: %v after %v; %+v", a.id, a.nat, b.id, b.nat, ok, took, a.process.core.Net())
			}
			if !linked() && a.process.core.routes.nextHop(b.id, nil) == nil {
				w.fatal("%s has no way to %s", a.id, b.id)
			}
		}
		w.checkQuiet()
		w.checkEvents()
		w.checkOneNetwork()
	})
}

// TestSimOrphans: the peers behind NATs go on when all who let them in have died.
func TestSimOrphans(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%9))
		open := 1 + int(seed%2)
		w.withNATs(open)
		for _, n := range w.nodes[open:] {
			n.nat, n.address = strictNAT, fmt.Sprintf("203.0.113.%d:5000", n.index+1)
		}
		w.nodes[0].start()
		w.run(time.Second)
		for _, n := range w.nodes[1:] {
			n.start(w.nodes[0].address)
		}
		w.run(30 * time.Second)
		w.settle(5 * time.Second)
		for _, n := range w.nodes[:open] {
			n.process.crash()
		}
		w.run(5 * time.Second)
		w.settle(20 * time.Second)
		w.checkQuiet()
		w.checkEvents()
		w.checkOneNetwork()
	})
}

// checkOneNetwork wants the living to be connected by links over which they hear each other.
func (w *world) checkOneNetwork() {
	living := w.living()
	seen := []*process{living[0]}
	for i := 0; i < len(seen); i++ {
		for _, e := range seen[i].ends {
			if e.open && !slices.Contains(seen, e.other.process) {
				seen = append(seen, e.other.process)
			}
		}
	}
	if len(seen) != len(living) {
		w.fatal("%d of %d are connected", len(seen), len(living))
	}
}
