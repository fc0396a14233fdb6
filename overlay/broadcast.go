package overlay

import (
	"cmp"
	"context"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
)

// Broadcast sends a message to every peer that is in the network now: UTF-8 of at most 64 KiB
// (pb.MaxBroadcast). Broadcasts have no receipts. It blocks while more than 256 KiB are queued
// for a neighbour. Its errors are those of Send.
func (n *Node) Broadcast(ctx context.Context, body, ref string) (MessageID, error) {
	return n.rooms.broadcast(ctx, Everyone, Draft{Body: body, Ref: ref})
}

// broadcast sends a message to everyone, or to a room.
func (rs rooms) broadcast(ctx context.Context, to certs.ID, d Draft) (MessageID, error) {
	n := rs.node
	if err := messaging.CheckWide(&d); err != nil {
		return MessageID{}, err
	}
	if err := n.messages.Queue().WaitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		r, ok := ask(&n.mailbox, broadcast{to, d})
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

// broadcast asks the loop to send a message to a room, or to Everyone.
type broadcast struct {
	to    certs.ID
	draft Draft
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
	now, d := time.Now(), b.draft
	said := core.Broadcast{Body: d.Body, SentAt: now.UnixNano(), Kind: d.Kind.Wire(), About: d.About, ReplyTo: d.ReplyTo}
	if b.to != Everyone {
		said.Room = string(b.to)
	}
	id := MessageID(l.step(said).Message)
	n.messages.Rooms.Uttered(Sent{
		Message: id, To: b.to, Ref: d.Ref, Body: d.Body, SentAt: now, ReplyTo: d.ReplyTo, Kind: d.Kind, About: d.About,
	}, l.core.LastSaid())
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

// heardBefore passes on what was said before this peer came, without what may have been said while its
// author was ignored: its clock may be ahead of ours by AheadFor.
func heardBefore(l *loop, e base.Recalled) {
	n := l.node
	for _, b := range e.List {
		m := messageOf(l, b.Content)
		if n.messages.Ignored.Hides(m.Key, m.SentAt.Add(-past.AheadFor)) {
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
	key := certs.PublicKey(c.GetKey())
	from := l.node.messages.Directory().NameOf(certs.ID(c.GetSender()), key)
	m := Message{
		ID: MessageID(c.GetId()), From: from, Key: key, NewKey: l.node.messages.Directory().IsNewKey(from, key), To: cmp.Or(certs.ID(c.GetRoom()), Everyone),
		Body: c.GetContent(), SentAt: time.Unix(0, c.GetSentAt()), Path: PathRelayed,
	}
	m.Kind, m.About = messaging.Reference(c)
	copy(m.ReplyTo[:], c.GetReplyTo()) // all of it, or there is none
	return m
}
