package overlay

import (
	"runtime"

	"quicpeer/overlay/core"
)

// verifiers is how many goroutines of this process judge signatures in bulk at a
// time: half of the processors, so that a large table does not keep links from
// being heard, by which others would take us for dead.
var verifiers = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// yieldEvery is after how many signatures, of 50 µs each, others may run (a guess).
const yieldEvery = 16

// verify judges the signatures of a part of a table, off the loop, which it would
// stall for seconds in a network of thousands. The core bounds how many parts there
// are at a time.
func (n *Node) verify(v core.Verify) {
	valid := make([]bool, len(v.Claims))
	select {
	case verifiers <- struct{}{}:
	case <-n.ctx.Done():
		return
	}
	for i, claim := range v.Claims {
		valid[i] = claim.Valid()
		if i%yieldEvery == 0 {
			runtime.Gosched() // whoever waits for a packet goes first
		}
	}
	<-verifiers
	n.post(func() { n.core.Verified(n.now(), v.ID, valid) })
}
