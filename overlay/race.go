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
	"quicpeer/overlay/core/base"
	"quicpeer/transport"
)

// dials holds the races that are under way.
type dials struct {
	races    map[base.DialID]*race // the loop's own
	names    names
	endpoint *transport.Endpoint
	mailbox  *mailbox
	ctx      context.Context
	group    *sync.WaitGroup
	clock    clock
	joinTime time.Duration // how long the node may take to join
}

// race dials the addresses of one peer in parallel; the first to connect is used. The core can
// add addresses while it runs. It is over when one has connected or all have failed.
type race struct {
	*dials
	dial   base.DialID
	key    certs.PublicKey
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	dialling []netip.AddrPort
	running  int // candidates
	over     bool
	won      bool
	err      error // the most telling error of the failed candidates
}

// race begins a race, or adds candidates to one.
func (s *dials) race(d base.Dial) {
	r := s.races[d.ID]
	if r == nil || !r.extend(len(d.Candidates)) {
		r = &race{dials: s, dial: d.ID, key: d.Key, running: len(d.Candidates)}
		r.ctx, r.cancel = context.WithCancel(s.ctx)
		s.races[d.ID] = r
	}
	for _, c := range d.Candidates {
		s.group.Go(func() { r.run(c, d.Timeout) })
	}
}

// giveUp ends a race, which is not wanted any more.
func (s *dials) giveUp(id base.DialID) {
	if r := s.races[id]; r != nil {
		r.cancel()
	}
}

// extend adds candidates; false if the race is over.
func (r *race) extend(candidates int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.running += candidates
	return true
}

// run dials one candidate, when its time has come.
func (r *race) run(c base.Candidate, timeout time.Duration) {
	r.dialWhenDue(c, timeout)
	if err, last := r.ranOut(); last {
		r.mailbox.post(raceOver{r, err})
	}
}

func (r *race) dialWhenDue(c base.Candidate, timeout time.Duration) {
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
	// The time to resolve a name does not count, and its last addresses are tried meanwhile.
	var group sync.WaitGroup
	defer group.Wait()
	last := r.names.remembered(c.Address)
	group.Go(func() { r.tryAll(last, timeout) })
	list, err := r.names.resolve(r.ctx, c.Address, r.lookupTime())
	if err != nil {
		r.failed(err)
	}
	r.tryAll(slices.DeleteFunc(list, func(a netip.AddrPort) bool { return slices.Contains(last, a) }), timeout)
}

// lookupTime is how long to wait for a name now: while the node joins, no longer than is left
// for joining.
func (s *dials) lookupTime() time.Duration {
	if rest := s.joinTime - s.clock.now() - lookupMargin; rest > 0 {
		return min(rest, lookupTime)
	}
	return lookupTime
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

// take reserves an address; false if it is being dialled already.
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
	l, err := r.endpoint.Dial(ctx, address, r.key)
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
		r.mailbox.post(connected{link: l, dial: r.dial})
	default:
		l.Abort(transport.CodeDuplicateLink, "another address was faster")
	}
}

func (r *race) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = worse(r.err, err)
}

// ranOut notes the end of a candidate; last says that all have ended, err why they failed.
func (r *race) ranOut() (err error, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.over = r.running == 0
	return r.err, r.over
}

// raceOver: all candidates of a race have ended.
type raceOver struct {
	race *race
	err  error // why they failed
}

// handle reports the failure to the core, unless a candidate has won or another race for the
// same dial has followed and decides.
func (o raceOver) handle(l *loop) {
	r, err := o.race, o.err
	r.cancel()
	if l.dials.races[r.dial] != r {
		return
	}
	delete(l.dials.races, r.dial)
	if r.won { // final: no candidate runs any more
		return
	}
	if err == nil {
		err = transport.ErrNoAnswer
	}
	l.step(core.DialFailed{Dial: r.dial, Obstacle: obstacleOf(err), Self: errors.Is(err, certs.ErrSelf), Why: err.Error()})
}

// worse returns the more telling of two failures: that we run elsewhere, then anything rather
// than silence; the first of equals.
func worse(a, b error) error {
	if a == nil || errors.Is(b, certs.ErrTwin) || silence(a) && !silence(b) {
		return b
	}
	return a
}

func silence(err error) bool {
	return errors.Is(err, transport.ErrNoAnswer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
