package core

import (
	"fmt"
	"testing"
	"time"
)

// TestSimBroadcast has peers of all kinds of networks speak while some are frozen, cut
// off, or a network is in halves, and while others come and go. At the end each peer
// has been shown once, and in the author's order, what those said who are still here.
func TestSimBroadcast(t *testing.T) {
	eachSeed(t, 36, 8, interrupted)
}

func interrupted(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := []shape{shapeFull, shapeFull, shapeRandom, shapeRing, shapeLine}[w.rng.IntN(5)]
	n := 3 + w.rng.IntN(min(s.widest(), 10)-2)
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.loss = []float64{0, 0.01, 0.05}[w.rng.IntN(3)]
	w.strict = false
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.loss))
	w.build(n, time.Second)
	w.chatter(w.between(0, 5*time.Second))
	for range 2 + w.rng.IntN(2) {
		w.interrupt(s == shapeFull)
		w.heal()
		w.chatter(w.between(0, 5*time.Second))
	}
	w.settle(healedWithin)
	w.chatter(time.Second)
	w.run(10 * time.Second)
	w.settle(healedWithin)
	w.checkCaughtUp()
	w.checkQuiet()
}

// interrupt lets something happen to the network for 2 to 30 s.
func (w *world) interrupt(full bool) {
	living := w.living()
	p := living[w.rng.IntN(len(living))]
	d := w.between(2*time.Second, 30*time.Second)
	for _, q := range living {
		q.jumpy = true
	}
	switch w.rng.IntN(4) {
	case 0:
		p.freeze(d)
	case 1:
		w.note("", "cut off", p.node.id)
		w.split(func(i int) int {
			if i == p.node.index {
				return 1
			}
			return 0
		})
	default:
		group := make([]int, len(w.nodes))
		for i := range group {
			group[i] = w.rng.IntN(2)
		}
		w.note("", "cut", group)
		w.split(func(i int) int { return group[i] })
	}
	until := w.now + d
	if full && w.rng.IntN(2) == 0 && len(living) > 3 {
		w.chatter(d / 2)
		w.comeAndGo()
	}
	w.chatter(until - w.now)
}

// comeAndGo has a peer leave or crash, or come back.
func (w *world) comeAndGo() {
	for _, n := range w.nodes {
		if n.process == nil {
			n.rejoin()
			return
		}
	}
	living := w.living()
	p := living[w.rng.IntN(len(living))]
	switch {
	case p.frozen || !p.isReady:
	case w.rng.IntN(2) == 0:
		p.broadcast("last words")
		p.leave()
	default:
		p.crash()
	}
}

// chatter lets time pass in which some say something, now and then much at once.
func (w *world) chatter(d time.Duration) {
	for until := w.now + d; w.now < until; {
		w.run(min(until-w.now, w.between(0, 2*time.Second)))
		living := w.living()
		p := living[w.rng.IntN(len(living))]
		if p.frozen || !p.isReady {
			continue
		}
		for range 1 + w.rng.IntN(20)/19*w.rng.IntN(40) {
			p.broadcast(fmt.Sprintf("at %v", w.now))
		}
	}
}

// checkCaughtUp looks whether each peer has got what those said who are still here,
// and knew it then.
func (w *world) checkCaughtUp() {
	w.t.Helper()
	for _, b := range w.sent {
		for _, p := range b.knows {
			if p.got[b.id] != 1 && p.node.process == p && !p.leaving && b.author.node.process == b.author && !b.author.leaving {
				w.fatal("%s did not get the broadcast of %s at %v", p.node.id, b.author.node.id, b.at)
			}
		}
	}
}

// TestSimLastWordsMissed freezes a peer, which has been called lost by then, while another
// says its last and crashes, or leaves: the first gets that before it is shown the end.
func TestSimLastWordsMissed(t *testing.T) {
	eachSeed(t, 40, 6, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%5))
		w.strict = false
		w.loss = float64(seed%3) / 50
		w.build(len(w.nodes), time.Second)
		w.run(w.between(5*time.Second, 10*time.Second))
		frozen, author := w.nodes[1].process, w.nodes[2].process
		d := w.between(8*time.Second, 30*time.Second)
		frozen.freeze(d)
		w.run(6 * time.Second)
		author.broadcast("one")
		w.run(500 * time.Millisecond)
		author.broadcast("two")
		w.run(200 * time.Millisecond)
		if seed%2 == 0 {
			author.crash()
		} else {
			author.leave()
		}
		w.run(d - 6*time.Second)
		w.settle(healedWithin)
		w.run(holdLonger) // in which see would complain of what comes after the end
		for _, b := range w.sent {
			if frozen.got[b.id] != 1 {
				w.fatal("the frozen one did not get what was said at %v", b.at)
			}
		}
	})
}
