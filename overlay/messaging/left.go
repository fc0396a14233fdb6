package messaging

import (
	"context"
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// A message to an absent peer is also left, sealed, with others, in case we are gone when it
// comes. The network chooses the holders.

// MaxLeftBody bounds the bodies left with others (a guess; pb.MaxDeposit holds it). Messages
// behind a longer body aren't left either: they would have to wait for it.
const MaxLeftBody = 64 << 10

// leftLimits are the limits of one deposit.
var leftLimits = delivery.Limits{Messages: 128, Bytes: MaxLeftBody, FlightBytes: maxWaitingBytes, Flight: MaxWaiting}

// custodian leaves messages with others, on a goroutine of its own.
type custodian struct {
	engine *Engine
	wake   chan struct{}
	asked  chan chan struct{} // from callers that wait for another round, closed when it is over
}

// look has the custodian check whether there is something to leave.
func (c *custodian) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the custodian's goroutine.
func (c *custodian) run() {
	e := c.engine
	select {
	case <-e.begun:
	case <-e.ctx.Done():
		return
	}
	var done chan struct{} // of the caller that waits for this round
	for {
		for _, r := range e.directory.all() {
			for r.left.leaveSome() {
			}
		}
		if done != nil {
			close(done)
			done = nil
		}
		select {
		case <-c.wake:
		case done = <-c.asked:
		case <-e.ctx.Done():
			return
		}
	}
}

// AwaitLeft waits until all messages that can be left with others have been handed to the
// network; false is the end of ctx.
func (e *Engine) AwaitLeft(ctx context.Context) bool {
	if e.cfg.NoCustody {
		return true
	}
	done := make(chan struct{})
	select {
	case e.custodian.asked <- done:
	case <-ctx.Done():
		return false
	case <-e.ctx.Done():
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	case <-e.ctx.Done():
		return false
	}
}

// ToBeLeft says that messages are still to be left with others.
func (e *Engine) ToBeLeft() bool {
	return !e.cfg.NoCustody && slices.ContainsFunc(e.directory.all(), func(r *receiver) bool { return r.left.toBeLeft() })
}

// leftLane leaves a receiver's messages with others. The receiver's lock guards it.
type leftLane struct {
	r    *receiver
	full bool // no more is left, until everything is left anew
}

// leaveSome leaves the next messages with others; false if there are none to be left.
func (l *leftLane) leaveSome() bool {
	e := l.r.engine
	batch, after, to := l.nextDeposit()
	if len(batch) == 0 || e.ctx.Err() != nil {
		return false
	}
	sealed, err := e.author().SealMessages(to, batch, after)
	if err != nil {
		e.log.Warn("a message can't be sealed", "peer", string(to.ID), "error", err)
		return false
	}
	taken := make(chan bool, 1)
	e.cfg.Wish(DepositWish{&pb.Deposit{Receiver: string(to.ID), ReceiverKey: to.Key[:], Sealed: sealed}, l.r, batch, taken})
	select {
	case ok := <-taken:
		return ok || l.refused(batch)
	case <-e.ctx.Done():
		return false
	}
}

// refused notes that the messages taken to be left with others, and so those behind them, are
// not left until everything is left anew. True says to look again: a message that was
// cancelled meanwhile is out, and the rest is left anew.
func (l *leftLane) refused(batch []*delivery.Outgoing) bool {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(batch, func(m *delivery.Outgoing) bool { return m.Cancelled && r.box.At(m.Position) == nil }) {
		return true
	}
	l.full = true
	return false
}

// anew has all unsettled messages left with others again.
func (l *leftLane) anew() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.full = false
	l.r.box.Rewind(delivery.Left)
	l.r.engine.custodian.look()
}

// later stops leaving messages with others until anew, if there are any; if not, the next ones
// may be left.
func (l *leftLane) later() bool {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.full = l.r.box.Len() > 0
	return l.full
}

// nextDeposit takes the next messages to be left with others.
func (l *leftLane) nextDeposit() (batch []*delivery.Outgoing, after delivery.Position, to delivery.Addressee) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if !l.pending() {
		return nil, after, to
	}
	batch, after = r.box.Take(delivery.Left, leftLimits)
	if i := slices.IndexFunc(batch, func(m *delivery.Outgoing) bool { return !leavable(m) }); i > 0 {
		r.box.Untake(delivery.Left, batch[i:])
		batch = batch[:i]
	}
	for _, m := range batch {
		m.WasLeft = true
	}
	return batch, after, r.addressee()
}

func leavable(m *delivery.Outgoing) bool {
	return m != nil && m.Stored && len(m.Body) <= MaxLeftBody
}

// pending says that messages are to be left with others. r.mu is held.
func (l *leftLane) pending() bool {
	r := l.r
	return !r.present && !r.closed && !l.full && r.sealing != (certs.SealingKey{}) && leavable(r.box.Next(delivery.Left))
}

func (l *leftLane) toBeLeft() bool {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.pending()
}
