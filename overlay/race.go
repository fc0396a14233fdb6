package overlay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/transport"
)

// race dials the addresses of one peer side by side; the first to connect is used. The
// core can add addresses to it while it runs. It is over when one has connected or all
// have failed.
type race struct {
	node   *Node
	dial   core.DialID
	key    certs.PublicKey
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	dialling []netip.AddrPort
	running  int // candidates
	over     bool
	won      bool
	err      error // of those that have failed, the one that says most
}

// dial begins a race, or adds to one.
func (n *Node) dial(d core.Dial) {
	r := n.races[d.ID]
	if r == nil || !r.begin(len(d.Candidates)) {
		r = &race{node: n, dial: d.ID, key: d.Key, running: len(d.Candidates)}
		r.ctx, r.cancel = context.WithCancel(n.ctx)
		n.races[d.ID] = r
	}
	for _, c := range d.Candidates {
		n.wg.Go(func() { r.run(c, d.Timeout) })
	}
}

// begin takes more candidates in, unless it is over.
func (r *race) begin(candidates int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.running += candidates
	return true
}

// run dials one candidate, when its time has come.
func (r *race) run(c core.Candidate, timeout time.Duration) {
	r.dialWhenDue(c, timeout)
	if err, last := r.end(); last {
		r.node.post(func() { r.finish(err) })
	}
}

func (r *race) dialWhenDue(c core.Candidate, timeout time.Duration) {
	start := time.NewTimer(c.After)
	defer start.Stop()
	select {
	case <-start.C:
	case <-r.ctx.Done():
		return
	}
	if address, ok := literal(c.Address); ok {
		r.tryAll([]netip.AddrPort{address}, timeout-c.After)
		return
	}
	// A name has its own time, and what it meant last need not wait for it.
	names := &r.node.names
	var group sync.WaitGroup
	defer group.Wait()
	last := names.remembered(c.Address)
	group.Go(func() { r.tryAll(last, timeout) })
	list, err := names.resolve(r.ctx, c.Address, r.node.lookupTime())
	if err != nil {
		r.failed(err)
	}
	r.tryAll(slices.DeleteFunc(list, func(a netip.AddrPort) bool { return slices.Contains(last, a) }), timeout)
}

// tryAll dials all of the addresses, some at once, until the race is over.
func (r *race) tryAll(list []netip.AddrPort, timeout time.Duration) {
	for some := range slices.Chunk(list, atOnce) {
		ctx, cancel := context.WithTimeout(r.ctx, timeout)
		var group sync.WaitGroup
		for _, address := range some {
			if r.take(address) {
				group.Go(func() { r.try(ctx, address) })
			}
		}
		group.Wait()
		cancel()
		if r.ctx.Err() != nil {
			return
		}
	}
}

// take says whether an address is not being dialled.
func (r *race) take(address netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.dialling, address) {
		return false
	}
	r.dialling = append(r.dialling, address)
	return true
}

func (r *race) try(ctx context.Context, address netip.AddrPort) {
	l, err := r.node.endpoint.Dial(ctx, address, r.key)
	r.mu.Lock()
	r.dialling = slices.DeleteFunc(r.dialling, func(a netip.AddrPort) bool { return a == address })
	won := err == nil && !r.won && r.ctx.Err() == nil
	r.won = r.won || won
	r.mu.Unlock()
	switch {
	case err != nil:
		r.failed(err)
	case won:
		r.cancel()
		r.node.post(func() { r.node.connected(l, r.dial) })
	default:
		l.Abort(transport.CodeDuplicateLink, "another address was faster")
	}
}

func (r *race) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = worse(r.err, err)
}

// end notes the end of a candidate; last says that all have ended, err why they failed.
func (r *race) end() (err error, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.over = r.running == 0
	return r.err, r.over
}

// finish is the loop's part of the end. A race that has followed it meanwhile decides.
func (r *race) finish(err error) {
	r.cancel()
	if r.node.races[r.dial] != r {
		return
	}
	delete(r.node.races, r.dial)
	if r.won { // nobody writes that any more
		return
	}
	if err == nil {
		err = transport.ErrNoAnswer
	}
	r.node.core.Hindered(r.dial, obstacleOf(err))
	r.node.core.DialFailed(r.node.now(), r.dial, errors.Is(err, certs.ErrSelf), err.Error())
}

// worse chooses of two failures the one that says more: that we run elsewhere, then anything
// rather than silence, the first of equals.
func worse(a, b error) error {
	if a == nil || errors.Is(b, certs.ErrTwin) || silence(a) && !silence(b) {
		return b
	}
	return a
}

func silence(err error) bool {
	return errors.Is(err, transport.ErrNoAnswer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
