package messaging

import (
	"testing"
)

// A program that takes events and shows none has joins, changes and leaves behind it; they do not pile up
// for it, and nor do they say that it goes on.
func TestDeliveriesKeepNoJoins(t *testing.T) {
	e := &Engine{disk: new(Disk), events: newEventQueue()}
	q := e.events
	for _, event := range []Event{bobJoins, Sent{Ref: "1"}, PeerChanged{ID: "bob"}, bobLeaves, Sent{Ref: "2"}} {
		q.Push(event)
	}
	var shown []func()
	for event, done := range e.Stream().Deliveries() {
		if event == Event(bobLeaves) && len(shown) == 3 {
			break // at an event that is not taken: it comes again
		}
		shown = append(shown, done)
	}
	if got := queued(q); len(got) != 3 || got[0] != Event(Sent{Ref: "1"}) || got[1] != Event(bobLeaves) {
		t.Fatalf("%v come again", got)
	}
	q.end()
	shown = nil
	for _, done := range e.Stream().Deliveries() {
		shown = append(shown, done)
	}
	if q.membership != 0 || q.counts.unread != 2 || q.counts.done != 0 || q.own != 2 {
		t.Errorf("%d joins and %d events are not handled, %d are", q.membership, q.counts.unread, q.counts.done)
	}
	for _, done := range shown {
		done()
	}
	if q.counts.unread != 0 || q.counts.done != 2 || q.own != 0 {
		t.Errorf("%d events are not handled, %d are", q.counts.unread, q.counts.done)
	}
}
