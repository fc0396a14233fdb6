package overlay

import (
	"context"
	"slices"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Bounds of what waits for one receiver, and of what is on its way to it
// (guesses; what is on its way when a link breaks is sent twice).
const (
	maxWaiting      = 16384     // messages
	maxWaitingBytes = 32 << 20  // their bodies and refs
	maxAbsentBytes  = 256 << 20 // of all messages of the node, for receivers that are not here
	maxBatch        = 128       // messages on one stream
	maxBatchBytes   = 64 << 10
	maxFlightBytes  = 256 << 10
	maxLoneBytes    = 1000 // of a message that Send writes itself: below a packet, so that QUIC takes it at once
	maxOutboxes     = 4096 // receivers with something waiting
)

// outgoing is a message of ours without a receipt.
type outgoing struct {
	id       MessageID
	body     string
	ref      string
	at       time.Time // when Send took it
	buffered bool      // the program was told that it waits
}

func (m *outgoing) size() int { return len(m.body) + len(m.ref) }

// outbox holds the messages to one receiver, in the order of Send. Those in
// flight have been written on the current link and have no receipt; when the
// link ends they go back to the front.
type outbox struct {
	node *Node
	to   certs.ID

	mu      sync.Mutex
	changed sync.Cond
	present bool // the receiver is in the table, with this key
	key     certs.PublicKey
	link    *messageLink
	waiting []*outgoing
	flight  []*outgoing
	bytes   int // of waiting and flight
	flown   int // bytes of flight
	closed  bool

	// Who writes to the link: send, or Send for a lone message. Whoever sets
	// writing has the fields below to itself until it is unset, or for good at the
	// end of the link.
	writing bool
	written chan writtenStream
	frames  []byte // a buffer
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

func newOutbox(n *Node, to certs.ID, key certs.PublicKey, present bool) *outbox {
	o := &outbox{node: n, to: to, key: key, present: present}
	o.changed.L = &o.mu
	return o
}

// add takes a message. To a receiver that is here it waits for room, to another
// one it fails without it.
func (o *outbox) add(ctx context.Context, body, ref string) (MessageID, error) {
	o.mu.Lock()
	if err := o.awaitRoom(ctx, len(body)+len(ref)); err != nil {
		o.mu.Unlock()
		return MessageID{}, err
	}
	// The counter is taken under the lock, so that it rises from message to
	// message of a receiver, by which that one knows repeats.
	m := &outgoing{id: o.node.nextMessageID(), body: body, ref: ref, at: time.Now()}
	o.node.queue.push(Sent{m.id, o.to, ref})
	o.waiting = append(o.waiting, m)
	o.hold(m.size())
	dial := o.present && o.link == nil
	if !o.present {
		o.tellBuffered(m, "there is no such peer in the network now")
	}
	if o.lone() {
		if stream := o.link.TryOpenStream(); stream != nil {
			o.sendLone(stream)
			return m.id, nil
		}
	}
	o.changed.Broadcast()
	o.mu.Unlock()
	if dial {
		o.node.want(o.to)
	}
	return m.id, nil
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
		o.changed.Wait()
	}
	if o.closed {
		return ErrClosed
	}
	return nil
}

// lone says that the one waiting message is small, that nothing is on its way
// before it and that nobody writes. o.mu is held.
func (o *outbox) lone() bool {
	return o.link != nil && !o.writing && len(o.waiting) == 1 && len(o.flight) == 0 &&
		len(o.waiting[0].body) <= maxLoneBytes && !o.unfit(o.link)
}

// sendLone writes the one waiting message here and now: it saves a lone message
// the way over another goroutine, a tenth of its time on loopback. o.mu is held,
// and unlocked.
func (o *outbox) sendLone(stream *transport.Stream) {
	l, batch := o.link, o.take(1)
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

func (o *outbox) full(size int) bool {
	n := len(o.waiting) + len(o.flight)
	return n >= maxWaiting || n > 0 && o.bytes+size > maxWaitingBytes ||
		!o.present && o.node.held.Load()+int64(size) > maxAbsentBytes
}

// hold counts what the outbox holds; size is negative when it holds less. o.mu is held.
func (o *outbox) hold(size int) {
	o.bytes += size
	o.node.held.Add(int64(size))
}

func (o *outbox) wakeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed.Broadcast()
}

func (o *outbox) tellBuffered(m *outgoing, reason string) {
	if !m.buffered {
		m.buffered = true
		o.node.queue.push(Buffered{m.id, o.to, m.ref, reason})
	}
}

// setPresent notes that the receiver has joined or left the table.
func (o *outbox) setPresent(key certs.PublicKey, present bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.key, o.present = key, present
	o.changed.Broadcast()
	if !present && o.link == nil {
		o.bufferAll("the peer has left the network")
	}
}

// unreachable tells the program that the messages have to wait.
func (o *outbox) unreachable() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == nil {
		o.bufferAll("the peer can't be reached now")
	}
}

func (o *outbox) bufferAll(reason string) {
	for _, m := range o.waiting {
		o.tellBuffered(m, reason)
	}
}

// attach gives the outbox a link if it has none; true says that it was taken and
// that the caller is to run send on it.
func (o *outbox) attach(l *messageLink) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil || o.closed {
		return false
	}
	o.link, o.writing, o.written = l, false, make(chan writtenStream, maxStreams)
	return true
}

// detach takes the link away; what was in flight on it waits again.
func (o *outbox) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link = nil
	o.waiting = append(o.flight, o.waiting...)
	o.flight, o.flown = nil, 0
	o.changed.Broadcast()
	if !o.present {
		o.bufferAll("the peer has left the network")
	}
}

// next waits for messages and for the right to write, and moves a batch of them
// into flight; nil is the end of the link, or of its use: its peer has lost the
// ID to another.
func (o *outbox) next(l *messageLink) []*outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing || !o.unfit(l) &&
		(len(o.waiting) == 0 || len(o.flight) > 0 && o.flown+len(o.waiting[0].body) > maxFlightBytes) {
		o.changed.Wait()
	}
	if o.unfit(l) {
		o.writing = true // for good: nobody writes to this link any more
		return nil
	}
	n, size := 0, 0
	for n < len(o.waiting) && n < maxBatch {
		size += len(o.waiting[n].body)
		if n > 0 && (size > maxBatchBytes || o.flown+size > maxFlightBytes) {
			break
		}
		n++
	}
	return o.take(n)
}

// take moves the first n messages into flight and takes the right to write. o.mu
// is held.
func (o *outbox) take(n int) []*outgoing {
	batch := slices.Clone(o.waiting[:n])
	clear(o.waiting[:n]) // the slice goes on to hold its beginning
	o.waiting = o.waiting[n:]
	o.flight = append(o.flight, batch...)
	for _, m := range batch {
		o.flown += len(m.body)
	}
	o.writing = true
	return batch
}

func (o *outbox) unfit(l *messageLink) bool {
	return l.used.ctx.Err() != nil || o.present && l.key != o.key
}

// receipt takes the oldest message out of flight and tells the program.
func (o *outbox) receipt(m *outgoing, r *pb.Receipt) {
	o.mu.Lock()
	if len(o.flight) == 0 || o.flight[0] != m {
		o.mu.Unlock()
		return // closed meanwhile: the message was reported
	}
	o.flight[0] = nil
	o.flight = o.flight[1:]
	o.flown -= len(m.body)
	o.hold(-m.size())
	o.changed.Broadcast()
	idle := len(o.waiting)+len(o.flight) == 0
	o.mu.Unlock()
	if r.GetCode() == pb.ReceiptCode_DELIVERED {
		d := Delivered{Message: m.id, To: o.to, Ref: m.ref, Path: PathDirect}
		if !m.buffered {
			d.RTT = max(time.Since(m.at), 1)
		}
		o.node.queue.push(d)
	} else {
		o.node.queue.push(Failed{m.id, o.to, m.ref, "the receiver refuses it: " + r.GetReason()})
	}
	if idle {
		o.node.outboxIdle()
	}
}

// close ends the outbox and returns what is undelivered.
func (o *outbox) close() []*outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
	rest := append(o.flight, o.waiting...)
	o.flight, o.waiting = nil, nil
	return rest
}

// count is how many messages have no receipt, and whether their receiver is here.
func (o *outbox) count() (n int, present bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) + len(o.flight), o.present
}

// wanting says that messages wait and there is no link.
func (o *outbox) wanting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.link == nil && len(o.waiting) > 0
}

// discard closes the outbox if it is of no use now.
func (o *outbox) discard() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil || len(o.waiting) > 0 {
		return false
	}
	o.closed = true
	return true
}

// keepLink says that the link is in use while receipts are awaited on it.
func (o *outbox) keepLink() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil && len(o.flight) > 0 {
		o.link.used.touch(o.node.start)
	}
}
