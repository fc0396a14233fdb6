package overlay

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// author is a peer that writes letters.
func author(p *peer) delivery.Author {
	return delivery.Author{ID: p.ID(), Identity: p.cfg.State.Identity, Network: p.cfg.Network}
}

// line starts these nodes, of which each can reach only the next and the one before.
func (w *world) line(names ...string) []*peer {
	w.t.Helper()
	for i := range names {
		for j := range i - 1 {
			w.Cut(names[i], names[j])
		}
	}
	var peers []*peer
	for i, name := range names {
		var join []string
		if i > 0 {
			join = names[i-1 : i]
		}
		peers = append(peers, w.start(name, join...))
	}
	for _, p := range peers {
		p.eventually(10*time.Second, "everybody is known", func() bool { return len(p.here()) == len(names)-1 })
	}
	return peers
}

// TestRelayed: messages of all sizes go over others, in order, and so do their receipts.
func TestRelayed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.line("alice", "bob", "carol", "dave")
		alice, dave := peers[0], peers[3]
		want := numbers(300)
		want[100] += strings.Repeat("x", 200<<10)
		want[200] += strings.Repeat("y", pb.MaxBody-3)
		for _, body := range want {
			alice.send("dave", body)
			dave.send("alice", body)
		}
		dave.awaitBodies(30*time.Second, "alice", want...)
		alice.awaitBodies(30*time.Second, "dave", want...)
		for _, p := range []*peer{alice, dave} {
			p.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](p)) == len(want) })
			for _, d := range all[Delivered](p) {
				if d.Path != PathRelayed || d.RTT <= 0 {
					t.Fatalf("delivered: %+v", d)
				}
			}
			for _, m := range all[Message](p) {
				if m.Path != PathRelayed {
					t.Fatalf("the message %q is %v", m.Body[:3], m.Path)
				}
			}
			if b := all[Buffered](p); len(b) != 0 {
				t.Errorf("buffered: %+v", b[0])
			}
		}
	})
}

// TestRelayDies: when a relay crashes another path is found, and no message is lost, doubled
// or overtaken.
func TestRelayDies(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.Cut("alice", "dave")
		peers := w.network("bob", "carol", "alice", "dave")
		alice, dave := peers[2], peers[3]
		want := numbers(400)
		for i, body := range want {
			alice.send("dave", body)
			time.Sleep(20 * time.Millisecond)
			if i == 150 {
				w.Crash("bob")
			}
		}
		dave.awaitBodies(30*time.Second, "alice", want...)
		alice.eventually(15*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
	})
}

// TestWaysChangeInABurst: the path changes between direct and relayed again and again.
func TestWaysChangeInABurst(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.Lose(0.05)
		peers := w.network("alice", "bob", "carol")
		want := numbers(1200)
		for i, body := range want {
			peers[0].send("bob", body)
			peers[1].send("alice", body)
			switch i % 200 {
			case 50:
				w.Cut("alice", "bob")
				peers[i/200%2].breakLinks(false)
			case 150:
				w.Heal("alice", "bob")
			}
			time.Sleep(15 * time.Millisecond)
		}
		peers[0].awaitBodies(40*time.Second, "bob", want...)
		peers[1].awaitBodies(40*time.Second, "alice", want...)
		paths := map[Path]int{}
		for _, p := range peers[:2] {
			p.eventually(15*time.Second, "all are delivered", func() bool { return len(all[Delivered](p)) == len(want) })
			for _, d := range all[Delivered](p) {
				paths[d.Path]++
			}
		}
		if paths[PathDirect] == 0 || paths[PathRelayed] == 0 {
			t.Errorf("the ways were %v", paths)
		}
	})
}

// TestHostileLetters: a relay alters, repeats, redirects, forges and misattributes the letters
// it passes on. None of that is shown.
func TestHostileLetters(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		mallory := certs.NewIdentity(bytes.Repeat([]byte{66}, 32))
		author := author(alice)
		toBob := delivery.Addressee{ID: "bob", Key: bob.Key(), Sealing: bob.cfg.State.Identity.SealingKey()}
		message := func(body string) *delivery.Outgoing { return alice.messages.NewMessage(Draft{Body: body}) }
		seal := func(a delivery.Author, to delivery.Addressee, m *delivery.Outgoing) []byte {
			sealed, err := a.SealMessages(to, []*delivery.Outgoing{m}, delivery.Position{})
			if err != nil {
				t.Fatal(err)
			}
			return sealed
		}
		good := seal(author, toBob, message("good"))
		open := func(sealed []byte) error {
			return bob.messages.OpenLetter(messaging.Letter{From: "alice", Sealed: sealed})
		}
		if err := open(good); err != nil {
			t.Fatal(err)
		}
		bob.awaitBodies(time.Second, "alice", "good")

		if bytes.Contains(good, []byte("good")) || bytes.Contains(good, []byte("alice")) {
			t.Error("what is sealed can be read")
		}
		for i := range 3 { // replayed, also by another peer
			if err := bob.messages.OpenLetter(messaging.Letter{From: certs.ID([]string{"alice", "eve", "zoe"}[i]), Sealed: good}); err != nil {
				t.Errorf("a repeat is an error: %v", err)
			}
		}
		for i := 0; i < len(good); i += 7 {
			altered := bytes.Clone(good)
			altered[i] ^= 1
			if open(altered) == nil {
				t.Errorf("altered at byte %d it is taken", i)
			}
		}
		// Mallory writes in alice's name: under its own key, and with a message ID of alice's.
		forger := delivery.Author{ID: "alice", Identity: mallory, Network: author.Network}
		own := message("forged")
		prefix := certs.MessagePrefix(mallory.Key(), own.Epoch, own.Nonce)
		copy(own.ID[:8], prefix[:])
		if open(seal(forger, toBob, own)) == nil {
			t.Error("a letter in alice's name under another key is taken")
		}
		if open(seal(delivery.Author{ID: "mallory", Identity: mallory, Network: author.Network}, toBob, message("forged"))) == nil {
			t.Error("a message ID of alice's in a letter of mallory's is taken")
		}
		// Alice's letter to mallory, opened and sealed to bob.
		signed, err := mallory.Open(seal(author, delivery.Addressee{ID: "mallory", Key: mallory.Key(), Sealing: mallory.SealingKey()}, message("for mallory")))
		if err != nil {
			t.Fatal(err)
		}
		forwarded, err := certs.Seal(toBob.Sealing, signed)
		if err != nil || open(forwarded) == nil {
			t.Errorf("alice's letter to mallory is taken by bob, %v", err)
		}
		// A letter to another peer of bob's key, and of another network.
		other := toBob
		other.ID = "bobby"
		if open(seal(author, other, message("for bobby"))) == nil {
			t.Error("a message for bobby is taken by bob")
		}
		elsewhere := author
		elsewhere.Network = "elsewhere"
		if open(seal(elsewhere, toBob, message("elsewhere"))) == nil {
			t.Error("a letter of another network is taken")
		}
		time.Sleep(5 * time.Second)
		bob.awaitBodies(0, "alice", "good")
		if n := len(all[Message](bob)); n != 1 {
			t.Errorf("bob was shown %d messages", n)
		}
		talk(alice, bob)
	})
}

// TestForgedReceipts: a receipt that comes over other peers counts only if the receiver itself
// has signed it.
func TestForgedReceipts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		w.Cut("alice", "bob")
		w.Cut("bob", "carol")
		id := alice.send("bob", "hello")
		toAlice := delivery.Addressee{ID: "alice", Key: alice.Key(), Sealing: alice.cfg.State.Identity.SealingKey()}
		receipts := []*pb.Receipt{{Id: id[:], Code: pb.ReceiptCode_DELIVERED}}
		forger := author(carol)
		forger.ID = "bob"
		for _, a := range []delivery.Author{author(carol), forger} {
			sealed, err := a.SealReceipts(toAlice, receipts)
			if err != nil {
				t.Fatal(err)
			}
			_ = alice.messages.OpenLetter(messaging.Letter{From: "bob", Sealed: sealed})
		}
		if len(all[Delivered](alice)) != 0 {
			t.Error("carol's receipt counts as bob's")
		}
		sealed, err := author(bob).SealReceipts(toAlice, receipts)
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.messages.OpenLetter(messaging.Letter{From: "bob", Sealed: sealed}); err != nil {
			t.Fatal(err)
		}
		awaitEvent(alice, time.Second, func(d Delivered) bool { return d.Message == id && d.Path == PathRelayed })
	})
}

// TestStuckReceiverOverOthers: a program that does not read its events holds up its senders
// over other peers too, in bounded memory, and gets everything in the end.
func TestStuckReceiverOverOthers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.Cut("alice", "bob")
		carol := w.start("carol")
		bob := w.startDeaf("bob", "carol")
		alice := w.start("alice", "carol")
		alice.eventually(5*time.Second, "both are here", func() bool { return len(alice.here()) == 2 })
		var want []string
		for i := range 3000 {
			want = append(want, fmt.Sprint(i, strings.Repeat(".", 100)))
			alice.send("bob", want[i])
		}
		time.Sleep(20 * time.Second)
		if n := len(all[Delivered](alice)); n != 0 {
			t.Errorf("%d messages are delivered that nobody has seen", n)
		}
		talk(alice, carol)
		bob.listen()
		bob.awaitBodies(time.Minute, "alice", want...)
		alice.eventually(30*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want)+1 })
		if !slices.ContainsFunc(all[Delivered](alice), func(d Delivered) bool { return d.Path == PathRelayed }) {
			t.Error("none went over carol")
		}
	})
}
