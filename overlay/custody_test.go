package overlay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/messaging"
)

// TestCustody: a message to an absent peer arrives when that peer comes, even though its
// sender has gone; the receipt reaches the sender when it is back.
func TestCustody(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept on disk %v", kept), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				if kept {
					w.keeping("carol")
				}
				carol := w.start("carol")
				alice := w.start("alice", "carol")
				bob := w.start("bob", "carol")
				alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
				w.leave(bob)
				awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
				want := numbers(20)
				for _, body := range want {
					alice.send("bob", body)
				}
				if n := w.leave(alice); n != len(want) {
					t.Errorf("%d are undelivered", n)
				}
				time.Sleep(time.Hour)
				if kept { // the holder is another run by then
					w.kill(carol)
					carol = w.start("carol")
				}
				bob = w.start("bob", "carol")
				bob.awaitBodies(5*time.Second, "alice", want...)
				if m := all[Message](bob)[0]; m.Path != PathRelayed {
					t.Errorf("the message is %+v", m)
				}
				time.Sleep(10 * time.Second)
				w.leave(bob) // the receipts wait for alice
				alice = w.start("alice", "carol")
				alice.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
				if list := alice.Waiting(); len(list) != 0 {
					t.Errorf("still waiting: %v", list)
				}
				bob = w.start("bob", "carol")
				time.Sleep(10 * time.Second)
				if n := len(all[Message](bob)); n != 0 {
					t.Errorf("bob is shown %d messages again", n)
				}
				if carol.Err() != nil {
					t.Error(carol.Err())
				}
			})
		})
	}
}

// TestCustodyAndSenderAtOnce: holders and the sender itself hand over the same messages.
func TestCustodyAndSenderAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("bob")
		peers := w.network("alice", "bob", "carol", "dave", "eve")
		w.leave(peers[1])
		awaitEvent(peers[0], time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
		want := numbers(200)
		for _, body := range want {
			peers[0].send("bob", body)
		}
		time.Sleep(2 * time.Second)
		bob := w.start("bob", "carol")
		bob.awaitBodies(5*time.Second, "alice", want...)
		peers[0].eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](peers[0])) == len(want) })
		time.Sleep(time.Minute)
		bob.awaitBodies(0, "alice", want...)
	})
}

// TestNoCustody: neither side leaves messages with others or keeps them for others when its
// configuration forbids that.
func TestNoCustody(t *testing.T) {
	for _, who := range []string{"alice", "carol"} {
		t.Run(who, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				w.noCustody = who
				carol := w.start("carol")
				alice := w.start("alice", "carol")
				bob := w.start("bob", "carol")
				alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
				w.leave(bob)
				awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
				alice.send("bob", "hello")
				w.leave(alice)
				bob = w.start("bob", "carol")
				time.Sleep(30 * time.Second)
				if n := len(all[Message](bob)); n != 0 {
					t.Errorf("%d messages were kept", n)
				}
				w.start("alice", "carol")
				bob.awaitBodies(5*time.Second, "alice", "hello")
				if carol.Err() != nil {
					t.Error(carol.Err())
				}
			})
		})
	}
}

// TestLongBodiesAreNotLeft: a body too long for a deposit, and the messages behind it, wait
// for the sender.
func TestLongBodiesAreNotLeft(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.withoutBob()
		long := strings.Repeat("x", messaging.MaxLeftBody+1)
		for _, body := range []string{"first", long, "last"} {
			alice.send("bob", body)
		}
		w.leave(alice)
		bob := w.start("bob", "carol")
		bob.awaitBodies(5*time.Second, "alice", "first")
		time.Sleep(5 * time.Second)
		alice = w.start("alice", "carol")
		bob.awaitBodies(5*time.Second, "alice", "first", long, "last")
		alice.eventually(5*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 3 })
	})
}

// Two messages are left with others, the second 20 hours after the first, and their author
// goes; the receiver comes after 30. Both are still kept: if only the second were, the first
// would come too late.
func TestLongDeposits(t *testing.T) {
	long(t)
	simulate(t, func(t *testing.T, w *world) {
		alice := w.withoutBob()
		alice.send("bob", "A")
		time.Sleep(20 * time.Hour)
		alice.send("bob", "B")
		w.leave(alice)
		time.Sleep(10 * time.Hour)
		bob := w.start("bob", "carol")
		time.Sleep(65 * time.Minute)
		alice = w.start("alice", "carol")
		time.Sleep(10 * time.Second)
		bob.awaitBodies(0, "alice", "A", "B")
		if n := len(all[Delivered](alice)); n != 2 {
			t.Errorf("%d are delivered", n)
		}
	})
}

// withoutBob starts carol and alice; alice has met bob, who has left. Alice and bob have state
// directories.
func (w *world) withoutBob() (alice *peer) {
	w.t.Helper()
	w.keeping("alice", "bob")
	w.start("carol")
	alice = w.start("alice", "carol")
	bob := w.start("bob", "carol")
	alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
	w.leave(bob)
	awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
	return alice
}

// leave has a peer leave in good order, and returns how many messages are undelivered.
func (w *world) leave(p *peer) int {
	w.t.Helper()
	n, err := p.Leave(within(w.t, 5*time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	<-p.done
	if slices.ContainsFunc(all[Failed](p), func(f Failed) bool { return p.disk.Keeps() && f.Error != wasCancelled }) {
		w.t.Errorf("%s reports as failed what it keeps", p.ID())
	}
	return n
}
