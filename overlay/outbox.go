package overlay

import (
	"cmp"
	"context"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Bounds of what waits for receivers, and of what is on its way to one (guesses;
// what is on its way when a link breaks is sent twice).
const (
	maxWaiting      = 16384    // messages to one receiver
	maxWaitingBytes = 32 << 20 // their bodies and refs
	maxHeld         = 64 << 20 // bytes of all messages of the node, with messageCost for each
	maxHeldForFirst = 80 << 20 // with the first messages to receivers that are here
	messageCost     = 256      // about what a message takes beside its body and ref
	maxBatch        = 128      // messages on one stream
	maxBatchBytes   = 64 << 10
	maxFlightBytes  = 256 << 10
	maxLoneBytes    = 1000 // of a message that Send writes itself: below a packet, so that QUIC takes it at once
	maxOutboxes     = 4096 // receivers that are not here, with something waiting
)

// directLimits are those of a connection.
var directLimits = delivery.Limits{Messages: maxBatch, Bytes: maxBatchBytes, FlightBytes: maxFlightBytes, Flight: maxWaiting}

// roomLook is how often who waits for room in all outboxes together looks again.
const roomLook = 10 * time.Millisecond

// Why a message waits, for the program.
const (
	notHere    = "the peer is not in the network now"
	hasLeft    = "the peer has left the network"
	noWay      = "the peer can't be reached now"
	fromBefore = "kept from an earlier run"
	notTaken   = "the peer does not take it now"
)

// outbox sends the messages to one receiver, in the order of Send, over the link
// that the loop has given it, else over other peers (relay.go). delivery.Outbox
// knows which of them are on their way.
type outbox struct {
	node *Node
	to   certs.ID

	mu      sync.Mutex
	changed sync.Cond
	present bool             // the receiver is in the table, with this key
	key     certs.PublicKey  // of who has the ID, or had it last; zero if it was never met
	sealing certs.SealingKey // of the same; zero: nothing can be sealed to it
	link    *messageLink
	box     delivery.Outbox
	again   again    // on the link
	way     relayWay // over others
	closed  bool
	// leftFull says that no more is left with others, see custody.go.
	leftFull bool

	// Who writes to the link: send, or Send for a lone message. Whoever sets
	// writing has the fields below to itself until it is unset, or for good at the
	// end of the link.
	writing bool
	written chan writtenStream
	frames  []byte // a buffer
	round   int    // of what is written, see again
}

// messageLink is a link as the outbox and the inbox see it.
type messageLink struct {
	*transport.Link
	id    core.LinkID
	peer  certs.ID
	key   certs.PublicKey
	epoch uint64
	used  *activity
}

func newOutbox(n *Node, to certs.ID, k known, present bool) *outbox {
	o := &outbox{node: n, to: to, key: k.key, sealing: k.sealing, present: present}
	o.changed.L = &o.mu
	return o
}

// add takes a message. To a receiver that is here it waits for room, to another
// one it fails without it; away is why the message waits then, if that was known before.
func (o *outbox) add(ctx context.Context, body, ref, away string) (MessageID, error) {
	o.mu.Lock()
	if err := o.awaitRoom(ctx, len(body)+len(ref)); err != nil {
		o.mu.Unlock()
		return MessageID{}, err
	}
	// The position is taken under the lock, so that it rises from message to message
	// of a receiver.
	m := o.node.newMessage(body, ref)
	o.box.Add(m)
	o.hold(m, 1)
	o.store(m)
	lonely := o.present && !o.direct()
	if !o.present {
		o.tellWaits(m, cmp.Or(away, hasLeft))
		o.node.custodian.look()
	}
	if o.lone() {
		if stream := o.link.TryOpenStream(); stream != nil {
			o.sendLone(stream)
			return m.ID, nil
		}
	}
	o.changed.Broadcast()
	o.mu.Unlock()
	if lonely {
		o.node.want(o.to)
	}
	return m.ID, nil
}

// awaitRoom waits for room for a message. o.mu is held.
func (o *outbox) awaitRoom(ctx context.Context, size int) error {
	if !o.closed && o.full(size) && o.present {
		stop := context.AfterFunc(ctx, o.wakeAll)
		defer stop()
	}
	for !o.closed && o.full(size) {
		if !o.present {
			return ErrOutboxFull
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.node.held.Load()+int64(size) > maxHeld { // maybe others make room, and don't know who waits
			look := time.AfterFunc(roomLook, o.wakeAll)
			o.changed.Wait()
			look.Stop()
			continue
		}
		o.changed.Wait()
	}
	if o.closed {
		return ErrClosed
	}
	return nil
}

func (o *outbox) full(size int) bool {
	n := o.box.Len()
	inAll := int64(maxHeld)
	if n == 0 && o.present {
		inAll = maxHeldForFirst // those who are away don't hold up those who are here
	}
	return n >= maxWaiting || n > 0 && o.box.Bytes()+size > maxWaitingBytes || o.node.held.Load()+int64(size) > inAll
}

// hold counts a message among those of the node (1), or no more (-1).
func (o *outbox) hold(m *delivery.Outgoing, sign int64) {
	o.node.held.Add(sign * int64(len(m.Body)+len(m.Ref)+messageCost))
}

// lone says that the one waiting message is small, that nothing is on its way
// before it and that nobody writes. o.mu is held.
func (o *outbox) lone() bool {
	return o.direct() && !o.writing && o.again.failures == 0 && o.box.Len() == 1 && o.box.Flying(delivery.Direct) == 0 &&
		len(o.box.Oldest().Body) <= maxLoneBytes && !o.unfit(o.link)
}

// sendLone writes the one waiting message here and now: it saves a lone message
// the way over another goroutine, a tenth of its time on loopback. o.mu is held,
// and unlocked.
func (o *outbox) sendLone(stream *transport.Stream) {
	l, batch := o.link, o.take()
	o.mu.Unlock()
	o.write(l, stream, batch) // a failure ends the link, and send with it
	o.wrote()
}

// wrote gives the right to write back.
func (o *outbox) wrote() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	o.changed.Broadcast()
}

func (o *outbox) wakeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed.Broadcast()
}

// tellWaits tells the program once that a message waits. o.mu is held.
func (o *outbox) tellWaits(m *delivery.Outgoing, reason string) {
	if m.Waits == "" {
		m.Waits = reason
		if m.Stored {
			o.node.queue.push(Buffered{m.ID, o.to, m.Ref, reason})
		}
	}
}

func (o *outbox) tellAllWait(reason string) {
	for _, m := range o.box.All() {
		o.tellWaits(m, reason)
	}
}

// setPresent notes that the receiver has joined the table or left it.
func (o *outbox) setPresent(k known, present bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.present = present
	o.changed.Broadcast()
	if present {
		if o.key != k.key {
			o.box.Rewind(delivery.Relayed) // what is on its way goes to who had the ID before
		}
		o.key, o.sealing = k.key, k.sealing
		o.leftFull = false
		o.box.Rewind(delivery.Left)
		return
	}
	o.endRelay()
	if o.link == nil {
		o.tellAllWait(hasLeft)
	}
	o.node.custodian.look()
}

// attach gives the outbox a link if it has none; true says that it was taken and
// that the caller is to run send on it. What is on its way over others goes again.
func (o *outbox) attach(l *messageLink) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil || o.closed {
		return false
	}
	o.link, o.writing, o.written, o.again = l, false, make(chan writtenStream, maxStreams), again{}
	o.endRelay()
	o.changed.Broadcast()
	return true
}

// detach takes the link away; what was in flight on it waits again.
func (o *outbox) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link = nil
	o.box.Rewind(delivery.Direct)
	o.changed.Broadcast()
	if !o.present {
		o.tellAllWait(hasLeft)
		o.node.custodian.look()
	}
}

// next waits for messages and for the right to write, and sends a batch of them
// on its way; nil is the end of the link, or of its use: its peer has lost the ID
// to another.
func (o *outbox) next(l *messageLink) []*delivery.Outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing || !o.unfit(l) && !o.mayWrite() {
		o.awaitChange()
	}
	if o.unfit(l) {
		o.writing = true // for good: nobody writes to this link any more
		return nil
	}
	return o.take()
}

// take takes the next batch and the right to write. o.mu is held.
func (o *outbox) take() []*delivery.Outgoing {
	batch, _ := o.box.Take(delivery.Direct, directLimits)
	o.writing, o.round = true, o.again.round
	return batch
}

func (o *outbox) unfit(l *messageLink) bool {
	return l.used.ctx.Err() != nil || l.used.retired.Load() || o.present && l.key != o.key
}

// receipt settles a message and tells the program. One that is settled already is
// left alone: it came by two ways.
func (o *outbox) receipt(p delivery.Position, r delivery.Receipt) {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return // it was reported as undelivered
	}
	m := o.box.At(p)
	if m == nil || m.Cancelled { // what comes of one that was withdrawn is not told any more
		o.mu.Unlock()
		return
	}
	o.box.Settle(p)
	o.hold(m, -1)
	o.way.progress(o.node.now(), len(m.Body), o.box.FlyingBytes(delivery.Relayed))
	o.changed.Broadcast()
	idle, present := o.box.Len() == 0, o.present
	stored := m.Stored
	if !stored {
		m.Receipt = &r
	}
	o.mu.Unlock()
	if stored {
		o.settled(m, r)
	}
	if idle {
		o.node.outboxIdle()
		if !present {
			o.node.forgetOutbox(o)
		}
	}
}

// settled tells the program what became of a message.
func (o *outbox) settled(m *delivery.Outgoing, r delivery.Receipt) {
	if r.Refused {
		o.node.queue.pushSettled(Failed{m.ID, o.to, m.Ref, "the receiver refuses it: " + r.Reason}, m)
		return
	}
	d := Delivered{Message: m.ID, To: o.to, Ref: m.Ref, Path: PathDirect}
	if r.Relayed {
		d.Path = PathRelayed
	}
	if m.Waits == "" {
		d.RTT = max(o.node.now()-m.Taken, 1)
	}
	o.node.queue.pushSettled(d, m)
}

// settles says that the sender knows what the code of a receipt means.
func settles(r *pb.Receipt) bool {
	return r.GetCode() == pb.ReceiptCode_DELIVERED || r.GetCode() == pb.ReceiptCode_REJECTED
}

// receiptOf is a receipt as it has come, of a code that settles.
func receiptOf(r *pb.Receipt, relayed bool) delivery.Receipt {
	return delivery.Receipt{Refused: r.GetCode() != pb.ReceiptCode_DELIVERED, Reason: r.GetReason(), Relayed: relayed}
}

// expire reports messages that have waited too long.
func (o *outbox) expire(before time.Duration) {
	o.mu.Lock()
	expired := o.box.Expire(before)
	for _, m := range expired {
		o.hold(m, -1)
	}
	o.mu.Unlock()
	for _, m := range expired {
		o.node.queue.pushSettled(Failed{m.ID, o.to, m.Ref, "it has waited for 7 days"}, m)
	}
	if len(expired) > 0 {
		o.node.forgetOutbox(o)
	}
}

// close ends the outbox and returns what is undelivered.
func (o *outbox) close() []*delivery.Outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
	return o.box.All()
}

// count is how many messages have no receipt, and whether their receiver is here.
func (o *outbox) count() (n int, present bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.box.Len(), o.present
}

// wanting says that messages wait and there is no link over which the receiver is
// heard.
func (o *outbox) wanting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.direct() && o.box.Len() > 0
}

// discard closes the outbox if it is of no use now.
func (o *outbox) discard() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil || o.box.Len() > 0 {
		return false
	}
	o.closed = true
	o.changed.Broadcast()
	return true
}

// keepLink says that the link is in use while receipts are awaited on it.
func (o *outbox) keepLink() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil && o.box.Flying(delivery.Direct) > 0 {
		o.link.used.touch(o.node.start)
	}
}

// waiting is what /buffer tells of it.
func (o *outbox) waiting() Waiting {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := Waiting{To: o.to, Count: o.box.Len(), Bytes: o.box.Bytes()}
	if m := o.box.Oldest(); m != nil {
		w.Since = m.SentAt
	}
	return w
}
