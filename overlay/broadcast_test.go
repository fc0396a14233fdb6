package overlay

import (
	"testing"
	"time"
)

// A peer that was cut off gets the broadcasts that it missed, in order and once. Those of an
// author that has gone meanwhile come too, and then that author is seen to come and go.
func TestBroadcastsOfWhoHasGone(t *testing.T) {
	for name, goes := range map[string]func(w *world, p *peer){
		"left":    func(w *world, p *peer) { w.leave(p) },
		"crashed": func(w *world, p *peer) { w.kill(p) },
		"stays":   func(*world, *peer) {},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob", "carol", "dave")
				author, bob := peers[3], peers[1]
				for _, other := range []string{"alice", "carol", "dave"} {
					w.Cut("bob", other)
				}
				bob.eventually(noticed, "nobody is here", func() bool { return len(bob.here()) == 0 })
				want := numbers(300)
				for _, body := range want {
					if _, err := author.Broadcast(t.Context(), body, ""); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				goes(w, author)
				time.Sleep(5 * time.Second)
				for _, other := range []string{"alice", "carol", "dave"} {
					w.Heal("bob", other)
				}
				bob.awaitBodies(30*time.Second, "dave", want...)
				time.Sleep(5 * time.Second)
				if n := len(bob.here()); n != 2 && name != "stays" || n != 3 && name == "stays" {
					t.Errorf("bob sees %v", bob.here())
				}
				bob.awaitBodies(0, "dave", want...)
			})
		})
	}
}

// A peer that restarts shows no broadcast again, whichever neighbour offers it, even one that
// gets the broadcast only then.
func TestBroadcastsAreNotShownAgain(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("bob")
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		carol := w.start("carol", "alice")
		for _, p := range []*peer{alice, bob, carol} {
			p.eventually(5*time.Second, "all are here", func() bool { return len(p.here()) == 2 })
		}
		w.Cut("alice", "carol")
		w.Cut("bob", "carol")
		want := numbers(20)
		for _, body := range want {
			if _, err := alice.Broadcast(t.Context(), body, ""); err != nil {
				t.Fatal(err)
			}
		}
		bob.awaitBodies(5*time.Second, "alice", want...)
		w.kill(bob)
		bob = w.start("bob", "alice")
		time.Sleep(time.Second)
		w.Heal("alice", "carol") // and what it catches up on is new to it
		w.Heal("bob", "carol")
		carol.awaitBodies(30*time.Second, "alice", want...)
		if _, err := alice.Broadcast(t.Context(), "new", ""); err != nil {
			t.Fatal(err)
		}
		bob.awaitBodies(2*time.Second, "alice", "new")
		time.Sleep(10 * time.Second)
		bob.awaitBodies(0, "alice", "new")
	})
}
