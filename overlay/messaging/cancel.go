package messaging

import (
	"encoding/binary"
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
const wasCancelled = "it was cancelled"

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
		list = append(list, Outgoing{m.ID, r.to, m.Ref, m.Body, m.Binary, m.SentAt})
	}
	return list
}

// Cancel withdraws a message that has no receipt yet, also one of an earlier run: this peer
// neither sends nor keeps it any more. Failed reports when that is done. A copy that is on its
// way by then, or that others keep for the receiver, may still arrive. ErrNotWaiting: the
// message is not known, or its end has been reported already; ErrClosed: this peer has left.
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
	if left {
		e.cfg.Wish(WithdrawWish{r.to})
	} else {
		e.custodian.look()
	}
	e.directory.forget(r)
	e.directory.noteIdle() // leaving need not wait for it
}

func cancelled(m *delivery.Outgoing, to certs.ID) Failed {
	return Failed{Message: m.ID, To: to, Ref: m.Ref, Error: wasCancelled}
}

const keySize = 16 // of a message

func keyOfMessage(p delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Epoch), p.Counter)
}

// forgetMessage deletes a message from the disk when the program has had its last event. This
// may be delayed: if the message is sent again, its receiver knows it, and the program gets
// the event again.
func (d *Disk) forgetMessage(m *delivery.Outgoing) {
	key := keyOfMessage(m.Position)
	if m.Cancelled {
		key = keyOfWord(m.Position)
	}
	d.Write(nil, store.Op{Bucket: store.Unsettled, Key: key})
}

// keyOfWord is the key of a message's last word: right after the key of the message.
func keyOfWord(p delivery.Position) []byte { return append(keyOfMessage(p), 'w') }

// wordOf stores that a message was withdrawn.
func (r *receiver) wordOf(m *delivery.Outgoing) store.Op {
	what := r.engine.author().Message(m, r.to)
	delivery.Empty(what)
	value, err := proto.Marshal(&pb.StoredMessage{Message: what, Ref: []byte(m.Ref)})
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
