package overlay

import (
	"errors"
	"io"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// A message stream that is cancelled, or ends in the middle of something, costs that
// stream and not the link. Positions rise, and who has shown a later one has shown all
// before it; so nothing behind a lost stream may be taken until what was lost has come.
//
//	sender                                   receiver
//	7 8 ──▶ cut off behind 7                 has taken 7, waits for the sender
//	9 10 ─▶                                  refuses it: 9 is the first it refuses
//	all that has no receipt goes again,
//	from the oldest on, one stream at a time
//	8 9 10 ──▶                               8 is not behind 9: the sender has begun again

// cutOff says that a stream has failed by itself: the link lives.
func cutOff(err error) bool {
	var reset *transport.ResetError
	return err == io.ErrUnexpectedEOF || err == errNoReceipt || errors.As(err, &reset)
}

var (
	errNoReceipt = errors.New("the peer has ended its answers before the last receipt")
	// errNotAgain: something before this stream is lost, and its sender has not begun again.
	errNotAgain = errors.New("an earlier message stream was cut off")
)

// maxCutOff is how many streams in a row may be cut off on a link (a guess).
const maxCutOff = 1024

// interruption is what the receiver on a link knows of streams that were cut off.
type interruption struct {
	waits   bool              // for the sender to begin again
	refused delivery.Position // the first message that was refused since; zero: none was
	row     int               // streams in a row that were cut off
}

// cutOff notes that a stream was cut off; false says that there are too many.
func (i *interruption) cutOff() bool {
	i.waits, i.refused = true, delivery.Position{}
	i.row++
	return i.row <= maxCutOff
}

// admits says that a stream is to be read that begins with the message at p, where all
// up to taken has been taken. While the sender has not begun again, positions rise from
// stream to stream. So one that does not is the beginning, and has the oldest message in
// it that was lost; and nothing is lost before what was taken.
func (i *interruption) admits(p, taken delivery.Position) bool {
	if i.waits && i.refused == (delivery.Position{}) && taken.Before(p) {
		i.refused = p
		return false
	}
	i.waits = i.waits && taken.Before(p) && i.refused.Before(p)
	return !i.waits
}

// Pauses before what was cut off, or got an answer that settles nothing, goes again
// (guesses): from the first, doubling, to the last.
const (
	againFirst  = 50 * time.Millisecond
	againMost   = time.Minute
	repeatFirst = time.Second
)

// again is how an outbox goes on with a link on which a stream was cut off, or with a
// message whose receipt has a code that is not known.
type again struct {
	round    int           // streams of earlier rounds are void
	failures int           // rounds in a row that were cut off
	at       time.Duration // when the next begins

	repeats  int           // of what is not settled by its receipt
	repeatAt time.Duration // when it goes again; 0: there is nothing of that kind
}

// next is when something goes again, 0 if nothing does.
func (a *again) next(now time.Duration) time.Duration {
	switch {
	case a.failures > 0 && now < a.at && (a.repeatAt == 0 || a.at < a.repeatAt):
		return a.at
	default:
		return a.repeatAt
	}
}

// mayWrite says that a stream with messages may be written to the link. After one that
// was cut off they go one at a time. o.mu is held.
func (o *outbox) mayWrite() bool {
	now := o.node.now()
	if o.again.repeatAt != 0 && now >= o.again.repeatAt {
		o.again.repeatAt = 0
		o.box.Rewind(delivery.Direct)
	}
	return o.box.Fits(delivery.Direct, directLimits) &&
		(o.again.failures == 0 || now >= o.again.at && o.box.Flying(delivery.Direct) == 0)
}

// awaitChange waits until something has changed, or is to go again. o.mu is held.
func (o *outbox) awaitChange() {
	now := o.node.now()
	if next := o.again.next(now); next > now {
		o.waitUntil(now, next)
		return
	}
	o.changed.Wait()
}

// counts says that a stream is of this round.
func (o *outbox) counts(w writtenStream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return w.round == o.again.round
}

// beginAgain is the end of a round: all that has no receipt goes again.
func (o *outbox) beginAgain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := &o.again
	a.at = o.node.now() + min(againFirst<<min(a.failures, 16), againMost)
	a.round++
	if a.failures++; a.failures == 6 { // for three seconds
		o.tellAllWait(notTaken)
	}
	o.box.Rewind(delivery.Direct)
	o.changed.Broadcast()
}

// wentWell notes that a stream has all its receipts.
func (o *outbox) wentWell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.again.failures > 0 {
		o.again.failures = 0
		o.changed.Broadcast()
	}
}

// unsettled takes a receipt of a code that is not known: the message waits, and goes
// again, more and more seldom. It holds up nothing.
func (o *outbox) unsettled(m *delivery.Outgoing, r *pb.Receipt) {
	o.node.log.Debug("a receipt that is not known settles nothing", "peer", string(o.to), "code", r.GetCode().String(), "reason", r.GetReason())
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := &o.again; a.repeatAt == 0 {
		a.repeatAt = o.node.now() + min(repeatFirst<<min(a.repeats, 16), againMost)
		a.repeats++
	}
	if _, waits := o.box.PositionOf(m.ID); waits {
		o.tellWaits(m, notTaken)
	}
	o.changed.Broadcast()
}
