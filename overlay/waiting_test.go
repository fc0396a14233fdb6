package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging"
)

// A peer that does not read its events holds up the peers that write to it, and no others.
// When it reads, everything arrives.
func TestLongQueueForADeafPeer(t *testing.T) {
	long(t)
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		carol := w.start("carol", "alice")
		bob := w.startDeaf("bob", "alice")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
		want := numbers(messaging.MaxWaiting)
		for _, body := range want {
			if _, err := alice.Send(within(t, time.Minute), "bob", body, ""); err != nil {
				t.Fatalf("after %s messages: %v", body, err)
			}
		}
		time.Sleep(20 * time.Second)
		if n := len(all[Delivered](alice)); n != 0 {
			t.Errorf("%d messages are delivered that nobody has seen", n)
		}
		if _, err := alice.Send(within(t, time.Minute), "bob", "too much", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a message above the bound: %v", err)
		}
		if list := alice.Waiting(); len(list) != 1 || list[0].To != "bob" || list[0].Count != messaging.MaxWaiting {
			t.Errorf("alice's messages waiting: %v", list)
		}
		talk(alice, carol)
		if held := bob.messages.Holding().Incoming; held > messaging.MaxIncoming {
			t.Errorf("bob holds %d messages", held)
		}
		carol.send("bob", "me too")

		last := make(chan error, 1) // waits for room
		go func() {
			_, err := alice.Send(within(t, time.Minute), "bob", "last", "")
			last <- err
		}()
		bob.listen()
		bob.awaitBodies(30*time.Second, "alice", append(want, "last")...)
		bob.awaitBodies(time.Second, "carol", "me too")
		if err := <-last; err != nil {
			t.Errorf("the message that waited for room: %v", err)
		}
		alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want)+2 })
		for _, p := range []*peer{alice, carol} {
			if len(all[PeerLeft](p)) != 0 {
				t.Errorf("%s: %s", p.ID(), p.summary())
			}
		}
	})
}

// A message is acknowledged when the loop over Events comes back from it, and
// the event at which a loop breaks comes again.
func TestBreakingOffDoesNotAcknowledge(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		alice.send("bob", "one")
		alice.send("bob", "two")
		for range 2 {
			for e := range bob.Events() {
				if m, ok := e.(Message); ok {
					if m.Body != "one" {
						t.Errorf("got %q", m.Body)
					}
					break
				}
				bob.events = append(bob.events, e)
			}
			time.Sleep(time.Second)
			if n := len(all[Delivered](alice)); n != 0 {
				t.Errorf("%d messages are delivered", n)
			}
		}
		bob.listen()
		alice.eventually(time.Second, "both are delivered", func() bool { return len(all[Delivered](alice)) == 2 })
		if got := bob.bodies("alice"); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("bob got %q", got)
		}
	})
}

func TestMessagesWaitForTheirReceiver(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		want := numbers(300)
		for _, body := range want {
			alice.send("bob", body)
		}
		alice.eventually(time.Second, "all wait", func() bool { return len(all[Buffered](alice)) == len(want) })
		if list := alice.Waiting(); len(list) != 1 || list[0].To != "bob" || list[0].Count != len(want) || list[0].Bytes == 0 || time.Since(list[0].Since) > time.Minute {
			t.Errorf("waiting: %v", list)
		}
		time.Sleep(time.Hour)
		bob := w.start("bob", "alice")
		bob.awaitBodies(2*time.Second, "alice", want...)
		alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
		for _, d := range all[Delivered](alice) {
			if d.RTT != 0 {
				t.Fatalf("a message that had to wait has %+v", d)
			}
		}
		if list := alice.Waiting(); len(list) != 0 {
			t.Errorf("waiting: %v", list)
		}
	})
}

// Send does not wait for room for a receiver that is not here.
func TestOutboxOfAnAbsentPeerIsFull(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		for range messaging.MaxWaiting {
			alice.send("bob", "x")
		}
		if _, err := alice.Send(t.Context(), "bob", "x", ""); !errors.Is(err, ErrOutboxFull) {
			t.Errorf("one more: %v", err)
		}
		alice.send("carol", "x")
	})
}

// Outboxes without messages make room for others.
func TestOutboxesAreBounded(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		for i := range messaging.MaxOutboxes {
			alice.send(certs.ID(fmt.Sprint("p", i)), "x")
		}
		if _, err := alice.Send(t.Context(), "more", "x", ""); !errors.Is(err, ErrOutboxFull) {
			t.Errorf("one more: %v", err)
		}
		p0 := w.start("p0", "alice")
		p0.awaitBodies(2*time.Second, "alice", "x")
		awaitEvent(alice, time.Second, func(Delivered) bool { return true })
		p0.Close()
		awaitEvent(alice, time.Second, func(PeerLeft) bool { return true })
		time.Sleep(time.Second)
		alice.send("more", "x")
	})
}

// However many absent receivers have messages waiting, peers that are here can be written to,
// also after a restart; and a peer that has gone takes no place when nothing waits for it.
func TestAbsentReceiversDontHoldUpThePresent(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		for i := range messaging.MaxOutboxes {
			alice.send(certs.ID(fmt.Sprint("p", i)), "x")
		}
		alice.eventually(time.Second, "all are sent", func() bool { return len(all[Sent](alice)) == messaging.MaxOutboxes })
		for run := range 2 {
			bob := w.start("bob", "alice")
			alice.eventually(time.Second, "bob is here", func() bool { return slices.Contains(alice.here(), "bob") })
			talk(alice, bob)
			if _, err := alice.Send(t.Context(), "more", "x", ""); !errors.Is(err, ErrOutboxFull) {
				t.Errorf("to one more who is away: %v", err)
			}
			bob.Close()
			if run == 0 {
				w.leave(alice)
				alice = w.start("alice")
			}
		}
		awaitEvent(alice, time.Second, func(PeerLeft) bool { return true })
		p0 := w.start("p0", "alice")
		p0.awaitBodies(2*time.Second, "alice", "x")
		awaitEvent(alice, time.Second, func(Delivered) bool { return true })
		p0.Close()
		alice.eventually(time.Second, "p0 has gone", func() bool { return len(alice.here()) == 0 })
		time.Sleep(time.Second) // its link ends
		alice.send("more", "x")
		if _, err := alice.Send(t.Context(), "one-more", "x", ""); !errors.Is(err, ErrOutboxFull) {
			t.Errorf("to one more who is away: %v", err)
		}
	})
}

func TestLeaveWaitsForReceipts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		want := numbers(1000)
		for _, body := range want {
			peers[0].send("bob", body)
		}
		start := time.Now()
		if n, err := peers[0].Leave(within(t, 5*time.Second)); n != 0 || err != nil {
			t.Errorf("Leave: %d, %v", n, err)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
		<-peers[0].done
		if n := len(all[Delivered](peers[0])); n != len(want) {
			t.Errorf("%d are delivered", n)
		}
		peers[1].awaitBodies(0, "alice", want...)
	})
}

func TestLeaveReportsWhatIsUndelivered(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		w.startDeaf("bob", "alice")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
		ids := []MessageID{alice.send("nobody", "1"), alice.send("nobody", "2"), alice.send("bob", "3"), alice.send("bob", "4")}
		time.Sleep(time.Second)
		start := time.Now()
		n, err := alice.Leave(within(t, 5*time.Second)) // bob is here and may yet read
		if d := time.Since(start); n != 4 || err != nil || d < 5*time.Second || d > 8*time.Second {
			t.Errorf("Leave: %d, %v after %v", n, err, d)
		}
		<-alice.done
		var failed []MessageID
		for _, f := range all[Failed](alice) {
			failed = append(failed, f.Message)
		}
		for _, id := range ids {
			if !slices.Contains(failed, id) {
				t.Errorf("of the message %v nothing is said", id)
			}
		}
	})
}

// A peer that leaves as soon as it has handled a message has acknowledged it.
func TestReceiverLeavesAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		bob.done = make(chan struct{})
		go func() {
			defer close(bob.done)
			leave := false
			for e := range bob.Events() {
				if leave {
					go bob.Close()
				}
				m, ok := e.(Message)
				leave = ok && m.Body == "last"
				bob.mu.Lock()
				bob.events = append(bob.events, e)
				bob.mu.Unlock()
			}
		}()
		for _, body := range []string{"1", "2", "last", "more"} {
			alice.send("bob", body)
		}
		awaitEvent(alice, time.Second, func(PeerLeft) bool { return true })
		time.Sleep(time.Second)
		if n := len(all[Delivered](alice)); n < 3 {
			t.Errorf("%d messages are delivered", n)
		}
	})
}

// A peer that leaves does not wait for a receiver that is not here, or that goes meanwhile.
func TestLeaveDoesNotWaitForTheAbsent(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		alice.send("nobody", "1")
		alice.send("bob", "2")
		time.AfterFunc(time.Second, func() {
			_, sendErr := alice.Send(t.Context(), "bob", "too late", "")
			_, broadcastErr := alice.Broadcast(t.Context(), "too late", "")
			if !errors.Is(sendErr, ErrClosed) || !errors.Is(broadcastErr, ErrClosed) || len(alice.Peers()) != 1 {
				t.Errorf("while leaving: Send %v, Broadcast %v, the table is %v", sendErr, broadcastErr, alice.Peers())
			}
		})
		time.AfterFunc(2*time.Second, func() { bob.Close() })
		start := time.Now()
		n, err := alice.Leave(within(t, time.Minute))
		if d := time.Since(start); n != 2 || err != nil || d < 2*time.Second || d > 6*time.Second {
			t.Errorf("Leave: %d, %v after %v", n, err, d)
		}
	})
}
