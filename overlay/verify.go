package overlay

import (
	"context"
	"runtime"
	"sync"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// verifier verifies signatures in bulk, off the loop, which they would stall for seconds in a
// network of thousands.
type verifier struct {
	ctx     context.Context
	group   *sync.WaitGroup
	mailbox *mailbox
	// turns limits the goroutines that verify at once to half of the processors: a large table
	// must not keep links from being heard, or others would take us for dead.
	turns chan struct{}
}

func newVerifier(n *Node) verifier {
	return verifier{n.ctx, &n.wg, &n.mailbox, make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// yieldEvery is how many signatures, of 50 µs each, are verified before other goroutines may
// run (a guess).
const yieldEvery = 16

// verify verifies a part of a table. The core bounds how many parts are under way.
func (v *verifier) verify(wish base.Verify) {
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
				runtime.Gosched() // a goroutine that waits for a packet goes first
			}
		}
		<-v.turns
		v.mailbox.post(coreInput{core.Verified{ID: wish.ID, Valid: valid}})
	})
}
