package overlay

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
)

// startVisitor starts a node that is a visitor.
func (w *world) startVisitor(name string, join ...string) *peer {
	w.t.Helper()
	cfg := w.config(name, join...)
	cfg.Visitor = true
	n, err := Start(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatalf("starting %s: %v", name, err)
	}
	p := w.peer(n)
	p.listen()
	awaitEvent(p, 5*time.Second, func(Ready) bool { return true })
	return p
}

// holds says whether a node's table has an entry of an ID, and what its digest is.
func (p *peer) holds(id certs.ID) (held bool, digest []byte) {
	done := make(chan struct{})
	p.post(onLoop(func(l *loop) {
		held, digest = l.core.Record(id) != nil, bytes.Clone(l.core.Digest())
		close(done)
	}))
	<-done
	return held, digest
}

// saw lists the events of one node about another.
func (p *peer) saw(id certs.ID) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		switch e := e.(type) {
		case PeerJoined:
			if e.ID == id {
				list = append(list, "joined")
			}
		case PeerLeft:
			if e.ID == id {
				list = append(list, string(e.Reason))
			}
		case Message:
			if e.From == id {
				list = append(list, e.Body)
			}
		}
	}
	return list
}

// A script that says a line and leaves is seen by the peer it speaks to and by its door, and
// no other hears of it. It can be answered while it is here.
func TestVisitor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob", "carol")
		peers := w.network("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		time.Sleep(10 * time.Second)
		_, before := bob.holds("script")
		script := w.startVisitor("script", "alice")
		if here := script.here(); len(here) != 3 {
			t.Errorf("it finds %v", here)
		}
		talk(script, carol)
		if _, err := script.Leave(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		for p, want := range map[*peer][]string{
			alice: {"joined", "left"}, bob: nil, carol: {"joined", "talk", "left"},
		} {
			if saw := p.saw("script"); !slices.Equal(saw, want) {
				t.Errorf("%s saw %q, not %q", p.ID(), saw, want)
			}
			held, digest := p.holds("script")
			if held || !bytes.Equal(digest, before) {
				t.Errorf("%s holds it: %v, or its table has changed", p.ID(), held)
			}
			if _, err := p.messages.Directory().Known("script"); err == nil {
				t.Errorf("%s remembers it", p.ID())
			}
		}
		newcomer := w.start("dave", "bob")
		if saw := newcomer.saw("script"); len(saw) > 0 {
			t.Errorf("a newcomer sees %q", saw)
		}
	})
}

// A visitor hears broadcasts from the beginning. One that broadcasts itself, or stays, becomes
// a member: every peer shows its joining before its broadcast.
func TestVisitorStays(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		quick := w.startVisitor("quick", "alice")
		if _, err := peers[1].Broadcast(t.Context(), "to all", ""); err != nil {
			t.Fatal(err)
		}
		quick.awaitBodies(time.Second, "bob", "to all")
		if saw := peers[1].saw("quick"); saw != nil {
			t.Fatalf("bob saw %q: it is no visitor any more", saw)
		}
		if _, err := quick.Broadcast(t.Context(), "hello", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := quick.Leave(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		slow := w.startVisitor("slow", "bob")
		for _, p := range peers {
			p.eventually(5*time.Second, "slow is known", func() bool { return slices.Contains(p.here(), "slow") })
			if saw := p.saw("quick"); !slices.Equal(saw, []string{"joined", "hello", "left"}) {
				t.Errorf("%s saw %q", p.ID(), saw)
			}
		}
		talk(slow, peers[2])
		w.Crash("slow")
		for _, p := range peers {
			p.eventually(10*time.Second, "slow is lost", func() bool { return slices.Equal(p.saw("slow")[len(p.saw("slow"))-1:], []string{"lost"}) })
		}
	})
}

// A visitor's message that can't go directly goes over others: it is a member then.
func TestVisitorWithoutAWay(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		w.Cut("script", "carol")
		script := w.startVisitor("script", "alice")
		script.send("carol", "over others")
		peers[2].awaitBodies(5*time.Second, "script", "over others")
		if saw := peers[1].saw("script"); !slices.Equal(saw, []string{"joined"}) {
			t.Errorf("bob saw %q", saw)
		}
		if n, err := script.Leave(within(t, 5*time.Second)); err != nil || n != 0 {
			t.Errorf("leaves with %d waiting, %v", n, err)
		}
		for _, p := range peers {
			p.eventually(5*time.Second, "it has left", func() bool { return !slices.Contains(p.here(), "script") })
		}
	})
}

// A visitor that dies is gone for the peers that knew it, and no other hears of it.
func TestVisitorDies(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		script := w.startVisitor("script", "alice")
		talk(script, peers[2])
		w.Crash("script")
		time.Sleep(10 * time.Second)
		for i, want := range [][]string{{"joined", "lost"}, nil, {"joined", "talk", "lost"}} {
			if saw := peers[i].saw("script"); !slices.Equal(saw, want) {
				t.Errorf("%s saw %q, not %q", peers[i].ID(), saw, want)
			}
		}
	})
}

// Programs are told who is a visitor, when one stays, and that one has gone which never did.
func TestVisitorsAreMarked(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		script := w.startVisitor("script", "alice")
		if j := awaitEvent(alice, time.Second, func(e PeerJoined) bool { return e.ID == "script" }); !j.Visitor {
			t.Errorf("alice: %+v", j)
		}
		if list := alice.Peers(); len(list) != 2 || list[0].Visitor || !list[1].Visitor {
			t.Errorf("alice lists %+v", list)
		}
		if _, err := script.Leave(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if l := awaitEvent(alice, time.Second, func(e PeerLeft) bool { return e.ID == "script" }); !l.Visitor {
			t.Errorf("alice: %+v", l)
		}
		if n := len(all[PeerChanged](alice)); n != 0 {
			t.Errorf("alice was told of %d changes", n)
		}

		guest := w.startVisitor("guest", "alice")
		if err := guest.SetTags(map[string]string{"role": "guest"}); err != nil {
			t.Fatal(err)
		}
		awaitEvent(alice, time.Second, func(e PeerChanged) bool { return e.ID == "guest" && e.Visitor && e.Tags["role"] == "guest" })
		awaitEvent(alice, 5*time.Second, func(e PeerChanged) bool { return e.ID == "guest" && !e.Visitor && e.Tags["role"] == "guest" })
		if j := awaitEvent(bob, time.Second, func(e PeerJoined) bool { return e.ID == "guest" }); j.Visitor {
			t.Errorf("bob: %+v", j)
		}
		if list := alice.Peers(); len(list) != 2 || list[1].Visitor {
			t.Errorf("alice lists %+v", list)
		}
		w.Crash("guest")
		for _, p := range peers {
			if l := awaitEvent(p, 10*time.Second, func(e PeerLeft) bool { return e.ID == "guest" }); l.Visitor {
				t.Errorf("%s: %+v", p.ID(), l)
			}
		}
	})
}
