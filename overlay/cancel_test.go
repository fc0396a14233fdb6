package overlay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging"
)

const wasCancelled = "cancelled"

// cancel withdraws a message and waits for the event that confirms it.
func (p *peer) cancel(id MessageID) Failed {
	p.t.Helper()
	if err := p.Cancel(id); err != nil {
		p.t.Fatalf("%s: cancelling %v: %v", p.ID(), id, err)
	}
	return awaitEvent(p, time.Second, func(f Failed) bool { return f.Message == id })
}

// A withdrawn message is sent neither in this run nor in the next; those before and behind it
// are.
func TestCancel(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		var ids []MessageID
		for _, body := range numbers(6) {
			id, err := alice.Send(t.Context(), "bob", body, "ref "+body)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		var listed []string
		for _, o := range alice.Outgoing() {
			if o.To != "bob" || o.Ref != "ref "+o.Body || !slices.Contains(ids, o.Message) || time.Since(o.SentAt) > time.Minute {
				t.Errorf("on its way: %+v", o)
			}
			listed = append(listed, o.Body)
		}
		if !slices.Equal(listed, []string{"5", "4", "3", "2", "1", "0"}) {
			t.Errorf("on their way: %q", listed)
		}
		if f := alice.cancel(ids[1]); f.To != "bob" || f.Ref != "ref 1" || f.Error != "cancelled" {
			t.Errorf("failed: %+v", f)
		}
		if err := alice.Cancel(ids[1]); !errors.Is(err, ErrNotWaiting) {
			t.Errorf("again: %v", err)
		}
		if n, err := alice.Leave(within(t, time.Second)); n != 5 || err != nil {
			t.Errorf("Leave: %d, %v", n, err)
		}
		<-alice.done
		alice = w.start("alice")
		if list := alice.Waiting(); len(list) != 1 || list[0].Count != 5 {
			t.Errorf("waiting: %v", list)
		}
		alice.cancel(ids[5])
		alice.cancel(ids[0])
		bob := w.start("bob", "alice")
		bob.awaitBodies(3*time.Second, "alice", "2", "3", "4")
		alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 3 })
		for _, id := range []MessageID{ids[2], {1, 2, 3}} {
			if err := alice.Cancel(id); !errors.Is(err, ErrNotWaiting) {
				t.Errorf("delivered, or never sent: %v", err)
			}
		}
		if n := alice.messages.Holding().Outboxes; n != 0 {
			t.Errorf("%d bytes are counted", n)
		}
		w.leave(alice)
		if err := alice.Cancel(ids[3]); err == nil {
			t.Error("after the end")
		}
		alice = w.start("alice")
		if f := all[Failed](alice); len(f) != 0 || len(alice.Waiting()) != 0 {
			t.Errorf("in the third run: %v, %v", f, alice.Waiting())
		}
	})
}

// A message withdrawn before it was safe is reported as sent first, and then as failed.
func TestCancelAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		id := alice.send("bob", "x")
		alice.cancel(id)
		if s := all[Sent](alice); len(s) != 1 || s[0].Message != id {
			t.Errorf("sent: %v", s)
		}
		w.kill(alice)
		alice = w.start("alice")
		time.Sleep(time.Second)
		if f := all[Failed](alice); len(f) != 0 || len(alice.Waiting()) != 0 {
			t.Errorf("in the next run: %v, %v", f, alice.Waiting())
		}
	})
}

// A node that is killed before it has reported a withdrawal reports it when it starts again, and before
// that the message as sent; the message stays withdrawn. It may be of the run before.
func TestCancelledBeforeACrash(t *testing.T) {
	t.Run("this run", func(t *testing.T) { cancelledBeforeACrash(t, false) })
	t.Run("the run before", func(t *testing.T) { cancelledBeforeACrash(t, true) })
}

func cancelledBeforeACrash(t *testing.T, before bool) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.startDeaf("alice")
		id, err := alice.Send(t.Context(), "bob", "x", "my ref")
		if err != nil {
			t.Fatal(err)
		}
		if before {
			time.Sleep(time.Second)
			w.Crash("alice")
			_ = alice.Close()
			alice = w.startDeaf("alice")
		}
		if err := alice.Cancel(id); err != nil {
			t.Fatal(err)
		}
		w.Crash("alice")
		_ = alice.Close() // its events were never read

		again := w.start("alice")
		f := awaitEvent(again, time.Second, func(f Failed) bool { return f.Message == id })
		if s := all[Sent](again); len(s) != 1 || s[0].Message != id || s[0].Ref != "my ref" {
			t.Errorf("sent: %+v", s)
		}
		wantSaid(t, "the history", saidBy(t, again.Node, Query{}), "alice>bob failed: x")
		if f.To != "bob" || f.Ref != "my ref" || f.Error != wasCancelled {
			t.Errorf("failed: %+v", f)
		}
		if list := again.Waiting(); len(list) != 0 {
			t.Errorf("waiting: %v", list)
		}
		w.leave(again)
		third := w.start("alice")
		time.Sleep(time.Second)
		if f := all[Failed](third); len(f) != 0 {
			t.Errorf("it is told again: %v", f)
		}
	})
}

// A message withdrawn before any holder has taken it is left with none; the others for the
// same receiver are.
func TestCancelledIsNotLeft(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		talk(alice, bob)
		w.leave(bob)
		alice.eventually(time.Second, "bob has gone", func() bool { return len(alice.here()) == 0 })
		first := alice.send("bob", "first")
		alice.send("bob", "second")
		third := alice.send("bob", "third")
		time.Sleep(time.Second) // they wait for a holder
		alice.cancel(first)
		alice.cancel(third)
		w.start("carol", "alice")
		alice.eventually(time.Second, "carol is here", func() bool { return len(alice.here()) == 1 })
		time.Sleep(3 * time.Second)
		w.Crash("alice")
		bob = w.start("bob", "carol")
		bob.awaitBodies(5*time.Second, "alice", "second")
		time.Sleep(10 * time.Second)
		bob.awaitBodies(0, "alice", "second")
	})
}

// A withdrawn message that others keep already may still come; it does not hold up those
// behind it.
func TestCancelledAfterItWasLeft(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		w.start("carol", "alice")
		bob := w.start("bob", "alice")
		talk(alice, bob)
		w.leave(bob)
		alice.eventually(time.Second, "bob has gone", func() bool { return len(alice.here()) == 1 })
		alice.send("bob", "first")
		second := alice.send("bob", "second")
		time.Sleep(time.Second) // carol has them
		alice.cancel(second)
		alice.send("bob", "third")
		time.Sleep(3 * time.Second)
		w.Crash("alice")
		bob = w.start("bob", "carol")
		bob.eventually(5*time.Second, "the rest has come", func() bool {
			return slices.Contains(bob.bodies("alice"), "first") && slices.Contains(bob.bodies("alice"), "third")
		})
	})
}

// A withdrawn message that is on its way over a connection may arrive; its receipt has no
// effect any more.
func TestCancelOnTheWay(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
		first := alice.send("bob", "first")
		second := alice.send("bob", "second")
		time.Sleep(time.Second)
		alice.cancel(first)
		bob.listen()
		awaitEvent(alice, time.Second, func(d Delivered) bool { return d.Message == second })
		talk(alice, bob)
		time.Sleep(time.Second)
		if d := all[Delivered](alice); slices.ContainsFunc(d, func(d Delivered) bool { return d.Message == first }) {
			t.Errorf("delivered: %v", d)
		}
		if n, err := alice.Leave(within(t, time.Second)); n != 0 || err != nil {
			t.Errorf("Leave: %d, %v", n, err)
		}
	})
}

// Leave counts the messages of its own run, and not those that earlier runs have left.
func TestLeaveCountsThisRun(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		for run, sends := range []int{2, 0, 1, 0} {
			alice := w.start("alice")
			for range sends {
				alice.send("nobody", "x")
			}
			if n, err := alice.Leave(within(t, time.Second)); n != sends || err != nil {
				t.Errorf("run %d: %d undelivered, %v", run, n, err)
			}
			<-alice.done
		}
		if list := w.start("alice").Waiting(); len(list) != 1 || list[0].Count != 3 {
			t.Errorf("waiting: %v", list)
		}
	})
}

// A receiver whose messages were all withdrawn takes no place among the absent ones.
func TestCancelMakesRoom(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		var id MessageID
		for _, to := range numbers(messaging.MaxOutboxes) {
			id = alice.send(certs.ID(to), "x")
		}
		if _, err := alice.Send(t.Context(), "more", "x", ""); !errors.Is(err, ErrOutboxFull) {
			t.Errorf("one more: %v", err)
		}
		alice.cancel(id)
		alice.send("more", "x")
	})
}

// A message that was accepted is told as sent before it is told as cancelled, by the events of all runs and by
// the history, whenever the peer is killed.
func TestCancelledAndKilled(t *testing.T) {
	for step, died := 1, true; died; step++ {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice")
				var dead atomic.Bool
				w.dead = &dead
				var left atomic.Int64
				kill := func(after int) {
					dead.Store(false)
					left.Store(int64(after))
				}
				w.steps = func(string) bool {
					if left.Add(-1) == 0 {
						dead.Store(true)
					}
					return !dead.Load()
				}
				kill(1 << 30)
				alice := w.start("alice")
				kill(step)
				for _, body := range []string{"now", "soon"} {
					id, err := alice.Send(t.Context(), "bob", body, "")
					if err != nil {
						t.Fatal(err)
					}
					if body == "soon" {
						synctest.Wait() // it is told as sent
					}
					if err := alice.Cancel(id); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				died = dead.Load()
				w.kill(alice)
				events := alice.events
				for _, after := range []int{step, 1 << 30} {
					kill(after)
					n, err := Start(t.Context(), w.config("alice"))
					if err != nil && dead.Load() {
						continue
					} else if err != nil {
						t.Fatal(err)
					}
					alice = w.peer(n)
					alice.dead = &dead
					alice.listen()
					synctest.Wait()
					if after > step {
						checkSentBeforeFailed(t, "the history", historyOf(t, alice))
					}
					w.kill(alice)
					events = append(events, alice.events...)
				}
				checkSentBeforeFailed(t, "the events", events)
			})
		})
	}
}

// historyOf lists the events of the history.
func historyOf(t *testing.T, p *peer) (list []Event) {
	for _, e := range pastOf(t, p.Node, 0) {
		list = append(list, e.Event)
	}
	for _, m := range saidBy(t, p.Node, Query{}) {
		if !strings.HasSuffix(m, "now") && !strings.HasSuffix(m, "soon") {
			t.Errorf("the history has %q", m)
		}
	}
	return list
}

func checkSentBeforeFailed(t *testing.T, where string, events []Event) {
	t.Helper()
	sent := map[MessageID]bool{}
	for _, e := range events {
		switch e := e.(type) {
		case Sent:
			sent[e.Message] = true
		case Failed:
			if !sent[e.Message] {
				t.Errorf("%s: %v failed and was not sent", where, e.Message)
			}
		}
	}
}
