package overlay

import (
	"fmt"
	"testing"
	"time"
)

// TestTakenBackFromHolders: a cancelled message that others keep is not shown, though it shares a
// deposit with others, which are: once, and in order. Its author may leave or crash meanwhile.
func TestTakenBackFromHolders(t *testing.T) {
	for name, test := range map[string]struct {
		cancelled int
		then      func(w *world, alice, carol *peer)
	}{
		"the first, and its author crashes": {0, func(w *world, alice, _ *peer) { time.Sleep(4 * time.Second); w.Crash("alice") }},
		"one between, and it leaves":        {1, func(w *world, alice, _ *peer) { w.leave(alice) }},
		"the last, and it leaves":           {2, func(w *world, alice, _ *peer) { w.leave(alice) }},
		"while the holder is away": {1, func(w *world, alice, carol *peer) {
			time.Sleep(time.Minute)
			w.Crash("alice")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("carol", "dave")
				alice := w.withoutBob()
				dave := w.start("dave", "carol")
				alice.eventually(time.Second, "dave is here", func() bool { return len(alice.here()) == 2 })
				var ids []MessageID
				for _, body := range numbers(3) {
					ids = append(ids, alice.send("bob", body))
				}
				time.Sleep(time.Second) // the holders have them
				if name == "while the holder is away" {
					w.leave(dave)
				}
				alice.cancel(ids[test.cancelled])
				if name == "while the holder is away" {
					time.Sleep(time.Minute)
					dave = w.start("dave", "carol")
				}
				test.then(w, alice, dave)
				var want []string
				for i, body := range numbers(3) {
					if i != test.cancelled {
						want = append(want, body)
					}
				}
				time.Sleep(time.Minute)
				bob := w.start("bob", "carol", "dave")
				bob.awaitBodies(5*time.Second, "alice", want...)
				time.Sleep(time.Minute)
				bob.awaitBodies(0, "alice", want...)
				w.leave(bob)
				again := w.start("alice", "carol")
				again.eventually(10*time.Second, "the others are delivered", func() bool { return len(all[Delivered](again)) == len(want) })
				if f := all[Failed](again); len(f) > 0 {
					t.Errorf("failed: %v", f)
				}
			})
		})
	}
}

// TestTakenBackAlone: the only message for a receiver is taken back at once, and when the receiver
// comes it gets what was written after that.
func TestTakenBackAlone(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.withoutBob()
		id := alice.send("bob", "x")
		time.Sleep(time.Second)
		alice.cancel(id)
		time.Sleep(100 * time.Millisecond)
		w.Crash("alice")
		bob := w.start("bob", "carol")
		time.Sleep(time.Minute)
		bob.awaitBodies(0, "alice")
		alice = w.start("alice", "carol")
		alice.send("bob", "y")
		bob.awaitBodies(5*time.Second, "alice", "y")
	})
}

// TestCancelsWhileTheReceiverComes: messages are cancelled at any moment around the return of their
// receiver: each is shown at most once, those that were not cancelled exactly once, in order; and each
// has one end.
func TestCancelsWhileTheReceiverComes(t *testing.T) {
	for step := range 12 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("carol")
				alice := w.withoutBob()
				var ids []MessageID
				for _, body := range numbers(6) {
					ids = append(ids, alice.send("bob", body))
					time.Sleep(30 * time.Millisecond)
				}
				time.Sleep(time.Second)
				cancel := func(i int) { _ = alice.Cancel(ids[i]) } // it may be delivered
				cancel(1)
				time.Sleep(time.Duration(step) * 250 * time.Millisecond)
				bob := w.start("bob", "carol")
				cancel(4)
				time.Sleep(time.Minute)
				for _, id := range ids {
					ends := 0
					for _, d := range all[Delivered](alice) {
						if d.Message == id {
							ends++
						}
					}
					for _, f := range all[Failed](alice) {
						if f.Message == id {
							ends++
						}
					}
					if ends != 1 {
						t.Errorf("message %v has %d ends", id, ends)
					}
				}
				var kept []string
				for i, body := range bob.bodies("alice") {
					if i > 0 && body <= bob.bodies("alice")[i-1] {
						t.Errorf("shown: %v", bob.bodies("alice"))
					}
					if body != "1" && body != "4" {
						kept = append(kept, body)
					}
				}
				if fmt.Sprint(kept) != "[0 2 3 5]" {
					t.Errorf("shown: %v", bob.bodies("alice"))
				}
			})
		})
	}
}

// TestTakenBackFromBefore: a message was left with a holder, and handed over to its receiver, which has not
// shown it when it crashes: cancelled meanwhile, it is not handed over again.
func TestTakenBackFromBefore(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.withoutBob()
		id := alice.send("bob", "x")
		time.Sleep(time.Second)
		bob := w.startDeaf("bob", "carol")
		alice.eventually(5*time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
		time.Sleep(5 * time.Second)
		alice.cancel(id)
		time.Sleep(time.Second)
		w.Crash("bob")
		_ = bob.Close()
		w.Crash("alice")
		again := w.start("bob", "carol")
		time.Sleep(time.Minute)
		again.awaitBodies(0, "alice")
	})
}
