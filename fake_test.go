package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// fakeNode is a node without a network: it accepts what a node accepts, and its
// events are what the test says.
type fakeNode struct {
	id      certs.ID
	events  chan overlay.Event
	table   []overlay.Peer
	waiting []overlay.Waiting
	out     []overlay.Outgoing // what can be cancelled
	net     overlay.Net
	full    chan struct{} // if set, messages wait until it is closed
	stuck   certs.ID      // the receiver of those that do; empty: all

	mu          sync.Mutex
	sent        []string // "to: body"
	undelivered int
	err         error
	closed      bool
	stop        chan struct{}
}

func newFakeNode(id certs.ID) *fakeNode {
	n := &fakeNode{id: id, events: make(chan overlay.Event, 100), stop: make(chan struct{})}
	n.events <- overlay.Ready{ID: id}
	return n
}

func (n *fakeNode) ID() certs.ID { return n.id }

func (n *fakeNode) Events() iter.Seq[overlay.Event] {
	return func(yield func(overlay.Event) bool) {
		for {
			select {
			case e := <-n.events:
				if !yield(e) {
					return
				}
				continue
			default:
			}
			select {
			case e := <-n.events:
				if !yield(e) {
					return
				}
			case <-n.stop:
				return
			}
		}
	}
}

func (n *fakeNode) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// fail makes the node stop by itself.
func (n *fakeNode) fail(err error) {
	n.mu.Lock()
	n.err = err
	n.mu.Unlock()
	n.Close()
}

func (n *fakeNode) Send(ctx context.Context, to certs.ID, body, ref string) (overlay.MessageID, error) {
	switch {
	case to == n.id:
		return overlay.MessageID{}, overlay.ErrToSelf
	case len(body) > pb.MaxBody:
		return overlay.MessageID{}, overlay.ErrTooLong
	}
	return n.accept(ctx, to, body, ref)
}

func (n *fakeNode) Broadcast(ctx context.Context, body, ref string) (overlay.MessageID, error) {
	if len(body) > pb.MaxBroadcast {
		return overlay.MessageID{}, overlay.ErrTooLong
	}
	return n.accept(ctx, overlay.Everyone, body, ref)
}

func (n *fakeNode) accept(ctx context.Context, to certs.ID, body, ref string) (overlay.MessageID, error) {
	if n.full != nil && (n.stuck == "" || n.stuck == to) {
		select {
		case <-n.full:
		case <-ctx.Done():
			return overlay.MessageID{}, ctx.Err()
		}
	}
	if !utf8.ValidString(body) {
		return overlay.MessageID{}, overlay.ErrNotUTF8
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, string(to)+": "+body)
	id := overlay.MessageID{15: byte(len(n.sent))}
	n.events <- overlay.Sent{Message: id, To: to, Ref: ref}
	return id, nil
}

func (n *fakeNode) Peers() []overlay.Peer        { return n.table }
func (n *fakeNode) Waiting() []overlay.Waiting   { return n.waiting }
func (n *fakeNode) Outgoing() []overlay.Outgoing { return slices.Clone(n.out) }

func (n *fakeNode) Cancel(id overlay.MessageID) error {
	i := slices.IndexFunc(n.out, func(m overlay.Outgoing) bool { return m.Message == id })
	if i < 0 {
		return overlay.ErrNotWaiting
	}
	n.events <- overlay.Failed{Message: id, To: n.out[i].To, Ref: n.out[i].Ref, Error: "it was cancelled"}
	n.out = slices.Delete(n.out, i, i+1)
	return nil
}

func (n *fakeNode) Net() overlay.Net { return n.net }

func (n *fakeNode) Join(ctx context.Context, address string) (certs.ID, error) {
	switch {
	case address == "slow:1":
		<-ctx.Done()
		return "", ctx.Err()
	case address != "door:1":
		return "", fmt.Errorf("%s: no answer", address)
	}
	return "door", nil
}

func (n *fakeNode) Leave(context.Context) (int, error) { return n.undelivered, n.Close() }

func (n *fakeNode) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.closed = true
		close(n.stop)
	}
	return nil
}
