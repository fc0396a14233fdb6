package messaging

import (
	"context"
	"errors"
	"sync"

	"quicpeer/certs"
)

// Requests: messages of ours whose senders wait for a reply. Request and reply are messages like all
// others, on every path, and each is shown once; a reply is known by the ID of the message that it
// names.
//
//	Request ──▶ message, wants_reply ─────────────▶ Message.Reply
//	   ◀─────── message, reply_to: handed to the ◀──── message
//	            caller, and handled in its turn among the events
//
// So a caller may wait within the program's loop over Events: the reply does not wait for that. Only
// its receipt does, behind what the same peer has written before.

// MaxRequests is how many callers may wait for replies at once (a guess).
const MaxRequests = 1024

// requests holds the callers that wait for replies.
type requests struct {
	mu      sync.Mutex
	callers int
	waiting map[MessageID]*request
}

// request is a caller that waits for the reply to one message.
type request struct {
	to      certs.ID
	outcome chan ended // with room for it
}

// ended is a reply, or why there will be none.
type ended struct {
	reply Message
	err   error
}

// Request sends a message of an engine and waits for the reply to it; see the Request of package overlay's Node.
func Request(ctx context.Context, e *Engine, to certs.ID, d Draft) (Message, error) {
	q := &e.requests
	if !q.enlist() {
		return Message{}, ErrManyRequests
	}
	defer q.discharge()
	d.WantsReply, d.request = true, &request{to: to, outcome: make(chan ended, 1)}
	id, err := e.Send(ctx, to, d)
	if err != nil {
		return Message{}, err
	}
	var why error
	select {
	case o := <-d.request.outcome:
		return o.reply, o.err
	case <-ctx.Done():
		why = ctx.Err()
	case <-e.ctx.Done():
		why = ErrClosed
	}
	if !q.callerGone(id) { // the reply has come at this very moment
		o := <-d.request.outcome
		return o.reply, o.err
	}
	return Message{}, &RequestError{id, to, why}
}

// enlist counts a caller, if there may be another one.
func (q *requests) enlist() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.callers == MaxRequests {
		return false
	}
	q.callers++
	return true
}

func (q *requests) discharge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.callers--
}

// awaitReply notes that a caller waits for the reply to a message.
func (q *requests) awaitReply(id MessageID, r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[MessageID]*request)
	}
	q.waiting[id] = r
}

// callerGone notes that a caller is gone; false says that it had its outcome before.
func (q *requests) callerGone(id MessageID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, waits := q.waiting[id]
	delete(q.waiting, id)
	return waits
}

// noReply tells the caller, if one waits, that its message will not be delivered.
func (q *requests) noReply(id MessageID, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.waiting[id]; r != nil {
		delete(q.waiting, id)
		r.outcome <- ended{err: &RequestError{id, r.to, errors.New(why)}}
	}
}

// handOver gives a message to the caller that waits for it as a reply, if put takes it, which is told
// whether there is one; false says that put has not. Only the peer that was asked can reply.
func (q *requests) handOver(m Message, put func(asked bool) bool) bool {
	if m.ReplyTo == (MessageID{}) {
		return put(false)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.waiting[m.ReplyTo]
	asked := r != nil && r.to == m.From && !m.NewKey
	if !put(asked) {
		return false
	}
	if asked {
		delete(q.waiting, m.ReplyTo)
		r.outcome <- ended{reply: m}
	}
	return true
}

// Reply answers a request: a message to its sender that names it. Its errors are those of Send, and
// ErrNoRequest for a message that was not a request, or that does not come from the loop over Events:
// the ReplyTo of a [Draft] replies to any message.
func (m Message) Reply(ctx context.Context, body string) (MessageID, error) {
	return m.reply(ctx, Draft{Body: body})
}

// ReplyBytes is Reply with any bytes; another of its errors is ErrTextOnly.
func (m Message) ReplyBytes(ctx context.Context, body []byte) (MessageID, error) {
	return m.reply(ctx, Draft{Body: string(body), Binary: true})
}

func (m Message) reply(ctx context.Context, d Draft) (MessageID, error) {
	if m.asked == nil {
		return MessageID{}, ErrNoRequest
	}
	d.ReplyTo = m.ID
	return m.asked.Send(ctx, m.From, d)
}
