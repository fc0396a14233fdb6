package files

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// A transfer that is over stays over, whatever call was under way at that moment.
func TestOverStaysOver(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 1000)})

		_, declined := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Cancel(declined.File); err != nil {
			t.Fatal(err)
		}
		tr, _ := bob.find(declined.File)
		bob.mu.Lock()
		tr.Dir = w.dir("bob", "in")
		bob.puller.start(tr) // as an Accept at the same time does
		bob.mu.Unlock()
		time.Sleep(time.Minute)
		if now := tr.snapshot(); now.State != StateCancelled {
			t.Errorf("declined, and then %+v", now)
		}

		_, accepted := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Accept(accepted.File, "", ""); err != nil {
			t.Fatal(err)
		}
		tr, _ = bob.find(accepted.File)
		tr.expire(StateCancelled, "newer offers have taken its place") // as an offer at the same time does
		await(bob, time.Minute, func(e Done) bool { return e.File == accepted.File })
		if _, err := bob.Cancel(accepted.File); err != ErrOver {
			t.Errorf("after it was done: %v", err)
		}
	})
}

// An offer that comes while the files are closed is there in the next run, also if the rule is to take or to decline it.
func TestOfferAfterClose(t *testing.T) {
	for name, rule := range map[string]Rule{"asked": {}, "taken": {All: true}, "declined": {Never: true}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				alice, bob := w.pair(Config{}, Config{Accept: rule})
				src := w.dir("alice", "out")
				w.tree(src, map[string][]byte{"f": random(1, 1000)})
				if err := bob.Files.Close(); err != nil {
					t.Fatal(err)
				}
				_, got := offer(t, alice, bob, filepath.Join(src, "f"))
				bob.stop()
				bob = w.start(Config{Accept: rule}, "bob", "alice")
				if list := bob.Transfers(); len(list) != 1 || list[0].File != got.File {
					t.Errorf("%+v", list)
				}
				if rule.All {
					await(bob, time.Minute, always[Done])
				}
			})
		})
	}
}

// A rule that takes all does not take any number of offers of a sender that gives nothing.
func TestTakesNoFlood(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		bob := w.start(Config{Accept: Rule{All: true}}, "bob")
		body := fmt.Sprintf(`{"name":"f","size":1,"files":1,"manifest":%q}`, strings.Repeat("ab", 32))
		for i := range maxTakenOfOne + 2*maxOffersOfOne {
			bob.Handle(overlay.Message{Kind: overlay.KindFile, From: "mallory", Key: certs.PublicKey{1}, ID: overlay.MessageID{1, byte(i >> 8), byte(i)}, To: "bob", Body: body})
		}
		states := map[State]int{}
		for _, tr := range bob.Transfers() {
			states[tr.State]++
		}
		if states[StateWaiting] != maxTakenOfOne || states[StateOffered] != maxOffersOfOne {
			t.Errorf("%v", states)
		}
		if e := bob.Handle(overlay.Message{Kind: overlay.KindFile, From: "carol", Key: certs.PublicKey{2}, ID: overlay.MessageID{2}, To: "bob", Body: body}); len(e) != 1 || !e[0].(Offered).Accepted {
			t.Errorf("of another sender: %+v", e)
		}
	})
}

// A sender learns that an offer is declined, also while it has as many connections of the receiver as it takes.
func TestDeclinedBesideOthers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 4 << 20}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 10<<20)})
		for range maxPulls {
			_, got := offer(t, alice, bob, filepath.Join(src, "f"))
			if _, err := bob.Accept(got.File, "", ""); err != nil {
				t.Fatal(err)
			}
			await(bob, time.Minute, func(e Progress) bool { return e.File == got.File })
		}
		sent, got := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Cancel(got.File); err != nil {
			t.Fatal(err)
		}
		await(alice, declinePatience, func(e Ended) bool { return e.File == sent.File && e.Cancelled })
	})
}
