package messaging

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// The end of a message of ours: it has a receipt, or it has waited too long. (Or it is
// cancelled, see cancel.go.)

// receipt settles a message and reports that to the program. A message that is settled already
// is left alone: its receipt came twice, by two paths.
func (r *receiver) receipt(p delivery.Position, word delivery.Receipt) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return // it was reported as undelivered
	}
	m := r.box.At(p)
	if m == nil || m.Cancelled { // a receipt for a withdrawn message is not reported any more
		r.mu.Unlock()
		return
	}
	r.box.Settle(p)
	r.free(m)
	r.relayed.progress(len(m.Body))
	r.notify()
	idle, present := r.box.Len() == 0, r.present
	stored := m.Stored
	if !stored {
		m.Receipt = &word
	}
	r.mu.Unlock()
	if stored {
		r.settled(m, word)
	}
	if idle {
		r.engine.directory.noteIdle()
		if !present {
			r.engine.directory.forget(r)
		}
	}
}

// settled reports the end of a message to the program.
func (r *receiver) settled(m *delivery.Outgoing, word delivery.Receipt) {
	events := r.engine.events
	if word.Refused {
		events.pushSettled(Failed{m.ID, r.to, m.Ref, "the receiver refuses it: " + word.Reason}, m)
		return
	}
	d := Delivered{Message: m.ID, To: r.to, Ref: m.Ref, Path: PathDirect}
	if word.Relayed {
		d.Path = PathRelayed
	}
	if m.Waits == "" {
		d.RTT = max(r.engine.now()-m.Taken, 1)
	}
	events.pushSettled(d, m)
}

// settles says that the code of a receipt is known.
func settles(r *pb.Receipt) bool {
	return r.GetCode() == pb.ReceiptCode_DELIVERED || r.GetCode() == pb.ReceiptCode_REJECTED
}

// receiptOf converts a receipt with a code that settles.
func receiptOf(r *pb.Receipt, relayed bool) delivery.Receipt {
	return delivery.Receipt{Refused: r.GetCode() != pb.ReceiptCode_DELIVERED, Reason: r.GetReason(), Relayed: relayed}
}

// relayedReceipt takes a receipt that has come over others, from the peer of that key.
func (r *receiver) relayedReceipt(from certs.PublicKey, word *pb.Receipt) {
	r.mu.Lock()
	p, ok := r.box.PositionOf(MessageID(word.GetId()))
	ok = ok && r.key == from && settles(word)
	r.mu.Unlock()
	if ok {
		r.receipt(p, receiptOf(word, true))
	}
}

// expire reports messages that have waited too long.
func (r *receiver) expire(before time.Duration) {
	r.mu.Lock()
	expired := r.box.Expire(before)
	for _, m := range expired {
		r.free(m)
	}
	r.mu.Unlock()
	for _, m := range expired {
		r.engine.events.pushSettled(Failed{m.ID, r.to, m.Ref, "it has waited for 7 days"}, m)
	}
	if len(expired) > 0 {
		r.engine.directory.forget(r)
	}
}
