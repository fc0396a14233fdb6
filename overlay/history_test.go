package overlay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func pastOf(t *testing.T, n *Node, from uint64) (list []Past) {
	t.Helper()
	for p, err := range n.History().Events(from) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func saidBy(t *testing.T, n *Node, q Query) (lines []string) {
	t.Helper()
	list, err := n.History().Messages(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s>%s %s: %s", s.From, s.To, s.State, s.Body))
	}
	return lines
}

func wantSaid(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

// TestHistory: what was said is there after a restart, with what became of it, at positions that rise.
func TestHistory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		alice.send("bob", "One")
		bob.awaitBodies(time.Second, "alice", "One")
		bob.send("alice", "two")
		alice.awaitBodies(time.Second, "bob", "two")
		if _, err := bob.Broadcast(within(t, time.Second), "to all", "ref"); err != nil {
			t.Fatal(err)
		}
		alice.eventually(time.Second, "three messages", func() bool { return len(all[Message](alice)) == 2 })
		alice.send("carol", "waits")
		alice.eventually(time.Second, "it waits", func() bool { return len(all[Buffered](alice)) == 1 })
		want := []string{"alice>bob delivered: One", "bob>alice received: two", "bob>* received: to all", "alice>carol waiting: waits"}
		wantSaid(t, "all", saidBy(t, alice.Node, Query{}), want...)
		wantSaid(t, "with bob", saidBy(t, alice.Node, Query{With: "bob"}), want[:2]...)
		wantSaid(t, "to all", saidBy(t, alice.Node, Query{With: Everyone}), want[2])
		wantSaid(t, "the last", saidBy(t, alice.Node, Query{Last: 2}), want[2:]...)
		wantSaid(t, "found", saidBy(t, alice.Node, Query{Search: "oNE"}), want[0])
		for _, m := range all[Message](alice) {
			if m.Pos == 0 {
				t.Errorf("%q has no position", m.Body)
			}
		}
		before := pastOf(t, alice.Node, 0)
		w.kill(alice)
		alice = w.start("alice", "bob")
		if after := pastOf(t, alice.Node, 0); !slices.Equal(after[:len(before)], before) {
			t.Errorf("before the restart %v, then %v", before, after)
		}
		id := alice.Outgoing()[0].Message
		if err := alice.Cancel(id); err != nil {
			t.Fatal(err)
		}
		alice.eventually(time.Second, "it has failed", func() bool { return len(all[Failed](alice)) == 1 })
		wantSaid(t, "then", saidBy(t, alice.Node, Query{}), append(want[:3:3], "alice>carol failed: waits")...)
		last := uint64(0)
		for _, p := range pastOf(t, alice.Node, 0) {
			if pos := posOf(p.Event); pos <= last {
				t.Errorf("%v comes after position %d", p.Event, last)
			} else {
				last = pos
			}
		}
		if end := alice.History().End(); end < last || len(pastOf(t, alice.Node, last)) != 1 {
			t.Errorf("the end is %d, the last event at %d", end, last)
		}
	})
}

func posOf(event Event) uint64 {
	switch e := event.(type) {
	case Message:
		return e.Pos
	case Sent:
		return e.Pos
	case Delivered:
		return e.Pos
	case Buffered:
		return e.Pos
	case Failed:
		return e.Pos
	}
	return 0
}

// TestNoHistory keeps nothing of what was said, and shows nothing twice all the same.
func TestNoHistory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		w.noHistory = true
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		alice.send("bob", "secret")
		bob.awaitBodies(time.Second, "alice", "secret")
		alice.eventually(time.Second, "a receipt", func() bool { return len(all[Delivered](alice)) == 1 })
		if got := saidBy(t, bob.Node, Query{}); len(got) != 0 || bob.History().End() != 0 {
			t.Errorf("the history has %q", got)
		}
		w.kill(bob)
		bob = w.start("bob", "alice")
		talk(alice, bob)
		if n := len(all[Message](bob)); n != 1 {
			t.Errorf("%d messages are shown again", n-1)
		}
	})
}

// TestUnshownComesAgain: what was written to the history and not shown is shown after a restart, first of
// all and once; and until then its sender gets no receipt.
func TestUnshownComesAgain(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		for i := range 5 {
			alice.send("bob", fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		n := 0
		for event := range bob.Deliveries() { // takes events, and shows none
			if _, ok := event.(Message); ok {
				n++
			}
			if n == 5 {
				break
			}
		}
		time.Sleep(time.Second)
		if n = len(saidBy(t, bob.Node, Query{})); n != 5 || len(all[Delivered](alice)) != 0 {
			t.Fatalf("%d messages are in the history, %d were delivered", n, len(all[Delivered](alice)))
		}
		positions := pastOf(t, bob.Node, 0)
		bob.done = make(chan struct{})
		close(bob.done)
		w.kill(bob)
		bob = w.start("bob", "alice")
		bob.awaitBodies(time.Second, "alice", "0", "1", "2", "3", "4")
		alice.eventually(5*time.Second, "receipts", func() bool { return len(all[Delivered](alice)) == 5 })
		talk(alice, bob)
		for i, m := range all[Message](bob)[:5] {
			if m.Pos != posOf(positions[i].Event) || m.Body != fmt.Sprint(i) {
				t.Errorf("%q is at %d, and was at %d", m.Body, m.Pos, posOf(positions[i].Event))
			}
		}
		if n := len(saidBy(t, bob.Node, Query{With: "alice"})); n != len(all[Message](bob))+len(all[Sent](bob)) {
			t.Errorf("%d messages are in the history, %d were shown and %d sent", n, len(all[Message](bob)), len(all[Sent](bob)))
		}
	})
}

// TestSearchHistory finds one of many messages.
func TestSearchHistory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		for i := range 2000 {
			if _, err := alice.Broadcast(context.Background(), fmt.Sprint(strings.Repeat("word ", 40), i, "."), ""); err != nil {
				t.Fatal(err)
			}
		}
		alice.eventually(time.Second, "all are sent", func() bool { return len(all[Sent](alice)) == 2000 })
		if got := saidBy(t, alice.Node, Query{Search: " 1234."}); len(got) != 1 || !strings.HasSuffix(got[0], " 1234.") {
			t.Errorf("found %q", got)
		}
		if got := saidBy(t, alice.Node, Query{Last: 3, Before: 1000}); len(got) != 3 {
			t.Errorf("%q are before 1000", got)
		}
	})
}

// TestHistoryBounds: a query has the last messages that its bounds admit, with what became of each, whichever
// file of the history says so; it reads no further back, and ends with its context.
func TestHistoryBounds(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		const size, many = 60_000, 120 // three files, and some
		first := alice.send("bob", "is cancelled")
		alice.eventually(time.Second, "it is sent", func() bool { return len(all[Sent](alice)) == 1 })
		for i := range many {
			if _, err := alice.Broadcast(t.Context(), fmt.Sprint(strings.Repeat("x", size-100), i), ""); err != nil {
				t.Fatal(err)
			}
		}
		alice.eventually(time.Second, "all are sent", func() bool { return len(all[Sent](alice)) == many+1 })
		if err := alice.Cancel(first); err != nil {
			t.Fatal(err)
		}
		alice.eventually(time.Second, "it is cancelled", func() bool { return len(all[Failed](alice)) == 1 })
		for _, test := range []struct {
			q           Query
			count       int
			first, last string // the ends of their bodies
		}{
			{Query{}, many + 1, "is cancelled", "x119"},
			{Query{Last: 50}, 50, "x70", "x119"},
			{Query{Bytes: 50 * size}, 50, "x70", "x119"},
			{Query{Bytes: 1}, 1, "x119", "x119"},
			{Query{Bytes: 50 * size, Last: 3, Search: "x1"}, 3, "x117", "x119"},
			{Query{Bytes: 100 * size, Search: "CANCELLED"}, 1, "is cancelled", "is cancelled"},
		} {
			got, err := alice.History().Messages(t.Context(), test.q)
			if err != nil || len(got) != test.count || !strings.HasSuffix(got[0].Body, test.first) || !strings.HasSuffix(got[len(got)-1].Body, test.last) {
				t.Errorf("%+v: %d messages, %v", test.q, len(got), err)
				continue
			}
			for _, s := range got {
				if s.ID == first && s.State != StateFailed || s.ID != first && s.State != StateSent {
					t.Errorf("%+v: %d is %s", test.q, s.Pos, s.State)
				}
			}
		}
		ends := &ending{Context: t.Context(), left: 50}
		if _, err := alice.History().Messages(ends, Query{Search: "nothing"}); err != context.Canceled || ends.left != -1 {
			t.Errorf("got %v, after %d events too many", err, -1-ends.left)
		}
	})
}

// ending is a context that ends when it was looked at so often.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// BenchmarkSearchHistory searches 100,000 messages of 200 bytes.
func BenchmarkSearchHistory(b *testing.B) {
	dir := b.TempDir()
	state, err := OpenState(dir, "alice")
	if err != nil {
		b.Fatal(err)
	}
	defer state.Close()
	n, err := Start(b.Context(), Config{State: state, Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	const many = 100_000
	sent := make(chan bool)
	go func() {
		left := many
		for e := range n.Events() {
			if _, ok := e.(Sent); ok {
				if left--; left == 0 {
					close(sent)
				}
			}
		}
	}()
	for i := range many {
		if _, err := n.Broadcast(b.Context(), fmt.Sprint(strings.Repeat("word ", 38), i, "."), ""); err != nil {
			b.Fatal(err)
		}
	}
	<-sent
	for b.Loop() {
		if found, err := n.History().Messages(b.Context(), Query{Search: " 77777."}); err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
}
