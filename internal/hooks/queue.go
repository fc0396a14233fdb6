package hooks

import (
	"iter"
	"log/slog"
	"sync"

	"quicpeer/overlay"
)

// Bounds of a queue (guesses): when it is full, further messages are skipped and counted.
const (
	maxQueue      = 256      // messages
	maxQueueBytes = 16 << 20 // of their bodies
)

// Queue holds messages for one reader. Who adds them never waits.
type Queue struct {
	log *slog.Logger

	mu      sync.Mutex
	list    []overlay.Message
	bytes   int
	skipped int
	closed  bool
	wake    chan struct{} // of the reader
}

// NewQueue returns an empty queue.
func NewQueue(log *slog.Logger) *Queue { return &Queue{log: log, wake: make(chan struct{}, 1)} }

// Add adds a message. It is skipped when the queue is full, which the log says once, and how many
// they were when there is room again.
func (q *Queue) Add(m overlay.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return
	case len(q.list) == maxQueue || q.bytes+len(m.Body) > maxQueueBytes:
		if q.skipped++; q.skipped == 1 {
			q.log.Warn("messages come faster than the command of --on-message ends: it is not run for some", "waiting", len(q.list))
		}
		return
	case q.skipped > 0:
		q.log.Warn("the command of --on-message was not run for some messages", "messages", q.skipped)
		q.skipped = 0
	}
	q.list = append(q.list, m)
	q.bytes += len(m.Body)
	q.signal()
}

// Close ends the messages: those that are queued are yielded no more, and counted.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.list) + q.skipped; n > 0 && !q.closed {
		q.log.Warn("the command of --on-message was not run for the last messages", "messages", n)
	}
	q.closed, q.list = true, nil
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// All yields the messages as they come, until Close.
func (q *Queue) All() iter.Seq[overlay.Message] {
	return func(yield func(overlay.Message) bool) {
		for {
			m, some, closed := q.next()
			switch {
			case closed:
				return
			case !some:
				<-q.wake
			case !yield(m):
				return
			}
		}
	}
}

func (q *Queue) next() (m overlay.Message, some, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.list) == 0 {
		return m, false, q.closed
	}
	m, q.list[0] = q.list[0], m
	q.list = q.list[1:]
	q.bytes -= len(m.Body)
	return m, true, false
}
