package overlay

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/overlay/replay"
	"quicpeer/pb"
)

// reinstall gives a node another identity, in a state directory of its own, at its next start.
func (w *world) reinstall(name, seed string) *State {
	w.t.Helper()
	w.states[name] = state(name, seed)
	w.states[name].Dir = w.t.TempDir()
	return w.states[name]
}

// sealed are the texts that a node's core was given in letters and deposits that an identity can
// open. The node has ended.
func sealed(r *replay.Recording, to *State) (bodies []string) {
	a := delivery.Author{ID: to.ID, Identity: to.Identity}
	for _, s := range r.Steps {
		var b []byte
		switch in := s.Input.(type) {
		case core.Route:
			b = in.Sealed
		case core.Deposit:
			b = in.Deposit.GetSealed()
		}
		if l, err := a.Open(b); err == nil {
			for _, m := range l.GetMessages() {
				bodies = append(bodies, m.GetContent())
			}
		}
	}
	return bodies
}

// waitsForKey says that a message waits since its receiver has another key.
func waitsForKey(id MessageID) func(Buffered) bool {
	return func(b Buffered) bool {
		return b.Message == id && b.Reason == string(b.To)+" has another key than before"
	}
}

// Alice's state directory is gone, and alice comes again. What bob writes waits, and nothing of it
// is sent or sealed to the new key, over restarts of both; what she writes is shown and marked.
// When bob goes on with the new key it gets all of it once, in order.
func TestNewInstallation(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		t.Run(fmt.Sprint("relayed ", relayed), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				if relayed {
					w.Cut("alice", "bob")
				}
				record := new(replay.Recording)
				w.recordings = map[string]*replay.Recording{"bob": record}
				w.start("carol")
				alice := w.start("alice", "carol")
				bob := w.start("bob", "carol")
				alice.eventually(5*time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
				talk(alice, bob)
				before, after := w.states["alice"], (*State)(nil)
				w.leave(alice)
				awaitEvent(bob, time.Second, func(l PeerLeft) bool { return l.ID == "alice" })
				bob.send("alice", "0")
				time.Sleep(time.Second)

				after = w.reinstall("alice", "anew")
				alice = w.start("alice", "carol")
				c := awaitEvent(bob, time.Second, func(KeyChanged) bool { return true })
				if want := (KeyChanged{ID: "alice", Was: before.Identity.Key(), Is: after.Identity.Key()}); c != want {
					t.Errorf("bob is told %+v, not %+v", c, want)
				}
				awaitEvent(bob, time.Second, waitsForKey(bob.send("alice", "1")))
				hers := alice.send("bob", "it is me")
				m := awaitEvent(bob, 5*time.Second, func(m Message) bool { return m.ID == hers })
				if !m.NewKey || m.Key != after.Identity.Key() {
					t.Errorf("what she writes is shown as %+v", m)
				}
				awaitEvent(alice, 5*time.Second, func(d Delivered) bool { return d.Message == hers })
				if _, err := alice.Broadcast(t.Context(), "to all", ""); err != nil {
					t.Fatal(err)
				}
				if m := awaitEvent(bob, 5*time.Second, func(m Message) bool { return m.To == Everyone }); !m.NewKey {
					t.Errorf("to everyone: %+v", m)
				}
				time.Sleep(time.Minute)
				w.kill(alice) // the same key comes again, and again
				alice = w.start("alice", "carol")
				time.Sleep(time.Minute)
				if n := len(all[KeyChanged](bob)); n != 1 {
					t.Errorf("bob is told %d times", n)
				}
				w.leave(bob)
				bob = w.start("bob", "carol")
				awaitEvent(bob, time.Second, waitsForKey(bob.send("alice", "2")))
				time.Sleep(time.Minute)
				if n := len(all[KeyChanged](bob)); n != 0 {
					t.Errorf("bob is told again after a restart")
				}
				if got := alice.bodies("bob"); len(got) > 0 {
					t.Errorf("the new key has got %q", got)
				}
				w.leave(bob)
				if got := sealed(record, after); len(got) > 0 {
					t.Errorf("sealed to the new key was %q", got)
				}
				if got := sealed(record, before); !slices.Contains(got, "0") || !slices.Contains(got, "2") {
					t.Errorf("sealed to the key before was %q", got)
				}

				bob = w.start("bob", "carol")
				bob.eventually(5*time.Second, "alice is here", func() bool { return len(bob.here()) == 2 })
				if err := bob.Trust("alice"); err != nil {
					t.Fatal(err)
				}
				alice.awaitBodies(10*time.Second, "bob", "0", "1", "2")
				bob.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](bob)) == 3 })
				talk(alice, bob)
				if all := all[Message](bob); all[len(all)-1].NewKey {
					t.Error("what she writes is still marked")
				}
				time.Sleep(time.Hour)
				alice.awaitBodies(0, "bob", "0", "1", "2", "talk")
				if err := bob.Trust("alice"); err == nil {
					t.Error("there is another key still")
				}
			})
		})
	}
}

// A new key is trusted while its peer is away: what waits is left for it, and not for the one
// before, with a peer that hands it over.
func TestTrustedWhileAway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		w.start("carol")
		bob := w.start("bob", "carol")
		alice := w.start("alice", "carol")
		bob.eventually(5*time.Second, "alice is here", func() bool { return len(bob.here()) == 2 })
		talk(alice, bob)
		w.leave(alice)
		w.reinstall("alice", "anew")
		alice = w.start("alice", "carol")
		awaitEvent(bob, 5*time.Second, func(KeyChanged) bool { return true })
		w.leave(alice)
		bob.eventually(5*time.Second, "alice has left", func() bool { return len(bob.here()) == 1 })
		bob.send("alice", "0")
		bob.send("alice", "1")
		time.Sleep(5 * time.Second)
		if err := bob.Trust("alice"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.leave(bob)
		alice = w.start("alice", "carol")
		alice.awaitBodies(10*time.Second, "bob", "0", "1")
		bob = w.start("bob", "carol")
		bob.eventually(10*time.Second, "both are delivered", func() bool { return len(all[Delivered](bob)) == 2 })
		time.Sleep(time.Minute)
		alice.awaitBodies(0, "bob", "0", "1")
	})
}

// Two installations take turns: messages go to the first alone, whenever it is there, and bob is
// told once of the second, and once of a third.
func TestInstallationsTakeTurns(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		states := []*State{w.states["alice"], nil, nil}
		for i, seed := range []string{"second", "third"} {
			states[i+1] = w.reinstall("alice", seed)
		}
		w.start("carol")
		bob := w.start("bob", "carol")
		var waiting []string
		for turn, who := range []int{0, 1, 0, 1, 1, 0, 2, 1, 2, 0} {
			w.states["alice"] = states[who]
			alice := w.start("alice", "carol")
			key := alice.Key()
			bob.eventually(5*time.Second, "alice is here", func() bool {
				joins := all[PeerJoined](bob)
				return joins[len(joins)-1].Key == key && len(bob.here()) == 2
			})
			body := fmt.Sprint(turn)
			waiting = append(waiting, body)
			id := bob.send("alice", body)
			if who == 0 {
				alice.awaitBodies(10*time.Second, "bob", waiting...)
				bob.eventually(10*time.Second, "nothing waits", func() bool { return len(bob.Waiting()) == 0 })
				waiting = nil
			} else {
				awaitEvent(bob, time.Second, waitsForKey(id))
				time.Sleep(time.Minute)
				if got := alice.bodies("bob"); len(got) > 0 {
					t.Errorf("the other key has got %q", got)
				}
			}
			w.leave(alice)
			bob.eventually(5*time.Second, "alice has left", func() bool { return len(bob.here()) == 1 })
		}
		first := states[0].Identity.Key()
		want := []KeyChanged{{ID: "alice", Was: first, Is: states[1].Identity.Key()}, {ID: "alice", Was: first, Is: states[2].Identity.Key()}}
		if got := all[KeyChanged](bob); !slices.Equal(got, want) {
			t.Errorf("bob is told %v", got)
		}
	})
}

// A stranger claims bob's ID by an old epoch. It gets nothing of what is written to bob, also when it
// knows where alice is and keeps a link to her; what it writes is shown under another name; and bob
// stays.
func TestStrangerTakesTheName(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		w.start("carol")
		alice := w.start("alice", "carol")
		bob := w.start("bob", "carol")
		alice.eventually(5*time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
		talk(alice, bob)

		accomplice, s := w.stranger("eve"), w.stranger("mallory")
		accomplice.join(alice)
		address := w.Addr("mallory").String()
		s.state, s.epoch = NewState("bob", s.state.Identity), 1
		alias := certs.Alias("bob", s.state.Identity.Key())
		record := func(r *pb.Record) { r.Addresses = []string{address} }
		accomplice.say(&pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: s.record(record)}}})
		s.dial(alice)
		s.say(&pb.HandshakeStart{Version: pb.Version, Id: "bob", Record: s.record(record)})
		s.await(func(m *pb.PeerMessage) bool { return m.GetHandshakeResponse().GetCode() == pb.HandshakeCode_OK })
		awaitEvent(alice, 5*time.Second, func(j PeerJoined) bool { return j.ID == alias && j.Key == s.state.Identity.Key() })
		alice.send("bob", "a secret")
		bob.awaitBodies(5*time.Second, "alice", "talk", "a secret")
		stream := s.write(encoded(s.message(alice, 1, func(m *pb.Message) { m.Content = "I am bob" })))
		if m := awaitEvent(alice, time.Second, func(m Message) bool { return m.Body == "I am bob" }); m.From != alias || m.Key != s.state.Identity.Key() {
			t.Errorf("alice is shown %+v", m)
		}
		if word, err := stream.Read(pb.MaxControlFrame); err != nil || word.GetReceipt().GetCode() != pb.ReceiptCode_DELIVERED {
			t.Errorf("the stranger gets %v, %v", word, err)
		}
		if got, err := s.link.AcceptStream(within(t, time.Minute)); err == nil {
			t.Errorf("the stranger is written to: %v", got)
		}
		if err := bob.Err(); err != nil || len(all[KeyChanged](alice)) > 0 || slices.ContainsFunc(all[PeerLeft](alice), func(l PeerLeft) bool { return l.ID == "bob" }) {
			t.Errorf("bob ends with %v, alice is told %v, %v", err, all[KeyChanged](alice), all[PeerLeft](alice))
		}
		s.mu.Lock()
		for _, m := range s.frames {
			if m.GetRouted().GetEnvelope() != nil || m.GetDeposit() != nil && certs.PublicKey(m.GetDeposit().GetReceiverKey()) == s.state.Identity.Key() {
				t.Errorf("the stranger gets %v", m)
			}
		}
		s.mu.Unlock()
		stream2 := alice.send(alias, "who are you?")
		got, err := s.link.AcceptStream(within(t, 5*time.Second))
		if err != nil {
			t.Fatalf("message %v does not go to the other name: %v", stream2, err)
		}
		if m, err := got.Read(pb.MaxControlFrame); err != nil || m.GetMessage().GetContent() != "who are you?" || m.GetMessage().GetReceiver() != "bob" {
			t.Errorf("the stranger gets %v, %v", m, err)
		}
		s.endpoint.Close()
		accomplice.endpoint.Close()
	})
}

// A directory of a program without pins: what waits there is for the peer that was met under the
// ID, and not for who comes with it.
func TestWaitsFromBeforePins(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.withoutBob()
		alice.send("bob", "for bob")
		w.leave(alice)
		s, err := store.Open(w.states["alice"].Dir)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(nil, store.Op{Bucket: store.Pins, Key: []byte("bob")})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before := w.states["bob"]
		w.reinstall("bob", "somebody")
		bob := w.start("bob", "carol")
		alice = w.start("alice", "carol")
		awaitEvent(alice, 5*time.Second, func(c KeyChanged) bool { return c.Was == before.Identity.Key() })
		time.Sleep(time.Minute)
		if got := bob.bodies("alice"); len(got) > 0 {
			t.Errorf("somebody has got %q", got)
		}
		w.leave(bob)
		w.states["bob"] = before
		bob = w.start("bob", "carol")
		bob.awaitBodies(10*time.Second, "alice", "for bob")
	})
}

// Pins as Whois shows them.
func TestWhois(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		peers := w.network("alice", "bob", "carol")
		alice, bob := peers[0], peers[1]
		who, err := alice.Whois("bob")
		if err != nil || who.Key != bob.Key() || !who.Pinned.IsZero() || who.Here.IsZero() || who.How != HowLAN && who.How != HowDialled || who.SafetyNumber != certs.SafetyNumber(alice.Key(), bob.Key()) {
			t.Errorf("before a message: %+v, %v", who, err)
		}
		id := bob.send("alice", "hello")
		awaitEvent(bob, time.Second, func(d Delivered) bool { return d.Message == id })
		for _, p := range peers[:2] {
			other := peers[1]
			if p == bob {
				other = alice
			}
			if who, err = p.Whois(other.ID()); err != nil || who.Pinned.IsZero() || who.Verified || who.Pin != (certs.PublicKey{}) {
				t.Errorf("after a message %s has %+v, %v", p.ID(), who, err)
			}
		}
		if who, err = alice.Whois("carol"); err != nil || !who.Pinned.IsZero() {
			t.Errorf("of carol: %+v, %v", who, err)
		}
		if _, err := alice.Whois("bbo"); err == nil || err.Error() != "no peer of that name is known; did you mean bob?" {
			t.Errorf("of nobody: %v", err)
		}
		if err := alice.Verify("carol", peers[2].Key()); err != nil {
			t.Error(err)
		}
		w.leave(peers[2])
		alice.eventually(time.Second, "carol has left", func() bool { return len(alice.here()) == 1 })
		w.leave(alice)
		alice = w.start("alice", "bob")
		if who, err = alice.Whois("carol"); err != nil || !who.Verified || !who.Here.IsZero() || who.How != HowNone {
			t.Errorf("after a restart: %+v, %v", who, err)
		}
		if err := alice.Forget("carol"); err != nil {
			t.Error(err)
		}
		if who, err = alice.Whois("carol"); err != nil || who.Verified || !who.Pinned.IsZero() {
			t.Errorf("forgotten: %+v, %v", who, err)
		}
	})
}
