package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// TestSimCustody: deposits for a peer that had gone reach it when it comes back, though their
// author has left or crashed meanwhile and a holder was restarted; the author gets the receipts
// when it comes back itself, and nothing is kept in the end.
func TestSimCustody(t *testing.T) {
	eachSeed(t, 40, 10, func(t *testing.T, seed uint64) { custodied(t, seed) })
}

// TestSimCustodyRepeats: the same seed gives the same trace.
func TestSimCustodyRepeats(t *testing.T) {
	eachSeed(t, 3, 1, func(t *testing.T, seed uint64) {
		if a, b := custodied(t, seed).Trace, custodied(t, seed).Trace; a != b {
			t.Fatalf("two runs of seed %d differ: %x and %x", seed, a, b)
		}
	})
}

func custodied(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed, 0)
	s := []shape{shapeFull, shapeRandom, shapeRandom}[w.Rand.IntN(3)]
	for i := range 4 + w.Rand.IntN(6) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.Loss = []float64{0, 0.01, 0.05}[w.Rand.IntN(3)]
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, len(w.Machines), w.Loss))
	w.build(len(w.Machines), w.Between(0, 3*time.Second))
	w.Run(w.Between(0, 20*time.Second))
	author, receiver := w.twoApart()
	if author == nil || !w.spare(receiver.Process, false) {
		return w
	}
	w.goes(receiver)
	letters := 1 + w.Rand.IntN(6)
	for i := range letters {
		author.Process.LeaveFor(receiver, i, []int{100, 5000, pb.MaxDeposit}[w.Rand.IntN(3)])
		w.Run(w.Between(0, 300*time.Millisecond))
	}
	if _, ok := w.runUntil(20*time.Second, func() bool { return !author.Process.Core.DepositsPending() }); !ok {
		w.fatal("deposits are pending for ever")
	}
	if n := w.checkKept(author, receiver); n == 0 || n > core.WantHolders {
		w.fatal("%d keep it", n)
	}
	if !w.spare(author.Process, false) {
		return w
	}
	w.goes(author)
	if w.Rand.IntN(2) == 0 {
		w.restartHolder()
	}
	w.Run(w.Between(0, time.Minute))
	receiver.Rejoin()
	if took, ok := w.runUntil(20*time.Second, func() bool { return receiver.Letters(author, letters) == letters }); !ok {
		w.fatal("%s has %d of %d letters after %v", receiver.ID, receiver.Letters(author, letters), letters, took)
	}
	w.Run(w.Between(0, 10*time.Second))
	author.Rejoin()
	if took, ok := w.runUntil(20*time.Second, func() bool { return author.Receipts(receiver, letters) == letters }); !ok {
		w.fatal("%s has %d of %d receipts after %v", author.ID, author.Receipts(receiver, letters), letters, took)
	}
	kept := func() (n int) {
		for _, n := range w.Machines {
			if n.Keeps() > 0 {
				return n.Keeps()
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

// TestSimWithdraw: a letter is withdrawn after others have taken it, while holders come and go. The
// rest reaches its receiver, whoever is here then; and when all holders were here for a while before,
// the withdrawn one does not.
func TestSimWithdraw(t *testing.T) {
	eachSeed(t, 40, 10, func(t *testing.T, seed uint64) { withdrawn(t, seed) })
}

func withdrawn(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	for i := range 4 + w.Rand.IntN(6) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take([]shape{shapeFull, shapeRandom}[w.Rand.IntN(2)])
	w.Loss = []float64{0, 0.01, 0.05}[w.Rand.IntN(3)]
	w.build(len(w.Machines), w.Between(0, 3*time.Second))
	author, receiver := w.twoApart()
	if author == nil || !w.spare(receiver.Process, false) {
		return
	}
	w.goes(receiver)
	letters := 1 + w.Rand.IntN(5)
	for i := range letters {
		author.Process.LeaveFor(receiver, i, 200)
		w.Run(w.Between(0, 300*time.Millisecond))
	}
	if w.Rand.IntN(2) == 0 {
		w.runUntil(20*time.Second, func() bool { return !author.Process.Core.DepositsPending() })
	}
	out := w.Rand.IntN(letters)
	if w.Rand.IntN(3) == 0 {
		w.restartHolder()
	}
	author.Process.Withdraw(receiver, out)
	w.Run(w.Between(0, time.Second))
	if _, ok := w.runUntil(time.Minute, func() bool { return !author.Process.Core.DepositsPending() }); !ok {
		w.fatal("withdrawals are pending for ever")
	}
	w.Run(time.Minute)
	for _, n := range w.Machines {
		for _, number := range n.KeptFor(author, receiver) {
			if number == out && n.Process != nil {
				w.fatal("%s keeps what was withdrawn", n.ID)
			}
		}
	}
	if !w.spare(author.Process, false) {
		return
	}
	w.goes(author)
	receiver.Rejoin()
	w.runUntil(20*time.Second, func() bool { return receiver.Letters(author, letters) >= letters-1 })
	w.Run(time.Minute)
	for i := range letters {
		if has := receiver.HasLetter(author, i); has == (i == out) {
			w.fatal("letter %d of %d, where %d is withdrawn: it has come %v", i, letters, out, has)
		}
	}
}

// checkKept checks that the deposits that the living keep for a peer have no gap: 0, 1, 2, ...
func (w *world) checkKept(from, to *node) (holders int) {
	for _, n := range w.Machines {
		kept := n.KeptFor(from, to)
		for i, number := range kept {
			if number != i {
				w.fatal("%s keeps number %d behind %d", n.ID, number, i-1)
			}
		}
		if len(kept) > 0 {
			holders++
		}
	}
	return holders
}

// twoApart returns two machines that each have a path to the others without the other.
func (w *world) twoApart() (author, receiver *node) {
	for range 100 {
		a, r := w.Rand.IntN(len(w.Machines)), w.Rand.IntN(len(w.Machines))
		if a == r {
			continue
		}
		edges := [2]int{}
		for i := range w.Machines {
			if i != a && i != r && w.Reach(w.Machines[a], w.Machines[i]) {
				edges[0]++
			}
			if i != a && i != r && w.Reach(w.Machines[r], w.Machines[i]) {
				edges[1]++
			}
		}
		if edges[0] > 0 && edges[1] > 0 && w.connectedWithout(a, r) {
			return w.Machines[a], w.Machines[r]
		}
	}
	return nil, nil
}

// connectedWithout reports whether the other machines are one piece.
func (w *world) connectedWithout(a, b int) bool {
	seen := map[int]bool{}
	var visit func(i int)
	visit = func(i int) {
		seen[i] = true
		for j := range w.Machines {
			if j != a && j != b && !seen[j] && w.Reach(w.Machines[i], w.Machines[j]) {
				visit(j)
			}
		}
	}
	for i := range w.Machines {
		if i != a && i != b {
			visit(i)
			break
		}
	}
	return len(seen) == len(w.Machines)-2
}

// goes lets the process of a machine leave or crash, and waits until all know.
func (w *world) goes(n *node) {
	if w.Rand.IntN(2) == 0 {
		n.Process.Leave()
	} else {
		n.Process.Crash()
	}
	w.Run(4 * time.Second)
	w.settle(30 * time.Second)
}

// restartHolder kills a holder, if the others can do without it, and starts it again.
func (w *world) restartHolder() {
	for _, i := range w.Rand.Perm(len(w.Machines)) {
		n := w.Machines[i]
		if n.Process == nil || n.Keeps() == 0 || !w.spare(n.Process, false) {
			continue
		}
		n.Process.Crash()
		w.Run(w.Between(0, 20*time.Second))
		n.Rejoin()
		return
	}
}
