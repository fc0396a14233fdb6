package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core"
)

// TestSimBroadcast lets peers of all kinds of networks broadcast while some are frozen, cut off,
// or a network is in halves, and while others come and go. At the end each peer has been shown
// every broadcast of the authors that are still here, once and in order.
func TestSimBroadcast(t *testing.T) {
	eachSeed(t, 36, 8, interrupted)
}

func interrupted(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := []shape{shapeFull, shapeFull, shapeRandom, shapeRing, shapeLine}[w.Rand.IntN(5)]
	n := 3 + w.Rand.IntN(min(s.widest(), 10)-2)
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.Loss = []float64{0, 0.01, 0.05}[w.Rand.IntN(3)]
	w.strict = false
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, n, w.Loss))
	w.build(n, time.Second)
	w.chatter(w.Between(0, 5*time.Second))
	for range 2 + w.Rand.IntN(2) {
		w.interrupt(s == shapeFull)
		w.heal()
		w.chatter(w.Between(0, 5*time.Second))
	}
	w.settle(healedWithin)
	w.chatter(time.Second)
	w.Run(10 * time.Second)
	w.settle(healedWithin)
	w.checkCaughtUp()
	w.checkQuiet()
}

// interrupt lets something happen to the network for 2 to 30 s.
func (w *world) interrupt(full bool) {
	living := w.Living()
	p := living[w.Rand.IntN(len(living))]
	d := w.Between(2*time.Second, 30*time.Second)
	for _, q := range living {
		w.diary(q).jumpy = true
	}
	switch w.Rand.IntN(4) {
	case 0:
		p.Freeze(d)
	case 1:
		w.note("", "cut off", p.ID)
		w.split(func(i int) int {
			if i == p.Index {
				return 1
			}
			return 0
		})
	default:
		group := make([]int, len(w.Machines))
		for i := range group {
			group[i] = w.Rand.IntN(2)
		}
		w.note("", "cut", group)
		w.split(func(i int) int { return group[i] })
	}
	until := w.Now + d
	if full && w.Rand.IntN(2) == 0 && len(living) > 3 {
		w.chatter(d / 2)
		w.comeAndGo()
	}
	w.chatter(until - w.Now)
}

// comeAndGo lets a peer leave or crash, or come back.
func (w *world) comeAndGo() {
	for _, n := range w.Machines {
		if n.Process == nil {
			n.Rejoin()
			return
		}
	}
	living := w.Living()
	p := living[w.Rand.IntN(len(living))]
	switch {
	case p.Frozen || !p.IsReady:
	case w.Rand.IntN(2) == 0:
		w.broadcast(p, "last words")
		p.Leave()
	default:
		p.Crash()
	}
}

// chatter lets time pass in which some peers broadcast, now and then much at once.
func (w *world) chatter(d time.Duration) {
	for until := w.Now + d; w.Now < until; {
		w.Run(min(until-w.Now, w.Between(0, 2*time.Second)))
		living := w.Living()
		p := living[w.Rand.IntN(len(living))]
		if p.Frozen || !p.IsReady {
			continue
		}
		for range 1 + w.Rand.IntN(20)/19*w.Rand.IntN(40) {
			w.broadcast(p, fmt.Sprintf("at %v", w.Now))
		}
	}
}

// checkCaughtUp checks that each peer has got the broadcasts of the authors that are still here
// and that it knew then.
func (w *world) checkCaughtUp() {
	w.t.Helper()
	for _, b := range w.sent {
		for _, p := range b.knows {
			if w.diary(p).got[b.id] != 1 && p.Process == p && !p.Leaving && b.author.Process == b.author && !b.author.Leaving {
				w.fatal("%s did not get the broadcast of %s at %v", p.ID, b.author.ID, b.at)
			}
		}
	}
}

// TestSimLastWordsMissed freezes a peer until it has been called lost, while another sends its
// last broadcast and crashes, or leaves: the first gets the broadcast before it is shown the end.
func TestSimLastWordsMissed(t *testing.T) {
	eachSeed(t, 40, 6, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%5))
		w.strict = false
		w.Loss = float64(seed%3) / 50
		w.build(len(w.Machines), time.Second)
		w.Run(w.Between(5*time.Second, 10*time.Second))
		frozen, author := w.Machines[1].Process, w.Machines[2].Process
		d := w.Between(8*time.Second, 30*time.Second)
		frozen.Freeze(d)
		w.Run(6 * time.Second)
		w.broadcast(author, "one")
		w.Run(500 * time.Millisecond)
		w.broadcast(author, "two")
		w.Run(200 * time.Millisecond)
		if seed%2 == 0 {
			author.Crash()
		} else {
			author.Leave()
		}
		w.Run(d - 6*time.Second)
		w.settle(healedWithin)
		w.Run(core.HoldFor) // see would complain of a broadcast after the end
		for _, b := range w.sent {
			if w.diary(frozen).got[b.id] != 1 {
				w.fatal("the frozen one did not get what was said at %v", b.at)
			}
		}
	})
}
