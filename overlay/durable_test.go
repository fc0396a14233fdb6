package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"quicpeer/certs"
)

// TestMessagesOutliveTheirSender: waiting messages are still there after a restart, and their
// refs too.
func TestMessagesOutliveTheirSender(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		for _, body := range numbers(50) {
			if _, err := alice.Send(t.Context(), "bob", body, "ref \xff "+body); err != nil {
				t.Fatal(err)
			}
		}
		alice.eventually(time.Second, "all are sent", func() bool { return len(all[Sent](alice)) == 50 })
		if n, err := alice.Leave(within(t, time.Second)); n != 50 || err != nil {
			t.Errorf("Leave: %d, %v", n, err)
		}
		<-alice.done
		if f := all[Failed](alice); len(f) != 0 {
			t.Errorf("failed: %v", f)
		}
		alice = w.start("alice")
		if list := alice.Waiting(); len(list) != 1 || list[0].Count != 50 || list[0].To != "bob" {
			t.Errorf("waiting: %v", list)
		}
		alice.send("bob", "50")
		bob := w.start("bob", "alice")
		bob.awaitBodies(3*time.Second, "alice", numbers(51)...)
		alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 51 })
		if d := all[Delivered](alice)[7]; d.Ref != "ref \xff 7" || d.RTT != 0 {
			t.Errorf("delivered: %+v", d)
		}
		if _, err := alice.Leave(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		<-alice.done
		if list := w.start("alice").Waiting(); len(list) != 0 {
			t.Errorf("still waiting: %v", list)
		}
	})
}

// TestRepeatsAfterARestart: a receiver that starts again shows nothing again.
func TestRepeatsAfterARestart(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
		w.Cut("alice", "bob") // so that no receipt comes
		alice.send("bob", "lost on the way")
		time.Sleep(100 * time.Millisecond)
		w.Heal("alice", "bob")
		bob.awaitBodies(5*time.Second, "alice", "lost on the way")
		for i := range 3 {
			w.kill(alice) // whether or not it has its receipt
			w.kill(bob)
			alice = w.start("alice")
			bob = w.start("bob", "alice")
			alice.send("bob", fmt.Sprint("again ", i))
			bob.awaitBodies(5*time.Second, "alice", fmt.Sprint("again ", i))
		}
	})
}

// TestLongRowOfCrashes: two peers with state directories write to each other, and are killed
// at writes of their disks, before and after them. No message is lost, doubled or out of
// order; a line is repeated at most once for each kill of its receiver.
func TestLongRowOfCrashes(t *testing.T) {
	for seed := range uint64(enough(5, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) { crashes(t, w, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// ledger collects the events of several runs of a peer.
type ledger struct {
	sent  []MessageID // of its own, as reported
	shown []Message
	done  map[MessageID]bool
	kills int
}

func (l *ledger) collect(p *peer) {
	for _, s := range all[Sent](p) {
		l.sent = append(l.sent, s.Message)
	}
	l.shown = append(l.shown, all[Message](p)...)
	for _, d := range all[Delivered](p) {
		l.done[d.Message] = true
	}
}

func crashes(t *testing.T, w *world, random *rand.Rand) {
	names := []string{"alice", "bob"}
	w.keeping(names...)
	ledgers := []*ledger{{done: map[MessageID]bool{}}, {done: map[MessageID]bool{}}}
	peers := make([]*peer, 2)
	dead := make([]atomic.Bool, 2)
	start := func(i int) {
		dead[i].Store(false)
		w.dead = &dead[i]
		var left atomic.Int64
		left.Store(20 + random.Int64N(300)) // steps of the disk until it is killed
		w.steps = func(string) bool {
			if left.Add(-1) > 0 {
				return true
			}
			dead[i].Store(true)
			return false
		}
		peers[i] = w.start(names[i], names[1-i])
	}
	kill := func(i int) {
		w.kill(peers[i])
		ledgers[i].collect(peers[i])
		ledgers[i].kills++
	}
	w.steps = nil
	peers[0] = w.start(names[0])
	start(1)
	for n := range 400 {
		i := random.IntN(2)
		if _, err := peers[i].Send(within(t, time.Second), certs.ID(names[1-i]), fmt.Sprint(n), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(int(30 * time.Millisecond))))
		if dead[i].Load() || n == 200 {
			kill(i)
			start(i)
		}
	}
	for i := range names {
		kill(i)
		w.steps, w.dead = nil, nil
		peers[i] = w.start(names[i], names[1-i])
	}
	for _, p := range peers {
		p.eventually(time.Minute, "nothing waits", func() bool { return len(p.Waiting()) == 0 })
	}
	time.Sleep(time.Second)
	for i := range names {
		ledgers[i].collect(peers[i])
	}
	t.Logf("%d and %d kills", ledgers[0].kills, ledgers[1].kills)
	for i := range names {
		judge(t, names[i], ledgers[i], ledgers[1-i])
	}
}

// judge compares what one peer has sent with what the other was shown.
func judge(t *testing.T, who string, from, to *ledger) {
	shown := map[MessageID]int{}
	repeats := 0
	var last time.Time
	for _, m := range to.shown {
		shown[m.ID]++
		if shown[m.ID] > 1 {
			repeats++
			continue
		}
		if m.SentAt.Before(last) {
			t.Errorf("%s's %q is shown out of order", who, m.Body)
		}
		last = m.SentAt
	}
	if repeats > to.kills {
		t.Errorf("%d repeats of %s's lines after %d kills", repeats, who, to.kills)
	}
	for _, id := range from.sent {
		if shown[id] == 0 || !from.done[id] {
			t.Errorf("%s's %v was shown %d times, delivered: %v", who, id, shown[id], from.done[id])
		}
	}
}

// TestEpochOutlivesItsFile: a peer that has lost the file of its epoch, and whose clock went
// back, does not pass as an earlier run.
func TestEpochOutlivesItsFile(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		if _, err := w.states["alice"].NextEpoch(1 << 60); err != nil { // a clock far ahead
			t.Fatal(err)
		}
		bob := w.start("bob")
		alice := w.start("alice", "bob")
		talk(alice, bob)
		w.leave(alice)
		dir := w.states["alice"].Dir
		w.states["alice"] = state("alice", "alice")
		w.states["alice"].Dir = dir
		w.leave(bob) // no peer that remembers it is left
		alice = w.start("alice")
		bob = w.start("bob", "alice")
		talk(alice, bob)
	})
}

// TestDiskThatFails: a node whose disk fails stops, and reports no message as safe that isn't.
func TestDiskThatFails(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		if err := alice.disk.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Send(t.Context(), "bob", "hello", ""); err != nil {
			t.Fatal(err)
		}
		<-alice.done
		if err := alice.Err(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("it stops with %v", err)
		}
		if len(all[Sent](alice)) != 0 {
			t.Error("a message was reported as sent that is nowhere")
		}
	})
}

// Leaving keeps to its ctx while a disk answers nothing: then it takes a second for the
// goodbyes and 5 s for the disk. What Sent has reported is there afterwards.
func TestLeaveWithAStuckDisk(t *testing.T) {
	for name, patience := range map[string]time.Duration{"Leave": time.Second, "Close": 0} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice")
				var stuck atomic.Bool
				answers := make(chan struct{})
				w.steps = func(step string) bool {
					if step == "commit" && stuck.Load() {
						<-answers
					}
					return true
				}
				carol := w.start("carol")
				alice := w.start("alice", "carol")
				w.steps = nil
				talk(alice, carol)
				id := alice.send("bob", "on the disk")
				awaitEvent(alice, time.Second, func(s Sent) bool { return s.Message == id })
				stuck.Store(true)
				alice.send("bob", "not on the disk")
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, err := alice.Leave(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > patience+hurriedTime+5*time.Second {
					t.Errorf("it took %v", took)
				}
				awaitEvent(carol, time.Second, func(l PeerLeft) bool { return l.ID == "alice" && l.Reason == ReasonLeft })
				close(answers)
				<-alice.done
				again := w.start("alice", "carol")
				if list := again.Waiting(); len(list) != 1 || list[0].Count < 1 {
					t.Errorf("waiting: %v", list)
				}
			})
		})
	}
}
