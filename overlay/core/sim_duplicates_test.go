package core_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
)

// TestSimDuplicates claims an ID twice in every possible way, at random moments: at two doors of
// a network, in two networks that then meet, in two halves of a network that was cut, and by one
// key that is started twice. Of two at two doors, and of one key, one stays, the same in all tables;
// the other stops and says why. Of two networks and two halves both stay, and each peer calls the one
// by the ID that it has met first.
func TestSimDuplicates(t *testing.T) {
	eachSeed(t, 500, 40, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 2+w0(seed, 7))
		w.Loss = float64(seed%3) / 50
		w.strict = false
		sameKey := w.Rand.IntN(3) == 0
		key := [2]uint64{1 << 32, 1<<32 + 1}
		if sameKey {
			key[1] = key[0]
		}
		first, second := w.addNode("twin", key[0]), w.addNode("twin", key[1])
		second.Epoch = first.Epoch + w.Rand.Uint64N(4) - 1 // clocks differ
		var list [2]*process
		both := !sameKey
		switch w.Rand.IntN(3) {
		case 0:
			list = w.twoDoors(first, second)
			both = false
		case 1:
			list = w.twoNetworks(first, second)
		default:
			list = w.twoHalves(first, second)
		}
		w.settle(healedWithin)
		if both {
			w.checkBothStay(list)
		} else {
			w.checkOneStays(list, sameKey)
		}
		w.Run(w.Between(0, 5*time.Second))
		w.settle(time.Second)
	})
}

// w0 is a number below n that depends on the seed, before there is a world.
func w0(seed uint64, n int) int { return int(seed*2654435761>>8) % n }

// twoDoors starts both within moments.
func (w *world) twoDoors(first, second *node) (list [2]*process) {
	n := len(w.Machines) - 2
	w.build(n, time.Second)
	w.Run(w.Between(0, 3*time.Second))
	for i, machine := range []*node{first, second} {
		door := w.Machines[w.Rand.IntN(n)].Address
		w.At(w.Now+w.Between(0, 300*time.Millisecond), func() { list[i] = machine.Start(door) })
	}
	w.Run(400 * time.Millisecond)
	return list
}

// twoNetworks lets each live in a network of its own, until somebody joins both.
func (w *world) twoNetworks(first, second *node) (list [2]*process) {
	n := len(w.Machines) - 2
	half := max(1, n/2)
	list[0] = first.Start()
	w.Run(w.Between(0, time.Second))
	list[1] = second.Start()
	for i, machine := range w.Machines[:n] {
		door := first
		if i >= half {
			door = second
		}
		w.At(w.Now+w.Between(0, time.Second), func() { machine.Start(door.Address) })
	}
	w.Run(w.Between(11*time.Second, 15*time.Second))
	w.noteMet(list)
	guest := w.addNode(fmt.Sprintf("n%02d", n), 1<<33)
	guest.Start(first.Address, second.Address)
	w.Run(400 * time.Millisecond)
	return list
}

// twoHalves starts them on either side of a cut, which then heals.
func (w *world) twoHalves(first, second *node) (list [2]*process) {
	n := len(w.Machines) - 2
	w.build(n, time.Second)
	w.Run(w.Between(0, 3*time.Second))
	half := max(1, n/2)
	w.split(func(i int) int {
		if i >= n {
			return i - n
		}
		return i / half % 2
	})
	w.Run(w.Between(0, 10*time.Second))
	list[0] = first.Start(w.Machines[0].Address)
	w.Run(w.Between(0, time.Second))
	list[1] = second.Start(w.Machines[half].Address)
	w.Run(w.Between(11*time.Second, 20*time.Second))
	w.noteMet(list)
	w.heal()
	w.Run(400 * time.Millisecond)
	return list
}

// noteMet notes which of two each peer calls by their ID, before they meet.
func (w *world) noteMet(list [2]*process) {
	w.owners = make(map[*process]certs.PublicKey)
	for _, p := range w.Living() {
		for _, twin := range list {
			if r := p.Core.Record(twin.ID); p != twin && r != nil {
				w.owners[p] = r.Key
			}
		}
	}
}

// checkBothStay checks that two with an ID live on, and what others call them.
func (w *world) checkBothStay(list [2]*process) {
	for _, twin := range list {
		if twin.Err != nil {
			w.fatal("%s stops: %v", twin.ID, twin.Err)
		}
	}
	for p, key := range w.owners {
		if r := p.Core.Record(list[0].ID); p.Err == nil && (r == nil || r.Key != key) {
			w.fatal("%s calls another one %s than it did before", p.ID, list[0].ID)
		}
	}
}

// checkOneStays checks how the two have ended.
func (w *world) checkOneStays(list [2]*process, sameKey bool) {
	stayed, lost := list[0], list[1]
	if stayed.Err != nil {
		stayed, lost = lost, stayed
	}
	if stayed.Err != nil || lost.Err == nil {
		w.fatal("one ends with %v, the other with %v", stayed.Err, lost.Err)
	}
	var (
		duplicate *base.DuplicateIDError
		elsewhere *base.StartedElsewhereError
	)
	switch {
	case sameKey && errors.As(lost.Err, &elsewhere):
		if stayed.Epoch < lost.Epoch {
			w.fatal("the older run stays: epoch %d, not %d", stayed.Epoch, lost.Epoch)
		}
	case !sameKey && errors.As(lost.Err, &duplicate) && duplicate.Holder == stayed.Key:
	default:
		w.fatal("the loser ends with %v", lost.Err)
	}
}
