package messaging

import (
	"slices"
	"strings"
	"time"

	"quicpeer/certs"
)

// What the engine counts, for whoever watches the peer: docs/metrics.md says what each figure is
// for. Messages are counted under the lock of the queue of events, which each of them takes anyway.

// Bounds are the upper bounds of a Histogram.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, 60 * time.Second,
}

// Histogram counts durations by size. Its zero value is empty.
type Histogram struct {
	Counts [len(Bounds) + 1]uint64 // up to each bound and above the one before; the last: above all
	Sum    time.Duration
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	i, _ := slices.BinarySearch(Bounds[:], d)
	h.Counts[i]++
	h.Sum += d
}

// MessageCount is how many messages have come to a Result.
type MessageCount struct {
	Dir    string // "in" or "out"
	Path   string // a Path, "broadcast", or "none" where there is none yet
	Result string
	Count  uint64
}

// outcome is a place in the list of such counts.
type outcome int

const (
	outSent outcome = iota
	outWaiting
	outDirect
	outRelayed
	outFailed
	outBroadcast
	inDirect
	inRelayed
	inBroadcast
	refusedDirect
	refusedRelayed
	hiddenBroadcast
	droppedBroadcast
)

var outcomes = [...]MessageCount{
	outSent:          {"out", "none", "sent", 0},
	outWaiting:       {"out", "none", "waiting", 0},
	outDirect:        {"out", "direct", "delivered", 0},
	outRelayed:       {"out", "relayed", "delivered", 0},
	outFailed:        {"out", "none", "failed", 0},
	outBroadcast:     {"out", "broadcast", "sent", 0},
	inDirect:         {"in", "direct", "shown", 0},
	inRelayed:        {"in", "relayed", "shown", 0},
	inBroadcast:      {"in", "broadcast", "shown", 0},
	refusedDirect:    {"in", "direct", "refused", 0},
	refusedRelayed:   {"in", "relayed", "refused", 0},
	hiddenBroadcast:  {"in", "broadcast", "hidden", 0},
	droppedBroadcast: {"in", "broadcast", "dropped", 0},
}

// counts is what an EventQueue has counted. It belongs to the queue's lock.
type counts struct {
	messages [len(outcomes)]uint64
	delivery Histogram // from Send to the receipt, of messages that did not have to wait
	unread   int       // events that the program has not handled
	done     uint64    // those that it has
	progress progress  // of the program
}

// progress is how far the program was at the last look at its events.
type progress struct {
	done  uint64
	since time.Duration // when it was first seen to be so far, or to have nothing to do
}

// keepPace is called about each 100 ms, which spares each event a look at the clock.
func (c *counts) keepPace(now time.Duration) {
	if c.unread == 0 || c.progress.done != c.done {
		c.progress = progress{c.done, now}
	}
}

// told counts an event of a message of ours.
func (c *counts) told(event Event) {
	switch e := event.(type) {
	case Sent:
		if isForMany(e.To) {
			c.messages[outBroadcast]++
		} else {
			c.messages[outSent]++
		}
	case Buffered:
		c.messages[outWaiting]++
	case Failed:
		c.messages[outFailed]++
	case Delivered:
		if e.Path == PathDirect {
			c.messages[outDirect]++
		} else {
			c.messages[outRelayed]++
		}
		if e.RTT > 0 {
			c.delivery.Observe(e.RTT)
		}
	}
}

// isForMany says that a message is for everyone or, with a #, for a room.
func isForMany(to certs.ID) bool { return to == Everyone || strings.HasPrefix(string(to), "#") }

// handled counts an event that the program has handled.
func (c *counts) handled(it item) {
	c.unread--
	c.done++
	m, ok := it.event.(Message)
	switch {
	case !ok:
	case it.hidden && it.sender == nil:
		c.messages[hiddenBroadcast]++
	case it.sender == nil:
		c.messages[inBroadcast]++
	case m.Path == PathDirect:
		c.messages[inDirect]++
	default:
		c.messages[inRelayed]++
	}
}

// Stats is what an engine holds, and has counted since its start.
type Stats struct {
	Messages    []MessageCount
	Delivery    Histogram     // from Send to the receipt, of messages that did not have to wait
	Outbox      int           // messages without a receipt
	OutboxBytes int           // their bodies and refs
	Oldest      time.Duration // how long the oldest of them has waited
	Unread      time.Duration // for how long the program has handled no event, though there are some
	Commit      Histogram     // of our messages and of notes of shown ones, until they are safe on the disk; of those at once, one
	Lag         int           // how many are not safe yet
}

// StatsOf returns what an engine holds, and has counted.
func StatsOf(e *Engine) Stats {
	var s Stats
	for _, r := range e.directory.all() {
		w := r.waiting()
		s.Outbox, s.OutboxBytes, s.Oldest = s.Outbox+w.Count, s.OutboxBytes+w.Bytes, max(s.Oldest, r.waited())
	}
	q := e.events
	q.mu.Lock()
	c := q.counts
	q.mu.Unlock()
	for i, m := range outcomes {
		m.Count = c.messages[i]
		s.Messages = append(s.Messages, m)
	}
	s.Delivery = c.delivery
	if c.unread > 0 {
		s.Unread = e.now() - c.progress.since
	}
	e.commits.mu.Lock()
	defer e.commits.mu.Unlock()
	s.Commit, s.Lag = e.commits.took, e.commits.waiting
	return s
}
