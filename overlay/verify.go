package overlay

import (
	"context"
	"runtime"
	"sync"

	"quicpeer/overlay/core"
)

// verifier judges signatures in bulk, off the loop, which they would stall for seconds in a
// network of thousands.
type verifier struct {
	ctx     context.Context
	group   *sync.WaitGroup
	mailbox *mailbox
	// turns are taken by who judges: half of the processors, so that a large table does not
	// keep links from being heard, by which others would take us for dead.
	turns chan struct{}
}

func newVerifier(n *Node) verifier {
	return verifier{n.ctx, &n.wg, &n.mailbox, make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// yieldEvery is after how many signatures, of 50 µs each, others may run (a guess).
const yieldEvery = 16

// verify judges a part of a table. The core bounds how many parts there are at a time.
func (v *verifier) verify(wish core.Verify) {
	v.group.Go(func() {
		select {
		case v.turns <- struct{}{}:
		case <-v.ctx.Done():
			return
		}
		valid := make([]bool, len(wish.Claims))
		for i, claim := range wish.Claims {
			valid[i] = claim.Valid()
			if i%yieldEvery == 0 {
				runtime.Gosched() // whoever waits for a packet goes first
			}
		}
		<-v.turns
		v.mailbox.post(told{core.Verified{ID: wish.ID, Valid: valid}})
	})
}
