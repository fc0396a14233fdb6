package overlay

import (
	"context"
	"log/slog"
	"time"

	"quicpeer/pb"
)

// Broadcast sends a message to every peer that is in the network now: UTF-8 of
// at most 64 KiB (pb.MaxBroadcast). There are no receipts. It waits while more than
// 256 KiB wait to be written to a neighbour. Errors as of Send.
func (n *Node) Broadcast(ctx context.Context, body, ref string) (MessageID, error) {
	if err := checkBody(body, pb.MaxBroadcast); err != nil {
		return MessageID{}, err
	}
	if err := n.queue.waitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		id, sent, err := n.tryBroadcast(body, ref)
		if sent || err != nil {
			return id, err
		}
		if !pause(ctx) {
			return id, ctx.Err()
		}
	}
}

// tryBroadcast broadcasts unless too much waits to be written.
func (n *Node) tryBroadcast(body, ref string) (id MessageID, sent bool, err error) {
	done := make(chan struct{})
	n.post(func() {
		defer close(done)
		switch {
		case n.isLeaving():
			err = ErrClosed
		case n.mostQueued() <= maxQueuedSending:
			id = MessageID(n.core.Broadcast(n.now(), body, time.Now().UnixNano()))
			n.queue.push(Sent{id, Everyone, ref})
			sent = true
		}
	})
	select {
	case <-done:
		return id, sent, err
	case <-n.ended:
		return MessageID{}, false, ErrClosed
	}
}

// mostQueued is how many bytes wait on the busiest link.
func (n *Node) mostQueued() int {
	most := 0
	for _, l := range n.links {
		most = max(most, l.Queued())
	}
	return most
}

// drops counts broadcasts that were dropped, and says so at most once a second.
type drops struct {
	count int
	next  time.Time
}

func (d *drops) warn(log *slog.Logger, text string, args ...any) {
	d.count++
	if now := time.Now(); !now.Before(d.next) {
		d.next = now.Add(time.Second)
		log.Warn(text, append(args, "dropped since the start", d.count)...)
	}
}

// awaitQueues waits until what was broadcast has been written.
func (n *Node) awaitQueues(ctx context.Context) {
	queued := 1
	for queued > 0 {
		answer := make(chan int, 1)
		n.post(func() { answer <- n.mostQueued() })
		select {
		case queued = <-answer:
		case <-n.ended:
			return
		}
		if queued > 0 && !pause(ctx) {
			n.log.Warn("leaving before everything was written to the neighbours", "bytes", queued)
			return
		}
	}
}

// pause waits a moment; false is the end of ctx.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(queueLook)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
