package messaging

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Withdrawing our messages. In the state directory a last word takes the place of the message,
// and stays until the program has had the event: so a withdrawn message does not come back
// after a crash, and its event isn't lost.

// wasCancelled is the last word of a message that was withdrawn.
const wasCancelled = "cancelled"

// Outgoing lists the messages that wait or are on their way, of earlier runs too, the newest
// first.
func (e *Engine) Outgoing() []Outgoing {
	var list []Outgoing
	for _, r := range e.directory.all() {
		list = r.appendOutgoing(list)
	}
	slices.SortStableFunc(list, func(a, b Outgoing) int { return b.SentAt.Compare(a.SentAt) })
	return list
}

func (r *receiver) appendOutgoing(list []Outgoing) []Outgoing {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range slices.Backward(r.box.All()) {
		list = append(list, Outgoing{m.ID, r.to, m.Ref, m.Body, m.Binary, kinds[m.Kind], m.SentAt})
	}
	return list
}

// Cancel withdraws a message that has no receipt yet, also one of an earlier run: this peer
// neither sends nor keeps it any more. Failed reports when that is done, with the error
// "cancelled". Copies that this run has left with others are taken back after that, as far as these
// can be reached; one that is on its way by then may still be shown. ErrNotWaiting: the message is
// not known, or its end has been reported already; ErrClosed: this peer has left.
func (e *Engine) Cancel(id MessageID) error {
	for _, r := range e.directory.all() {
		if found, err := r.cancel(id); found {
			return err
		}
	}
	return ErrNotWaiting
}

// cancel withdraws a message if it is one of this receiver. The message keeps its place among
// the others until its withdrawal is on disk: if one behind it went out earlier, and the
// message came back after a crash, it would pass for a repeat.
func (r *receiver) cancel(id MessageID) (found bool, err error) {
	e := r.engine
	r.mu.Lock()
	p, found := r.box.PositionOf(id)
	if !found || r.closed {
		r.mu.Unlock()
		return found, ErrClosed
	}
	m := r.box.At(p)
	again := m.Cancelled
	m.Cancelled = true
	r.left.full = true // until it has been taken out
	if !again && e.disk.Keeps() {
		e.disk.Write(func() { r.takeOut(m) }, store.Op{Bucket: store.Unsettled, Key: keyOfMessage(p)}, r.wordOf(m))
	}
	r.mu.Unlock()
	if !e.disk.Keeps() {
		r.takeOut(m)
	}
	return true, nil
}

// takeOut takes a withdrawn message out of the outbox, unless it is out already.
func (r *receiver) takeOut(m *delivery.Outgoing) {
	e := r.engine
	r.mu.Lock()
	before := r.box.Flying(delivery.Left)
	if r.box.Settle(m.Position) == nil {
		r.mu.Unlock()
		return
	}
	r.free(m)
	e.requests.noReply(m.ID, wasCancelled)
	r.left.full = r.box.Flying(delivery.Left) < before // until withdraw
	left := r.left.full
	r.notify()
	r.mu.Unlock()
	e.events.pushItem(item{event: cancelled(m, r.to), settled: m})
	if left || m.WasLeft {
		e.cfg.Wish(WithdrawWish{To: r.to, Past: !left})
	}
	if !left {
		e.custodian.look()
	}
	e.directory.forget(r)
	e.directory.noteIdle() // leaving need not wait for it
}

func cancelled(m *delivery.Outgoing, to certs.ID) Failed {
	return Failed{Message: m.ID, To: to, Ref: m.Ref, Error: wasCancelled}
}

// wordOf stores that a message was withdrawn. It keeps what the message was as long as the history may lack
// that it was sent.
func (r *receiver) wordOf(m *delivery.Outgoing) store.Op {
	what, said := r.engine.author().Message(m, r.to), r.engine.disk.unsaid.of(m.ID)
	if said == 0 {
		delivery.Empty(what)
	}
	value, err := proto.Marshal(&pb.StoredMessage{Message: what, Called: r.to.AsAlias(), Ref: []byte(m.Ref), Said: said})
	if err != nil {
		panic("messaging: a message that can't be encoded: " + err.Error()) // Send has checked it
	}
	return store.Op{Bucket: store.Unsettled, Key: keyOfWord(m.Position), Value: value}
}

// lastWord is an event of an earlier run's message that the program has not had yet.
type lastWord struct {
	to certs.ID
	m  *delivery.Outgoing
}

// tellWords reports the last words of earlier runs to the program. It is called once, on the
// loop, after Ready.
func (e *Engine) tellWords() {
	for _, w := range e.words {
		e.events.pushItem(item{event: cancelled(w.m, w.to), settled: w.m})
	}
	e.words = nil
}
