package core

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/certs"
)

// TestSimVisitors: visitors come through all doors, and go in all ways. Those who leave, or
// die, before they stay are shown to their door and to whom they have dialled, and to nobody
// else, come and go in turn there, and leave nothing; all others are members: everybody
// sees them come before they say anything, and go.
func TestSimVisitors(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		members := 3 + int(seed%8)
		const visitors = 12
		w := newWorld(t, seed, members+visitors)
		w.loss = float64(seed%2) / 100
		w.build(members, time.Second)
		w.run(20 * time.Second)
		w.settle(5 * time.Second)
		digest := w.living()[0].core.Digest()
		knows := map[certs.ID]map[*node]bool{} // those who may; true: those who must
		for i := range visitors {
			n := w.nodes[members+i]
			door, friend := w.nodes[w.rng.IntN(members)], w.nodes[w.rng.IntN(members)]
			n.visitor = true
			p := n.start(door.address)
			if _, ok := w.runUntil(5*time.Second, func() bool { return p.isReady }); !ok {
				w.fatal("%s is not ready", n.id)
			}
			knows[n.id] = map[*node]bool{door: true}
			switch how := i % 6; how {
			case 0, 1, 2:
				if how > 0 && friend != door {
					p.core.Step(w.now, Want{To: friend.id})
					p.drain()
					knows[n.id][friend] = false
				}
				w.run(w.between(0, time.Second))
				if how == 2 {
					p.crash()
				} else {
					p.leave()
				}
			case 3:
				p.broadcast("by a visitor")
				w.run(w.between(0, time.Second))
				p.leave()
				knows[n.id] = nil
			case 4:
				w.run(w.between(visitFor+time.Second, 20*time.Second))
				p.leave()
				knows[n.id] = nil
			case 5:
				knows[n.id] = nil
			}
			w.run(w.between(0, 3*time.Second))
		}
		w.run(10 * time.Second)
		w.settle(10 * time.Second)
		for i := range visitors {
			n := w.nodes[members+i]
			w.checkVisitor(n, knows[n.id])
		}
		for _, n := range w.nodes[members:] { // so that tables can be compared with those of before
			if n.process != nil {
				n.process.leave()
			}
		}
		w.run(rememberLeft + time.Minute)
		w.settle(5 * time.Second)
		if string(w.living()[0].core.Digest()) != string(digest) {
			w.fatal("the tables are not as they were")
		}
		w.checkQuiet()
		w.checkBroadcasts()
	})
}

// checkVisitor looks who has seen a visitor: knows, or if nil everybody.
func (w *world) checkVisitor(n *node, knows map[*node]bool) {
	w.t.Helper()
	run := n.runs[0]
	for _, o := range w.nodes {
		for _, p := range o.runs {
			if o == n || !p.isReady || p.stopped > 0 && p.stopped < run.started+30*time.Second || p.ready > run.started {
				continue
			}
			var saw []string
			for _, s := range p.log {
				switch e := s.event.(type) {
				case Joined:
					if e.ID == n.id {
						saw = append(saw, "joined")
					}
				case Left:
					if e.ID == n.id {
						saw = append(saw, fmt.Sprint("left ", e.Farewell))
						if late := s.at - run.stopped; late > guestSilent+2*time.Second {
							w.fatal("%s saw %s go after %v", p.node.id, n.id, late)
						}
					}
				}
			}
			must, may := knows[o]
			must = must || knows == nil
			want := "[joined]"
			switch {
			case !must && !may:
				want = "[]"
			case run.stopped > 0:
				want = fmt.Sprintf("[joined left %v]", !run.crashed)
			}
			// Who was dialled may not have been reached in time, or just so.
			if got := fmt.Sprint(saw); got != want && (must || got != "[]" && got != "[joined left false]") {
				w.fatal("%s saw %s %v, not %v", p.node.id, n.id, got, want)
			}
		}
	}
}
