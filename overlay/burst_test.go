package overlay

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Who broadcasts more than the network carries waits, who leaves behind it waits
// for what it has said, and nobody is cut off for it.
func TestBurstOfBroadcasts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		author := w.start("author", "alice")
		var want []string
		for i := range 300 {
			if i == 295 { // the last ones stay in the queue for longer than a goodbye takes
				for _, p := range peers {
					w.Cut("author", string(p.ID()))
					time.AfterFunc(time.Second, func() { w.Heal("author", string(p.ID())) })
				}
			}
			body := fmt.Sprintf("%d %s", i, strings.Repeat("x", 40_000))
			want = append(want, body)
			if _, err := author.Broadcast(t.Context(), body, ""); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := author.Leave(ctx); n != 0 || err != nil {
			t.Errorf("leaving: %d undelivered, %v", n, err)
		}
		for _, p := range peers {
			p.awaitBodies(10*time.Second, "author", want...)
			p.eventually(10*time.Second, "the author has left", func() bool { return len(p.here()) == 2 })
		}
	})
}

// Whoever has been told that the node is ready finds the peers of the table.
func TestReadyFindsThePeers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.network("alice", "bob")
		author := w.start("author", "alice")
		author.send("bob", "hello")
		if n, err := author.Leave(t.Context()); n != 0 || err != nil {
			t.Errorf("leaving: %d undelivered, %v", n, err)
		}
	})
}
