package overlay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
)

// A peer that broadcasts more than the network carries is made to wait, and no link is cut off
// for it.
func TestLongBurstOfBroadcasts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		many := 300
		if raceDetector {
			many = 100
		}
		peers := w.network("alice", "bob", "carol")
		author := w.start("author", "alice")
		want := author.burst(many)
		for _, p := range peers {
			p.awaitBodies(10*time.Second, "author", want...)
		}
	})
}

// A peer that leaves waits until its broadcasts have been written, here for longer than a
// goodbye would take.
func TestLeavingWaitsForBroadcasts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		author := w.start("author", "alice")
		author.eventually(10*time.Second, "there are links to all", func() bool { return len(author.linkIDs()) == len(peers) })
		for _, p := range peers {
			w.Cut("author", string(p.ID()))
			time.AfterFunc(time.Second, func() { w.Heal("author", string(p.ID())) })
		}
		want := author.burst(maxQueuedSending / burstBody)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := author.Leave(ctx); n != 0 || err != nil {
			t.Errorf("leaving: %d undelivered, %v", n, err)
		}
		for _, p := range peers {
			p.awaitBodies(10*time.Second, "author", want...)
			p.eventually(10*time.Second, "the author has left", func() bool { return len(p.here()) == len(peers)-1 })
		}
	})
}

const burstBody = 40_000 // bytes of a broadcast, about

// burst sends broadcasts as fast as it may.
func (p *peer) burst(n int) (bodies []string) {
	for i := range n {
		body := fmt.Sprintf("%d %s", i, strings.Repeat("x", burstBody))
		if _, err := p.Broadcast(p.t.Context(), body, ""); err != nil {
			p.t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// Once a node is ready, its program can send to the peers of the table.
func TestReadyIsToldBehindTheJoins(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		other := w.start("alice")
		messages, err := messaging.New(messaging.Config{ID: other.id, Identity: other.cfg.State.Identity, Disk: new(messaging.Disk), Log: other.log})
		if err != nil {
			t.Fatal(err)
		}
		n := &Node{
			cfg: other.cfg, id: other.id, log: other.log, endpoint: other.endpoint,
			messages: messages, ready: make(chan struct{}),
		}
		l := &loop{node: n, driver: driver{core: core.New(base.Config{ID: other.id, Identity: other.cfg.State.Identity, Rand: rand.New(rand.NewPCG(1, 2))}, 0)}}
		l.happened(base.Ready{})
		select {
		case <-n.ready:
			t.Error("told before the joins that come with it")
		default:
		}
		l.apply(base.Effects{Events: []base.Event{base.Ready{}, base.Joined{ID: "bob", Key: n.Key()}}})
		<-n.ready
		if k, err := n.messages.Directory().Known("bob"); err != nil || k.Here.IsZero() {
			t.Error("bob is not found")
		}
	})
}
