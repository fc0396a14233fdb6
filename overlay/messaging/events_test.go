package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

var (
	bobsKey   = certs.PublicKey{1}
	secondKey = certs.PublicKey{2}
	bobJoins  = PeerJoined{ID: "bob", Key: bobsKey}
	bobLeaves = PeerLeft{ID: "bob", Reason: ReasonLost}
)

// queued returns the events that wait.
func queued(q *EventQueue) []Event {
	var list []Event
	for _, it := range q.items {
		list = append(list, it.event)
	}
	return list
}

// bobWrites is the sender bob of a node that stores nothing.
func bobWrites() *sender {
	return newSender(&Engine{disk: new(Disk)}, bobsKey, delivery.Mark{})
}

func at(n int) delivery.Stamp {
	return delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: uint64(n)}}}
}

// pushMessage adds a direct message. It waits for room, and for its sender to have joined;
// false is the end of ctx or of the queue.
func pushMessage(ctx context.Context, q *EventQueue, m Message, from *sender, p delivery.Stamp) bool {
	for !q.tryMessage(m, from, p, false, false) {
		if !q.awaitRoom(ctx, m.From, from.key, len(m.Body)) {
			return false
		}
	}
	return true
}

func TestQueueCollapses(t *testing.T) {
	bobAnew := PeerJoined{ID: "bob", Key: secondKey}
	carolJoins := PeerJoined{ID: "carol", Key: secondKey}
	hello := Message{From: "bob", Body: "hello"}
	one, two := PeerChanged{ID: "bob", Rooms: []string{"#one"}}, PeerChanged{ID: "bob", Tags: map[string]string{"two": "2"}}
	none := PeerChanged{ID: "bob"}
	visits, ends := PeerJoined{ID: "bob", Key: bobsKey, Visitor: true}, PeerLeft{ID: "bob", Visitor: true}
	list := func(e ...Event) []Event { return e }
	tests := []struct {
		name             string
		seen, have, want []Event // what the program has handled, what waits, what is left of it
	}{
		{"nothing", nil, nil, nil},
		{"came", nil, list(bobJoins), list(bobJoins)},
		{"came and went", nil, list(bobJoins, bobLeaves), nil},
		{"came, went, came", nil, list(bobJoins, bobLeaves, bobJoins), list(bobJoins)},
		{"went", list(bobJoins), list(bobLeaves), list(bobLeaves)},
		{"went and came back", list(bobJoins), list(bobLeaves, bobJoins), nil},
		{"went, came, went", list(bobJoins), list(bobLeaves, bobJoins, bobLeaves), list(bobLeaves)},
		{"another came back", list(bobJoins), list(bobLeaves, bobAnew), list(bobLeaves, bobAnew)},
		{"another came and went", list(bobJoins), list(bobLeaves, bobAnew, bobLeaves), list(bobLeaves)},
		{"others stay", nil, list(bobJoins, carolJoins, bobLeaves), list(carolJoins)},
		{"a message between", nil, list(bobJoins, hello, bobLeaves), list(bobJoins, hello, bobLeaves)},
		{"a message before", nil, list(bobJoins, hello, bobLeaves, bobJoins), list(bobJoins, hello)},
		{"changed twice", list(bobJoins), list(one, two), list(two)},
		{"came and changed", nil, list(bobJoins, one, two), list(bobJoins, two)},
		{"came, changed and went", nil, list(bobJoins, one, two, bobLeaves), nil},
		{"changed and went", list(bobJoins), list(one, bobLeaves), list(bobLeaves)},
		{"a message between changes", list(bobJoins), list(one, hello, two), list(one, hello, two)},
		{"went, came back and changed", list(bobJoins, one), list(bobLeaves, bobJoins, two), list(two)},
		{"went and came back without what it had", list(bobJoins, one), list(bobLeaves, bobJoins), list(none)},
		{"that, and it went", list(bobJoins, one), list(bobLeaves, bobJoins, bobLeaves), list(bobLeaves)},
		{"that, and it came back again", list(bobJoins, one), list(bobLeaves, bobJoins, bobLeaves, bobJoins), list(none)},
		{"another came back without", list(bobJoins, one), list(bobLeaves, bobAnew), list(bobLeaves, bobAnew)},
		{"a visitor came and stays", nil, list(visits, none), list(visits, none)},
		{"a visitor stays and went", list(visits), list(none, bobLeaves), list(bobLeaves)},
		{"a visitor came, stays and went", nil, list(visits, none, bobLeaves), nil},
		{"a visitor went and came back to stay", list(visits), list(ends, bobJoins), list(none)},
		{"a visitor stays, went and came back", list(visits), list(none, bobLeaves, bobJoins), list(none)},
		{"a visitor went and came back", list(visits), list(ends, visits), nil},
		{"other events", nil, list(Ready{}, bobJoins, Sent{Ref: "1"}, bobLeaves, Sent{Ref: "2"}), list(Ready{}, Sent{Ref: "1"}, Sent{Ref: "2"})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := newEventQueue()
			put := func(list []Event) {
				for _, e := range list {
					if m, ok := e.(Message); ok {
						if !pushMessage(t.Context(), q, m, bobWrites(), at(1)) {
							t.Fatal("no room")
						}
						continue
					}
					q.Push(e)
				}
			}
			put(test.seen)
			items, _ := take(q)
			for _, it := range items {
				q.handled(it)
			}
			put(test.have)
			q.collapse()
			got := fmt.Sprintf("%+v", queued(q))
			if want := fmt.Sprintf("%+v", test.want); got != want {
				t.Errorf("left is\n%s, not\n%s", got, want)
			}
			members := 0
			for _, e := range test.want {
				if _, ok := membershipOf(e); ok {
					members++
				}
			}
			if q.membership != members {
				t.Errorf("%d joins and leaves are counted, %d are there", q.membership, members)
			}
		})
	}
}

// take is EventQueue.take, without waiting.
func take(q *EventQueue) ([]item, bool) {
	if len(q.items) == 0 {
		return nil, false
	}
	return q.take(nil)
}

// However often the peers that are here change, the number of waiting events is bounded by their number.
func TestQueueCollapsesChanges(t *testing.T) {
	q := newEventQueue()
	for i := range 100_000 {
		q.Push(PeerChanged{ID: certs.ID(fmt.Sprint("p", i%10)), Rooms: []string{fmt.Sprint("#", i)}})
		if len(q.items) > 2*collapseAbove {
			t.Fatalf("%d events wait after %d have come", len(q.items), i)
		}
	}
	if q.collapse(); len(q.items) != 10 || q.membership != 10 {
		t.Errorf("%d events are left for the 10 peers that are here, and %d are counted", len(q.items), q.membership)
	}
}

// However many peers come and go, the number of waiting events is bounded by the peers that
// are there.
func TestQueueCollapsesByItself(t *testing.T) {
	q := newEventQueue()
	for i := range 100_000 {
		q.Push(PeerJoined{ID: certs.ID(fmt.Sprint("p", i)), Key: bobsKey})
		if i >= 10 {
			q.Push(PeerLeft{ID: certs.ID(fmt.Sprint("p", i-10))})
		}
		if len(q.items) > 2*collapseAbove {
			t.Fatalf("%d events wait after %d have come", len(q.items), i)
		}
	}
	q.collapse()
	if len(q.items) != 10 {
		t.Errorf("%d events are left for the 10 peers that are here", len(q.items))
	}
}

func TestQueueHoldsBackMessages(t *testing.T) {
	text := strings.Repeat("x", maxIncomingBytes/4)
	tests := []struct {
		name  string
		body  string
		fits  int
		setup func(q *EventQueue)
	}{
		{"many", "x", MaxIncoming, func(q *EventQueue) {}},
		{"large", text, 4, func(q *EventQueue) {}},
		{"a small one behind large ones", "", MaxIncoming - 4, func(q *EventQueue) {
			for i := range 4 {
				pushMessage(context.Background(), q, Message{From: "bob", Body: text}, bobWrites(), at(i))
			}
		}},
		{"one too large for the bound", strings.Repeat("x", maxIncomingBytes+1), 1, func(q *EventQueue) {}},
		{"from somebody who is not here", "x", 0, func(q *EventQueue) { q.Push(bobLeaves) }},
		{"from another who had the ID", "x", 0, func(q *EventQueue) { q.Push(PeerJoined{ID: "bob", Key: secondKey}) }},
		{"after the end", "x", 0, func(q *EventQueue) { q.end() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newEventQueue()
				q.Push(bobJoins)
				test.setup(q)
				n := 0
				for ; n <= MaxIncoming; n++ {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					ok := pushMessage(ctx, q, Message{From: "bob", Body: test.body}, bobWrites(), at(int(n)))
					cancel()
					if !ok {
						break
					}
				}
				if n != test.fits {
					t.Errorf("%d messages fit, not %d", n, test.fits)
				}
			})
		})
	}
}

// A message that waits for room, or for its sender to join, comes when it may.
func TestQueueLetsWaitingMessagesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newEventQueue()
		from := bobWrites()
		var in atomic.Int64
		go func() {
			for i := range MaxIncoming + 2 {
				if pushMessage(t.Context(), q, Message{From: "bob"}, from, at(i+1)) {
					in.Add(1)
				}
			}
		}()
		expect := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := in.Load(); got != want {
				t.Fatalf("%d messages are in, not %d", got, want)
			}
		}
		expect(0)
		q.Push(bobJoins)
		expect(MaxIncoming)
		items, _ := q.take(nil)
		expect(MaxIncoming) // taken is not handled
		for _, it := range items[:2] {
			q.handled(it) // the join, a message
			if it.sender != nil {
				it.sender.handle(it)
			}
		}
		expect(MaxIncoming + 1)
		if !from.inbox.Due(at(1).Position, "") || from.inbox.Due(at(2).Position, "") {
			t.Error("not handled up to 1")
		}
		q.handled(items[2])
		expect(MaxIncoming + 2)
	})
}

func TestQueueDropsBroadcasts(t *testing.T) {
	q := newEventQueue()
	m := Message{From: "bob", To: Everyone, Body: strings.Repeat("x", 64<<10)}
	n := 0
	for q.PushBroadcast(m, bobsKey, at(1), false) {
		n++
	}
	if n < 200 || n > maxBroadcasts/(64<<10) {
		t.Errorf("%d broadcasts fit", n)
	}
	for _, it := range q.items {
		q.handled(it)
	}
	q.items = nil
	for n = 0; q.PushBroadcast(Message{From: "bob"}, bobsKey, at(1), false); n++ {
	}
	if n < 1000 || n > 100_000 { // each takes some hundred bytes, too
		t.Errorf("%d empty broadcasts fit", n)
	}
	if q.end(); q.PushBroadcast(m, bobsKey, at(1), false) {
		t.Error("a broadcast is taken after the end")
	}
}

func TestSendWaitsForOwnEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newEventQueue()
		for range maxOwn {
			if err := q.WaitOwn(t.Context()); err != nil {
				t.Fatal(err)
			}
			q.Push(Sent{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.WaitOwn(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with too many: %v", err)
		}
		waited := make(chan error, 1)
		go func() { waited <- q.WaitOwn(t.Context()) }()
		synctest.Wait()
		items, _ := q.take(nil)
		q.handled(items[0])
		if err := <-waited; err != nil {
			t.Errorf("with room again: %v", err)
		}
		q.end()
		if err := q.WaitOwn(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestSendWaitsForOwnBodies: bodies of messages that the program has not handled are bounded too.
func TestSendWaitsForOwnBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newEventQueue()
		body := strings.Repeat("x", maxOwnBytes/4)
		for range 4 {
			if err := q.WaitOwn(t.Context()); err != nil {
				t.Fatal(err)
			}
			q.Push(Sent{Body: body})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.WaitOwn(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with too many: %v", err)
		}
		items, _ := q.take(nil)
		q.handled(items[0])
		if err := q.WaitOwn(t.Context()); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// Events that are put back come first, and those left at the end still come.
func TestQueuePutsBack(t *testing.T) {
	q := newEventQueue()
	for i := range 4 {
		q.Push(Sent{Ref: fmt.Sprint(i)})
	}
	items, _ := q.take(nil)
	q.Push(Sent{Ref: "4"})
	q.handled(items[0])
	q.putBack(items[1:])
	q.end()
	q.Push(Sent{Ref: "too late"})
	var got []string
	for {
		items, ok := q.take(nil)
		if !ok {
			break
		}
		for _, it := range items {
			got = append(got, it.event.(Sent).Ref)
		}
	}
	if want := []string{"1", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, not %v", got, want)
	}
}
