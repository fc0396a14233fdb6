package overlay

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

func TestTwoNodesTalk(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		id := bob.send("alice", "hello")
		m := awaitEvent(alice, time.Second, func(Message) bool { return true })
		if age := time.Since(m.SentAt); age < latency || age > time.Second {
			t.Errorf("it was sent %v ago", age)
		}
		m.SentAt = time.Time{}
		if want := (Message{ID: id, From: "bob", Key: bob.Key(), To: "alice", Body: "hello", Path: PathDirect}); m != want {
			t.Errorf("alice got %+v, not %+v", m, want)
		}
		d := awaitEvent(bob, time.Second, func(Delivered) bool { return true })
		if d.Message != id || d.To != "alice" || d.Path != PathDirect || d.RTT < 2*latency || d.RTT > 3*latency {
			t.Errorf("bob got %+v for the message %v", d, id)
		}

		ready := all[Ready](bob)[0]
		if ready.ID != "bob" || ready.Key != bob.Key() || !slices.Equal(ready.Listen, []string{w.Addr("bob").String()}) {
			t.Errorf("bob is ready as %+v", ready)
		}
		if j := all[PeerJoined](bob)[0]; j != (PeerJoined{ID: "alice", Key: alice.Key()}) {
			t.Errorf("bob was told of %+v", j)
		}
		if j := all[PeerJoined](alice)[0]; j != (PeerJoined{ID: "bob", Key: bob.Key()}) {
			t.Errorf("alice was told of %+v", j)
		}
		row := alice.Peers()[0]
		if row.ID != "bob" || row.Key != bob.Key() || row.State != StateAlive || !row.Direct || row.Via != "" ||
			!slices.Equal(row.Addresses, ready.Listen) || row.RTT < 2*latency || row.RTT > 3*latency {
			t.Errorf("alice's row of bob is %+v", row)
		}
		if list := bob.Waiting(); len(list) != 0 {
			t.Errorf("messages of bob wait: %v", list)
		}
	})
}

func TestBodiesArriveByteForByte(t *testing.T) {
	bodies := []string{
		"", " ", "\n", "trailing blanks  \t\r\n ", "\x00\x01\x1b[31m", "e\u0301 is not \u00e9", "\u202egnp.exe",
		"\ufeffBOM", "\U0010ffff\ufffd", "👩‍👩‍👧‍👦", strings.Repeat("ü", pb.MaxBody/2), strings.Repeat("x", pb.MaxBody),
	}
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		for _, body := range bodies {
			peers[1].send("alice", body)
		}
		peers[0].awaitBodies(30*time.Second, "bob", bodies...)
	})
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		want := numbers(2000)
		for i, body := range want {
			if i%500 == 0 {
				time.Sleep(time.Second) // from batches to lone messages and back
			}
			peers[0].send("bob", body)
			peers[1].send("alice", body)
		}
		peers[0].awaitBodies(30*time.Second, "bob", want...)
		peers[1].awaitBodies(30*time.Second, "alice", want...)
		peers[0].eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](peers[0])) == len(want) })
		sent := all[Sent](peers[0])
		for i, d := range all[Delivered](peers[0]) {
			if d.Message != sent[i].Message {
				t.Fatalf("the receipt %d is not that of the message %d", i, i)
			}
		}
	})
}

func TestEqualTextsAreTwoMessages(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		first, second := peers[0].send("bob", "again"), peers[0].send("bob", "again")
		if first == second {
			t.Error("two messages have one ID")
		}
		peers[1].awaitBodies(time.Second, "alice", "again", "again")
	})
}

func TestRefComesBack(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		id, err := peers[0].Send(t.Context(), "bob", "hello", "my ref")
		if err != nil {
			t.Fatal(err)
		}
		if s := awaitEvent(peers[0], time.Second, func(Sent) bool { return true }); s.Message != id || s.To != "bob" || s.Ref != "my ref" || s.Body != "hello" {
			t.Errorf("got %+v", s)
		}
		if d := awaitEvent(peers[0], time.Second, func(Delivered) bool { return true }); d.Ref != "my ref" || d.Message != id {
			t.Errorf("got %+v", d)
		}
	})
}

// The nodes form a line: each reaches its two neighbours alone.
func TestBroadcastReachesEverybodyOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		names := []string{"p0", "p1", "p2", "p3", "p4", "p5"}
		for i := range names {
			for j := range i - 1 {
				w.Cut(names[i], names[j])
			}
		}
		line := []*peer{w.start(names[0])}
		for i := 1; i < len(names); i++ {
			line = append(line, w.start(names[i], names[i-1]))
		}
		for _, p := range line {
			p.eventually(10*time.Second, "everybody is known", func() bool { return len(p.here()) == len(names)-1 })
		}
		want := numbers(20)
		for _, body := range want {
			if _, err := line[0].Broadcast(t.Context(), body, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range line[1:] {
			p.awaitBodies(time.Second, "p0", want...)
		}
		time.Sleep(time.Minute) // dials fail and accusations are refuted without any event
		for i, p := range line {
			if left := all[PeerLeft](p); len(left) > 0 {
				t.Errorf("%s was told of %v", p.ID(), left)
			}
			for _, m := range all[Message](p) {
				path := PathRelayed
				if i == 1 {
					path = PathDirect
				}
				if m.To != Everyone || m.Path != path {
					t.Errorf("%s got %+v", p.ID(), m)
				}
			}
		}
		if _, err := line[5].Broadcast(t.Context(), "back", "r"); err != nil {
			t.Fatal(err)
		}
		for _, p := range line[:5] {
			p.awaitBodies(time.Second, "p5", "back")
		}
		if s := all[Sent](line[5]); len(s) != 1 || s[0].To != Everyone || s[0].Ref != "r" {
			t.Errorf("p5 was told of %+v", s)
		}
	})
}

func TestWhatSendRefuses(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := w.start("alice")
		for _, c := range []struct {
			to   certs.ID
			body string
			want error
		}{
			{"alice", "x", ErrToSelf},
			{"bob", strings.Repeat("x", pb.MaxBody+1), ErrTooLong},
			{"bob", "\xff", ErrNotUTF8},
		} {
			if _, err := p.Send(t.Context(), c.to, c.body, ""); !errors.Is(err, c.want) {
				t.Errorf("to %s: error %v, not %v", c.to, err, c.want)
			}
		}
		for _, id := range []certs.ID{"", "two words", Everyone, certs.ID(strings.Repeat("x", 65))} {
			if _, err := p.Send(t.Context(), id, "x", ""); err == nil {
				t.Errorf("a message to %q was taken", id)
			}
		}
		if _, err := p.Broadcast(t.Context(), strings.Repeat("x", pb.MaxBroadcast+1), ""); !errors.Is(err, ErrTooLong) {
			t.Errorf("too long a broadcast: %v", err)
		}
		if _, err := p.Broadcast(t.Context(), "\xff", ""); !errors.Is(err, ErrNotUTF8) {
			t.Errorf("a broadcast that is not UTF-8: %v", err)
		}
		if len(all[Sent](p)) != 0 || len(p.Waiting()) != 0 {
			t.Error("what was refused was sent")
		}
	})
}

// Any goroutine may send; messages of one goroutine to one receiver stay in order.
func TestManySenders(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		const senders, each = 8, 100
		var group sync.WaitGroup
		for g := range senders {
			group.Go(func() {
				for i := range each {
					for _, to := range []certs.ID{"bob", "carol", "dave"} {
						if _, err := peers[0].Send(t.Context(), to, fmt.Sprint(g, i), ""); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		dave := w.start("dave", "carol")
		for _, p := range append(peers[1:], dave) {
			p.eventually(10*time.Second, "all messages came", func() bool { return len(p.bodies("alice")) == senders*each })
			var next [senders]int
			for _, body := range p.bodies("alice") {
				var g, i int
				if _, err := fmt.Sscan(body, &g, &i); err != nil || i != next[g] {
					t.Fatalf("%s got %q, not the message %d of that sender (%v)", p.ID(), body, next[g], err)
				}
				next[g]++
			}
		}
		peers[0].eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](peers[0])) == 3*senders*each })
	})
}

func TestAfterClose(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := w.start("alice")
		for range 3 {
			go p.Close()
		}
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		<-p.done // Events ends
		_, sendErr := p.Send(t.Context(), "bob", "x", "")
		_, broadcastErr := p.Broadcast(t.Context(), "x", "")
		for _, err := range []error{sendErr, broadcastErr} {
			if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if n, err := p.Leave(t.Context()); n != 0 || err != nil || p.Peers() != nil || p.Err() != nil {
			t.Errorf("after Close: Leave %d, %v; Peers %v; Err %v", n, err, p.Peers(), p.Err())
		}
	})
}
