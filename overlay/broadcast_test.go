package overlay

import (
	"testing"
	"time"
)

// Who was cut off gets what it has missed, in order and once, also from an author that
// has gone meanwhile, and then sees that one come and go.
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
