package overlay

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// A clock that is corrected between two runs, and a peer that is off for a month, look the
// same to a program: neither costs a message that waits.
func TestTimeOffCostsNoMessage(t *testing.T) {
	for _, end := range []string{"leaves", "is killed"} {
		t.Run(end, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice")
				var dead atomic.Bool
				w.dead, w.steps = &dead, func(string) bool { return !dead.Load() }
				alice := w.start("alice")
				alice.send("bob", "hello")
				awaitEvent(alice, time.Second, func(Sent) bool { return true })
				if end == "leaves" {
					w.leave(alice)
				} else {
					dead.Store(true)
					w.kill(alice)
				}
				time.Sleep(30 * 24 * time.Hour)
				w.dead, w.steps = nil, nil
				alice = w.start("alice")
				time.Sleep(2 * messaging.ExpireEvery)
				bob := w.start("bob", "alice")
				bob.awaitBodies(5*time.Second, "alice", "hello")
				awaitEvent(alice, time.Second, func(Delivered) bool { return true })
			})
		})
	}
}

// The same for deposits kept for others.
func TestTimeOffCostsNoDeposit(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob", "carol")
		carol := w.start("carol")
		alice := w.start("alice", "carol")
		bob := w.start("bob", "carol")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
		w.leave(bob)
		awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
		want := numbers(5)
		for _, body := range want {
			alice.send("bob", body)
		}
		if n := w.leave(alice); n != len(want) {
			t.Fatalf("%d are undelivered", n)
		}
		w.leave(carol)
		time.Sleep(27 * 24 * time.Hour)
		w.start("carol")
		bob = w.start("bob", "carol")
		bob.awaitBodies(5*time.Second, "alice", want...)
	})
}

// The time that a message has waited is the time that its sender was running, in all its runs.
func TestWaitingCountsOverRuns(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		waited := func(p *peer, want, less time.Duration) {
			t.Helper()
			list := p.Outgoing()
			if len(list) == 0 {
				t.Fatal("nothing waits")
			}
			got := p.messages.Holding().Oldest
			if got > want+time.Second || got < want-less {
				t.Errorf("it has waited for %v, and not for %v", got, want)
			}
		}
		alice := w.start("alice")
		alice.send("bob", "hello")
		time.Sleep(2 * time.Hour)
		waited(alice, 2*time.Hour, 0)
		w.leave(alice)
		time.Sleep(10 * 24 * time.Hour)

		var dead atomic.Bool
		w.dead, w.steps = &dead, func(string) bool { return !dead.Load() }
		alice = w.start("alice")
		waited(alice, 2*time.Hour, time.Second)
		time.Sleep(95 * time.Minute)
		dead.Store(true)
		w.kill(alice) // it forgets what it has not noted
		w.dead, w.steps = nil, nil

		alice = w.start("alice")
		waited(alice, 2*time.Hour+95*time.Minute, 11*time.Minute)
	})
}

// Messages stored before uptimes were introduced wait for seven days from then on, whatever
// the clock said when they were sent; and these seven days end.
func TestStoredBeforeUptimes(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		w.leave(w.start("alice"))
		put := func(op store.Op) {
			s, err := store.Open(w.states["alice"].Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			done := make(chan error, 1)
			s.Write(func(err error) { done <- err }, op)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		m := &pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Content: "old", SentAt: 1, Epoch: 1}
		m.Id[15] = 1
		value, err := proto.Marshal(&pb.StoredMessage{Message: m, Ref: []byte("r")})
		if err != nil {
			t.Fatal(err)
		}
		put(store.Op{Bucket: store.Unsettled, Key: storedKey(delivery.Position{Epoch: 1, Counter: 1}), Value: value})
		alice := w.start("alice")
		time.Sleep(2 * messaging.ExpireEvery)
		if list := alice.Waiting(); len(list) != 1 || len(all[Failed](alice)) != 0 {
			t.Errorf("waiting %v, failed %v", list, all[Failed](alice))
		}
		w.leave(alice)
		put(messaging.UptimeOp(delivery.Lifetime + time.Second))
		alice = w.start("alice")
		f := awaitEvent(alice, 2*messaging.ExpireEvery, func(Failed) bool { return true })
		if f.Ref != "r" || !strings.Contains(fmt.Sprint(f), "7 days") {
			t.Errorf("failed: %+v", f)
		}
	})
}
