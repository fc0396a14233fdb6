package messaging

import (
	"testing"
	"time"
)

// TestHistogram: a duration counts at the first bound that it does not exceed.
func TestHistogram(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: 0, 0: 0, Bounds[0]: 0, Bounds[0] + 1: 1, time.Millisecond: 3, time.Millisecond + 1: 4, time.Minute: len(Bounds) - 1, time.Minute + 1: len(Bounds),
	} {
		var h Histogram
		h.Observe(d)
		if h.Counts[want] != 1 || h.Sum != d {
			t.Errorf("%v: %+v", d, h)
		}
	}
	for i := range Bounds[1:] {
		if Bounds[i] >= Bounds[i+1] {
			t.Errorf("%v is behind %v", Bounds[i+1], Bounds[i])
		}
	}
}

// TestUnreadCollapses: joins and leaves that cancel each other out are not unread any more.
func TestUnreadCollapses(t *testing.T) {
	q := newEventQueue()
	q.collapseAt = 10
	for range 100 {
		q.Push(PeerJoined{ID: "bob"})
		q.Push(PeerLeft{ID: "bob", Reason: ReasonLeft})
	}
	if q.counts.unread != len(q.items) || len(q.items) == 200 {
		t.Errorf("%d events are unread, of %d", q.counts.unread, len(q.items))
	}
	items, _ := q.take(nil)
	for _, it := range items {
		q.handled(it)
	}
	if q.counts.unread != 0 {
		t.Errorf("%d events are unread, of none", q.counts.unread)
	}
}

// BenchmarkCounts is what counting adds to a message that is queued and handled.
func BenchmarkCounts(b *testing.B) {
	q := newEventQueue()
	sent, delivered := item{event: Sent{To: "bob"}}, item{event: Delivered{To: "bob", Path: PathDirect, RTT: time.Millisecond}}
	for b.Loop() {
		for _, it := range []item{sent, delivered} {
			q.counts.told(it.event)
			q.counts.unread++
			q.counts.handled(it)
		}
	}
}

// BenchmarkCommits is what counting adds to a write.
func BenchmarkCommits(b *testing.B) {
	var c commits
	for b.Loop() {
		c.safeSince(c.begin())
	}
}
