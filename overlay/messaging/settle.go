package messaging

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// The end of a message of ours: it has a receipt, or it has waited too long. (Or it is
// cancelled, see cancel.go.)

// settle settles a message. Its end is added to those that are to be reported, unless its
// storing is still awaited. A message that is settled already is left alone: its receipt came
// twice, by two paths. r.mu is held.
func (r *receiver) settle(ends []item, p delivery.Position, word delivery.Receipt, now time.Duration) []item {
	if r.closed {
		return ends // it was reported as undelivered
	}
	m := r.box.At(p)
	if m == nil || m.Cancelled { // a receipt for a withdrawn message is not reported any more
		return ends
	}
	r.box.Settle(p)
	r.relayed.progress(now)
	if m.Stored {
		r.free(m)
		return append(ends, r.outcome(m, word, now))
	}
	m.Receipt = &word
	r.storing++
	return ends
}

// outcome is the last event of a message.
func (r *receiver) outcome(m *delivery.Outgoing, word delivery.Receipt, now time.Duration) item {
	if word.Refused {
		r.engine.requests.noReply(m.ID, word.Reason)
	}
	if word.Final {
		return item{event: Failed{Message: m.ID, To: r.to, Ref: m.Ref, Error: word.Reason}, settled: m}
	}
	if word.Refused {
		return item{event: Failed{Message: m.ID, To: r.to, Ref: m.Ref, Error: "the receiver refuses it: " + word.Reason}, settled: m}
	}
	d := Delivered{Message: m.ID, To: r.to, Ref: m.Ref, Path: PathDirect}
	if word.Relayed {
		d.Path = PathRelayed
	}
	if m.Waits == "" {
		d.RTT = max(now-m.Taken, 1)
	}
	return item{event: d, settled: m}
}

// settled reports ends of messages to the program. r.mu is held, and is not any more then.
func (r *receiver) settled(ends []item) {
	idle, present, key := r.box.Len() == 0, r.present, r.key
	if r.relayed.running || r.box.Next(delivery.Direct) != nil { // else nobody waits but for room
		r.changed.Broadcast()
	}
	r.tellRoom()
	r.mu.Unlock()
	if len(ends) > 0 {
		r.engine.directory.exchanged(r.to, key, true)
	}
	r.engine.events.pushAll(ends)
	if idle {
		r.engine.directory.noteIdle()
		if !present {
			r.engine.directory.forget(r)
		}
	}
}

// settles says that the code of a receipt is known.
func settles(r *pb.Receipt) bool {
	return r.GetCode() == pb.ReceiptCode_DELIVERED || r.GetCode() == pb.ReceiptCode_REJECTED
}

// receiptOf converts a receipt with a code that settles.
func receiptOf(r *pb.Receipt, relayed bool) delivery.Receipt {
	return delivery.Receipt{Refused: r.GetCode() != pb.ReceiptCode_DELIVERED, Reason: r.GetReason(), Relayed: relayed}
}

// relayedReceipt takes a receipt that has come over others, from the peer of that key, and by that
// connection.
func (r *receiver) relayedReceipt(from certs.PublicKey, word *pb.Receipt, over uint64) {
	r.mu.Lock()
	p, ok := r.box.PositionOf(MessageID(word.GetId()))
	if !ok || r.key != from || !settles(word) {
		r.mu.Unlock()
		return
	}
	again := r.relayed.tries > 0
	r.settled(r.settle(nil, p, receiptOf(word, true), r.engine.now()))
	if again && over != 0 {
		r.engine.cfg.Wish(AnsweredWish{r.to, over})
	}
}

// expire reports messages that have waited too long.
func (r *receiver) expire(before time.Duration) {
	r.mu.Lock()
	expired := r.box.Expire(before)
	for _, m := range expired {
		r.free(m)
		r.engine.requests.noReply(m.ID, "it has waited for 7 days")
	}
	r.mu.Unlock()
	for _, m := range expired {
		r.engine.events.pushItem(item{event: Failed{Message: m.ID, To: r.to, Ref: m.Ref, Error: "it has waited for 7 days"}, settled: m})
	}
	if len(expired) > 0 {
		r.engine.directory.forget(r)
	}
}
