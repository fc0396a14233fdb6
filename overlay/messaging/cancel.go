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

// Messages of ours that are withdrawn. In the state directory the last word takes the
// place of the message, and stays until the program has been told: so a message that was
// withdrawn does not come back after a crash, and the word of it isn't lost.

// wasCancelled is the last word of a message that was withdrawn.
const wasCancelled = "it was cancelled"

// Outgoing lists what is on its way or waits, of earlier runs too, the newest first.
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
		list = append(list, Outgoing{m.ID, r.to, m.Ref, m.Body, m.SentAt})
	}
	return list
}

// Cancel withdraws a message that has no receipt yet, also one of an earlier run: this
// peer neither sends nor keeps it any more. Failed says when that is done. A copy that is
// on its way by then, or that others keep for the receiver, may still arrive.
// ErrNotWaiting: there is no such message, or what became of it has been said; ErrClosed:
// this peer has left.
func (e *Engine) Cancel(id MessageID) error {
	for _, r := range e.directory.all() {
		if found, err := r.cancel(id); found {
			return err
		}
	}
	return ErrNotWaiting
}

// cancel withdraws a message if it is one of this receiver. It keeps its place among the
// others until the disk knows: if one behind it went on its way without waiting for it,
// and it came back after a crash, it would pass for a repeat.
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

// takeOut takes a message out that was withdrawn, unless it is out already.
func (r *receiver) takeOut(m *delivery.Outgoing) {
	e := r.engine
	r.mu.Lock()
	before := r.box.Flying(delivery.Left)
	if r.box.Settle(m.Position) == nil {
		r.mu.Unlock()
		return
	}
	r.free(m)
	r.left.full = r.box.Flying(delivery.Left) < before // until withdraw
	left := r.left.full
	r.notify()
	r.mu.Unlock()
	e.events.pushSettled(cancelled(m, r.to), m)
	if left {
		e.cfg.Wish(WithdrawWish{r.to})
	} else {
		e.custodian.look()
	}
	e.directory.forget(r)
	e.directory.noteIdle() // who leaves need not wait for it
}

func cancelled(m *delivery.Outgoing, to certs.ID) Failed {
	return Failed{m.ID, to, m.Ref, wasCancelled}
}

const keySize = 16 // of a message

func keyOfMessage(p delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Epoch), p.Counter)
}

// forgetMessage takes a message off the disk when the program has been told what became of
// it, in no hurry: should it be sent again, its receiver knows it, and the program is told
// again.
func (d *Disk) forgetMessage(m *delivery.Outgoing) {
	key := keyOfMessage(m.Position)
	if m.Cancelled {
		key = keyOfWord(m.Position)
	}
	d.Write(nil, store.Op{Bucket: store.Unsettled, Key: key})
}

// keyOfWord is where the last word of a message is kept: behind its own place.
func keyOfWord(p delivery.Position) []byte { return append(keyOfMessage(p), 'w') }

// wordOf stores that a message was withdrawn.
func (r *receiver) wordOf(m *delivery.Outgoing) store.Op {
	what := r.engine.author().Message(m, r.to)
	what.Content = ""
	value, err := proto.Marshal(&pb.StoredMessage{Message: what, Ref: []byte(m.Ref)})
	if err != nil {
		panic("messaging: a message that can't be encoded: " + err.Error()) // Send has checked it
	}
	return store.Op{Bucket: store.Unsettled, Key: keyOfWord(m.Position), Value: value}
}

// lastWord is what the program is still to be told of a message of an earlier run.
type lastWord struct {
	to certs.ID
	m  *delivery.Outgoing
}

// tellWords tells the program what it was not told in the last run. It is called once, on
// the loop, behind Ready.
func (e *Engine) tellWords() {
	for _, w := range e.words {
		e.events.pushSettled(cancelled(w.m, w.to), w.m)
	}
	e.words = nil
}
