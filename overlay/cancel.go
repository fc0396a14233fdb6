package overlay

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Messages of ours that are withdrawn. In the state directory the last word takes the
// place of the message, and stays until the program has been told: so a message that was
// withdrawn does not come back after a crash, and the word of it isn't lost.

// wasCancelled is the last word of a message that was withdrawn.
const wasCancelled = "it was cancelled"

// Outgoing is a message of ours that has no receipt yet.
type Outgoing struct {
	Message MessageID
	To      certs.ID
	Ref     string
	Body    string
	SentAt  time.Time
}

// Outgoing lists what is on its way or waits, of earlier runs too, the newest first.
func (n *Node) Outgoing() []Outgoing {
	var list []Outgoing
	for _, o := range n.allOutboxes() {
		list = o.appendOutgoing(list)
	}
	slices.SortStableFunc(list, func(a, b Outgoing) int { return b.SentAt.Compare(a.SentAt) })
	return list
}

func (o *outbox) appendOutgoing(list []Outgoing) []Outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range slices.Backward(o.box.All()) {
		list = append(list, Outgoing{m.ID, o.to, m.Ref, m.Body, m.SentAt})
	}
	return list
}

// Cancel withdraws a message that has no receipt yet, also one of an earlier run: this
// peer neither sends nor keeps it any more. Failed says when that is done. A copy that is
// on its way by then, or that others keep for the receiver, may still arrive.
// ErrNotWaiting: there is no such message, or what became of it has been said; ErrClosed:
// this peer has left.
func (n *Node) Cancel(id MessageID) error {
	for _, o := range n.allOutboxes() {
		if found, err := o.cancel(id); found {
			return err
		}
	}
	return ErrNotWaiting
}

// cancel withdraws a message if it is one of this outbox. It keeps its place among the
// others until the disk knows: if one behind it went on its way without waiting for it,
// and it came back after a crash, it would pass for a repeat.
func (o *outbox) cancel(id MessageID) (found bool, err error) {
	n := o.node
	o.mu.Lock()
	p, found := o.box.PositionOf(id)
	if !found || o.closed {
		o.mu.Unlock()
		return found, ErrClosed
	}
	m := o.box.At(p)
	again := m.Cancelled
	m.Cancelled = true
	o.leftFull = true // until it has been taken out
	if !again && n.store != nil {
		n.write(func() { o.takeOut(m) }, store.Op{Bucket: store.Outbox, Key: keyOfMessage(p)}, o.wordOf(m))
	}
	o.mu.Unlock()
	if n.store == nil {
		o.takeOut(m)
	}
	return true, nil
}

// takeOut takes a message out that was withdrawn, unless it is out already.
func (o *outbox) takeOut(m *delivery.Outgoing) {
	n := o.node
	o.mu.Lock()
	before := o.box.Flying(delivery.Left)
	if o.box.Settle(m.Position) == nil {
		o.mu.Unlock()
		return
	}
	o.hold(m, -1)
	o.leftFull = o.box.Flying(delivery.Left) < before // until withdraw
	left := o.leftFull
	o.changed.Broadcast()
	o.mu.Unlock()
	n.queue.pushSettled(cancelled(m, o.to), m)
	if left {
		n.post(withdrawn{o.to})
	} else {
		n.custodian.look()
	}
	n.forgetOutbox(o)
	n.outboxIdle() // who leaves need not wait for it
}

func cancelled(m *delivery.Outgoing, to certs.ID) Failed {
	return Failed{m.ID, to, m.Ref, wasCancelled}
}

// withdrawn: a message to this peer is not to be sent any more.
type withdrawn struct{ to certs.ID }

// handle takes back what is left with others for the peer. What else there is for it is
// left anew when the core says so.
func (w withdrawn) handle(l *loop) {
	o := l.node.existingOutbox(w.to)
	l.step(core.Withdraw{Receiver: w.to, Rest: o != nil && o.leaveLater()})
}

// leaveLater has nothing left with others until leaveAnew, if there is anything; else
// what comes next may be.
func (o *outbox) leaveLater() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leftFull = o.box.Len() > 0
	return o.leftFull
}

// keyOfWord is where the last word of a message is kept: behind its own place.
func keyOfWord(p delivery.Position) []byte { return append(keyOfMessage(p), 'w') }

// wordOf stores that a message was withdrawn.
func (o *outbox) wordOf(m *delivery.Outgoing) store.Op {
	what := o.node.author().Message(m, o.to)
	what.Content = ""
	value, err := proto.Marshal(&pb.StoredMessage{Message: what, Ref: []byte(m.Ref)})
	if err != nil {
		panic("overlay: a message that can't be encoded: " + err.Error()) // Send has checked it
	}
	return store.Op{Bucket: store.Outbox, Key: keyOfWord(m.Position), Value: value}
}

// lastWord is what the program is still to be told of a message of an earlier run.
type lastWord struct {
	to certs.ID
	m  *delivery.Outgoing
}

// tellWords tells the program what it was not told in the last run. It is called once, on
// the loop, behind Ready.
func (n *Node) tellWords() {
	for _, w := range n.words {
		n.queue.pushSettled(cancelled(w.m, w.to), w.m)
	}
	n.words = nil
}
