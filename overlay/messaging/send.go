package messaging

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Send accepts a message to a peer; see the Send of package overlay's Node.
func (e *Engine) Send(ctx context.Context, to certs.ID, d Draft) (MessageID, error) {
	if _, err := certs.ParseName(string(to)); err != nil {
		return MessageID{}, err
	}
	if to == e.cfg.ID {
		return MessageID{}, ErrToSelf
	}
	if err := d.check(); err != nil {
		return MessageID{}, err
	}
	if err := e.events.WaitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		r, err := e.directory.receiverOf(to)
		if err != nil {
			return MessageID{}, err
		}
		id, err := r.add(ctx, d, e.directory.whyAway(to))
		if err != nil {
			e.directory.forget(r)
		}
		if err != ErrClosed || e.directory.isLeaving() {
			return id, err
		}
		// The receiver was idle and has just been forgotten.
	}
}

// Waiting lists the receivers, in the order of their IDs, with messages that wait or are on
// their way.
func (e *Engine) Waiting() []Waiting {
	var list []Waiting
	for _, r := range e.directory.all() {
		if w := r.waiting(); w.Count > 0 {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b Waiting) int { return cmp.Compare(a.To, b.To) })
	return list
}

// receiverOf returns the receiver of an ID, new if it was not known. A receiver that is here
// always finds room: the table bounds their number.
func (d *Directory) receiverOf(to certs.ID) (*receiver, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving {
		return nil, ErrClosed
	}
	if err := d.mayWrite(to); err != nil {
		return nil, err
	}
	r := d.receivers[to]
	if r == nil {
		if _, present := d.present[to]; !present && d.absent >= MaxOutboxes {
			return nil, ErrOutboxFull
		}
		return d.newReceiver(to), nil
	}
	if d.pins[to] == nil {
		d.holdAddressee(to)
	}
	return r, nil
}

// newReceiver makes the receiver of an ID, for a message that is written to it now or was in an
// earlier run: it is for the peer that is here or was met, if one is known. d.mu is held.
func (d *Directory) newReceiver(to certs.ID) *receiver {
	d.holdAddressee(to)
	c, here := d.forWhom(to)
	_, present := d.present[to]
	r := newReceiver(d.engine, to, c, here)
	d.put(r, present)
	return r
}

// add accepts a message. For a receiver that is here it waits for room, for another one it
// fails without room; away is why the message waits then, if that was known before.
func (r *receiver) add(ctx context.Context, d Draft, away string) (MessageID, error) {
	a, err := r.accept(ctx, d, away)
	switch {
	case a.stream != nil:
		r.direct.writeLone(a.lone)
	case a.lonely:
		r.engine.cfg.Wish(LinkWish{r.to})
	}
	return a.id, err
}

// accepted is an accepted message, and the next step for it.
type accepted struct {
	id     MessageID
	lonely bool // the peer is not heard over any link
	lone        // to be written now; without a stream: none
}

// lone is a lone small message, with the right to write it: this saves it the detour over
// another goroutine, a tenth of its time on loopback.
type lone struct {
	link   *Link
	stream *messageStream
	batch  []*delivery.Outgoing
}

func (r *receiver) accept(ctx context.Context, d Draft, away string) (a accepted, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.Binary && r.textOnly {
		return a, ErrTextOnly
	}
	if err := r.takeRoom(ctx, len(d.Body)+len(d.Ref)); err != nil {
		return a, err
	}
	// The position is taken under the lock, so that it rises from message to message
	// of a receiver.
	m := r.engine.NewMessage(d)
	a.id = m.ID
	r.box.Add(m)
	r.keep(m)
	a.lonely = r.present && !r.direct.works()
	if !r.present {
		r.tellWaits(m, cmp.Or(away, r.away))
		r.engine.custodian.look()
	}
	if a.lone = r.direct.takeLone(); a.stream == nil {
		r.notify()
	}
	return a, nil
}

// keep stores a message, and reports it as sent once that is done. r.mu is held.
func (r *receiver) keep(m *delivery.Outgoing) {
	e := r.engine
	if !e.disk.Keeps() {
		m.Stored = true
		e.events.Push(sentEvent(m, r.to))
		return
	}
	value, err := proto.Marshal(&pb.StoredMessage{
		Message: e.author().Message(m, r.to), Called: r.to.AsAlias(), Ref: []byte(m.Ref), Taken: e.disk.UptimeAt(m.Taken), Said: e.disk.willSay(m.ID),
	})
	if err != nil {
		panic("messaging: a message that can't be encoded: " + err.Error()) // Send has checked it
	}
	began := e.commits.begin()
	e.disk.Write(func() { e.commits.safeSince(began); r.stored(m) }, store.Op{Bucket: store.Unsettled, Key: keyOfMessage(m.Position), Value: value})
}

// sentEvent is the event Sent of a message.
func sentEvent(m *delivery.Outgoing, to certs.ID) Sent {
	return Sent{
		Message: m.ID, To: to, Ref: m.Ref, Body: m.Body, Binary: m.Binary, SentAt: m.SentAt, ReplyTo: m.ReplyTo,
		Kind: kinds[m.Kind], About: m.About,
	}
}

// stored is called when a message is on the disk.
func (r *receiver) stored(m *delivery.Outgoing) {
	r.mu.Lock()
	m.Stored = true
	r.engine.events.Push(sentEvent(m, r.to))
	if m.Waits != "" {
		r.engine.events.Push(Buffered{Message: m.ID, To: r.to, Ref: m.Ref, Reason: m.Waits})
		r.engine.custodian.look()
	}
	receipt := m.Receipt
	if receipt != nil {
		r.storing--
		r.free(m)
		r.tellRoom()
	}
	r.mu.Unlock()
	if receipt != nil {
		r.engine.events.pushItem(r.outcome(m, *receipt, r.engine.now()))
	}
}
