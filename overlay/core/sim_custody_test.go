package core

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/pb"
)

// TestSimCustody: what was left for a peer that had gone reaches it when it comes back,
// though its author has left or crashed meanwhile and a holder was restarted; the author
// gets the receipts when it comes back itself, and nothing is kept in the end.
func TestSimCustody(t *testing.T) {
	eachSeed(t, 40, 10, func(t *testing.T, seed uint64) { custodied(t, seed) })
}

// TestSimCustodyRepeats: the same seed gives the same trace.
func TestSimCustodyRepeats(t *testing.T) {
	eachSeed(t, 3, 1, func(t *testing.T, seed uint64) {
		if a, b := custodied(t, seed).trace.Sum64(), custodied(t, seed).trace.Sum64(); a != b {
			t.Fatalf("two runs of seed %d differ: %x and %x", seed, a, b)
		}
	})
}

func custodied(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed, 0)
	s := []shape{shapeFull, shapeRandom, shapeRandom}[w.rng.IntN(3)]
	for i := range 4 + w.rng.IntN(6) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.loss = []float64{0, 0.01, 0.05}[w.rng.IntN(3)]
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, len(w.nodes), w.loss))
	w.build(len(w.nodes), w.between(0, 3*time.Second))
	w.run(w.between(0, 20*time.Second))
	author, receiver := w.twoApart()
	if author == nil || !w.spare(receiver.process, false) {
		return w
	}
	w.goes(receiver)
	letters := 1 + w.rng.IntN(6)
	for i := range letters {
		author.process.leaveWithOthers(receiver, i, []int{100, 5000, pb.MaxDeposit}[w.rng.IntN(3)])
		w.run(w.between(0, 300*time.Millisecond))
	}
	if _, ok := w.runUntil(20*time.Second, func() bool { return !author.process.core.DepositsPending() }); !ok {
		w.fatal("deposits are pending for ever")
	}
	if n := w.checkKept(author, receiver); n == 0 || n > wantHolders {
		w.fatal("%d keep it", n)
	}
	if !w.spare(author.process, false) {
		return w
	}
	w.goes(author)
	if w.rng.IntN(2) == 0 {
		w.restartHolder()
	}
	w.run(w.between(0, time.Minute))
	receiver.rejoin()
	if took, ok := w.runUntil(20*time.Second, func() bool { return receiver.hasLetters(author, letters) }); !ok {
		w.fatal("%s has %d of %d letters after %v", receiver.id, len(receiver.disk.letters), letters, took)
	}
	w.run(w.between(0, 10*time.Second))
	author.rejoin()
	if took, ok := w.runUntil(20*time.Second, func() bool { return author.hasReceipts(receiver, letters) }); !ok {
		w.fatal("%s has %d of %d receipts after %v", author.id, len(author.disk.receipts), letters, took)
	}
	kept := func() (n int) {
		for _, n := range w.nodes {
			if len(n.disk.kept) > 0 {
				return len(n.disk.kept)
			}
		}
		return 0
	}
	if _, ok := w.runUntil(2*time.Minute, func() bool { return kept() == 0 }); !ok {
		w.fatal("%d deposits are kept though they were collected", kept())
	}
	w.settle(10 * time.Second)
	w.checkQuiet()
	return w
}

// twoApart are two machines of which each has a way to the others without the other.
func (w *world) twoApart() (author, receiver *node) {
	for range 100 {
		a, r := w.rng.IntN(len(w.nodes)), w.rng.IntN(len(w.nodes))
		if a == r {
			continue
		}
		edges := [2]int{}
		for i := range w.nodes {
			if i != a && i != r && w.reach(a, i) {
				edges[0]++
			}
			if i != a && i != r && w.reach(r, i) {
				edges[1]++
			}
		}
		if edges[0] > 0 && edges[1] > 0 && w.connectedWithout(a, r) {
			return w.nodes[a], w.nodes[r]
		}
	}
	return nil, nil
}

// connectedWithout says that the other machines are one piece.
func (w *world) connectedWithout(a, b int) bool {
	seen := map[int]bool{}
	var visit func(i int)
	visit = func(i int) {
		seen[i] = true
		for j := range w.nodes {
			if j != a && j != b && !seen[j] && w.reach(i, j) {
				visit(j)
			}
		}
	}
	for i := range w.nodes {
		if i != a && i != b {
			visit(i)
			break
		}
	}
	return len(seen) == len(w.nodes)-2
}

// goes has the process of a machine leave or crash, and waits until all know.
func (w *world) goes(n *node) {
	if w.rng.IntN(2) == 0 {
		n.process.leave()
	} else {
		n.process.crash()
	}
	w.run(4 * time.Second)
	w.settle(30 * time.Second)
}

// restartHolder kills one that keeps something, if the others can do without, and starts
// it again.
func (w *world) restartHolder() {
	for _, i := range w.rng.Perm(len(w.nodes)) {
		n := w.nodes[i]
		if n.process == nil || len(n.disk.kept) == 0 || !w.spare(n.process, false) {
			continue
		}
		n.process.crash()
		w.run(w.between(0, 20*time.Second))
		n.rejoin()
		return
	}
}
