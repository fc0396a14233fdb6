package overlay

import (
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
	if err := messaging.CheckBody(body, pb.MaxBroadcast); err != nil {
		return MessageID{}, err
	}
	if err := n.messages.Queue().WaitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		r, ok := ask(&n.mailbox, broadcast{body, ref})
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

// broadcast asks the loop to send a message to everyone.
type broadcast struct{ body, ref string }

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
	id := MessageID(l.step(core.Broadcast{Body: b.body, SentAt: now.UnixNano()}).Message)
	n.messages.Queue().PushSent(Sent{Message: id, To: Everyone, Ref: b.ref}, b.body, now)
	return broadcastReply{id: id}
}

// heardBroadcast passes a broadcast of another peer on to the program.
func (l *loop) heardBroadcast(e base.Broadcasted) {
	n := l.node
	from, key := certs.ID(e.Content.GetSender()), certs.PublicKey(e.Content.GetKey())
	m := Message{
		ID: MessageID(e.Content.GetId()), From: from, Key: key, NewKey: n.messages.Directory().IsNewKey(from, key), To: Everyone,
		Body: e.Content.GetContent(), SentAt: time.Unix(0, e.Content.GetSentAt()), Path: PathRelayed,
	}
	if e.Direct {
		m.Path = PathDirect
	}
	hidden := n.messages.Ignored.Has(key)
	if hidden {
		m.Body = ""
	}
	if !n.messages.Queue().PushBroadcast(m, key, stampOfBroadcast(e), hidden) {
		l.dropped.warn(n.log, "broadcasts dropped: too many wait to be read", "from", string(m.From))
	}
}
