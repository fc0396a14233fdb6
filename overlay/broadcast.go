package overlay

import (
	"cmp"
	"context"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
)

// Broadcast sends a message to every peer that is in the network now: UTF-8 of at most 64 KiB
// (pb.MaxBroadcast). Broadcasts have no receipts. It blocks while more than 256 KiB are queued
// for a neighbour. Its errors are those of Send.
func (n *Node) Broadcast(ctx context.Context, body, ref string) (MessageID, error) {
	return n.rooms.broadcast(ctx, broadcast{"", body, ref})
}

// broadcast sends a message to everyone, or to a room.
func (rs rooms) broadcast(ctx context.Context, b broadcast) (MessageID, error) {
	n := rs.node
	if err := messaging.CheckBody(b.body, pb.MaxBroadcast); err != nil {
		return MessageID{}, err
	}
	if err := n.messages.Queue().WaitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		r, ok := ask(&n.mailbox, b)
		switch {
		case !ok:
			return MessageID{}, ErrClosed
		case r.busy == nil:
			return r.id, r.err
		}
		select {
		case <-r.busy:
		case <-ctx.Done():
			return MessageID{}, ctx.Err()
		}
	}
}

// broadcast asks the loop to send a message to a room, or to everyone if that is empty.
type broadcast struct {
	room      certs.ID
	body, ref string
}

// broadcastReply is the result of a broadcast.
type broadcastReply struct {
	id   MessageID
	err  error
	busy <-chan struct{} // not sent: too much is queued on a link; closed when that is over
}

func (b broadcast) answer(l *loop) broadcastReply {
	n := l.node
	if n.isLeaving() {
		return broadcastReply{err: ErrClosed}
	}
	if nl := l.links.busiest(); nl != nil && nl.Queued() > maxQueuedSending {
		return broadcastReply{busy: nl.Drained(maxQueuedSending)}
	}
	now := time.Now()
	id := MessageID(l.step(core.Broadcast{Room: string(b.room), Body: b.body, SentAt: now.UnixNano()}).Message)
	n.messages.Rooms.Uttered(Sent{Message: id, To: cmp.Or(b.room, Everyone), Ref: b.ref}, b.body, now, l.core.LastSaid())
	return broadcastReply{id: id}
}

// heardBroadcast passes a broadcast of another peer on to the program.
func (l *loop) heardBroadcast(e base.Broadcasted) {
	n := l.node
	m := messageOf(l, e.Content)
	if e.Direct {
		m.Path = PathDirect
	}
	if !n.messages.Rooms.Heard(m, e.Signed, stampOfBroadcast(e), e.Hidden || n.messages.Ignored.Has(m.Key)) {
		l.dropped.warn(n.log, "broadcasts dropped: too many wait to be read", "from", string(m.From))
	}
}

// heardBefore passes on what was said before this peer came.
func heardBefore(l *loop, e base.Recalled) {
	n := l.node
	for _, b := range e.List {
		m := messageOf(l, b.Content)
		if n.messages.Ignored.Has(m.Key) {
			continue
		}
		if known, err := n.messages.Directory().Known(m.From); !b.Proved && (err != nil || known.Key != m.Key) {
			m.Unproved = true
		}
		if !n.messages.Rooms.Bygone(m, b.Signed) {
			l.dropped.warn(n.log, "broadcasts dropped: too many wait to be read", "from", string(m.From))
		}
	}
}

// messageOf is a broadcast as the program gets it.
func messageOf(l *loop, c *pb.BroadcastContent) Message {
	from, key := certs.ID(c.GetSender()), certs.PublicKey(c.GetKey())
	return Message{
		ID: MessageID(c.GetId()), From: from, Key: key, NewKey: l.node.messages.Directory().IsNewKey(from, key), To: cmp.Or(certs.ID(c.GetRoom()), Everyone),
		Body: c.GetContent(), SentAt: time.Unix(0, c.GetSentAt()), Path: PathRelayed,
	}
}
