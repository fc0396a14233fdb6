package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// TestSimVisitors: visitors come through all doors, and go in all ways. Those that leave or die
// before they stay are shown to their door and to the peers that they have dialled, and to no
// others; they come and go in order there, and leave nothing. All other visitors become members:
// everybody sees them come before they say anything, and go.
func TestSimVisitors(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		members := 3 + int(seed%8)
		const visitors = 12
		w := newWorld(t, seed, members+visitors)
		w.Loss = float64(seed%2) / 100
		w.build(members, time.Second)
		w.Run(20 * time.Second)
		w.settle(5 * time.Second)
		digest := w.Living()[0].Core.Digest()
		knows := map[certs.ID]map[*node]bool{} // the peers that may see it; true: that must
		for i := range visitors {
			n := w.Machines[members+i]
			door, friend := w.Machines[w.Rand.IntN(members)], w.Machines[w.Rand.IntN(members)]
			w.visitors[n] = true
			p := n.Start(door.Address)
			if _, ok := w.runUntil(5*time.Second, func() bool { return p.IsReady }); !ok {
				w.fatal("%s is not ready", n.ID)
			}
			knows[n.ID] = map[*node]bool{door: true}
			switch how := i % 6; how {
			case 0, 1, 2:
				if how > 0 && friend != door {
					p.Core.Step(w.Now, core.Want{To: friend.ID})
					p.Drain()
					knows[n.ID][friend] = false
				}
				w.Run(w.Between(0, time.Second))
				if how == 2 {
					p.Crash()
				} else {
					p.Leave()
				}
			case 3:
				w.broadcast(p, "by a visitor")
				w.Run(w.Between(0, time.Second))
				p.Leave()
				knows[n.ID] = nil
			case 4:
				w.Run(w.Between(core.VisitFor+time.Second, 20*time.Second))
				p.Leave()
				knows[n.ID] = nil
			case 5:
				knows[n.ID] = nil
			}
			w.Run(w.Between(0, 3*time.Second))
		}
		w.Run(10 * time.Second)
		w.settle(10 * time.Second)
		for i := range visitors {
			n := w.Machines[members+i]
			w.checkVisitor(n, knows[n.ID])
		}
		for _, n := range w.Machines[members:] { // so that the tables can be compared with the earlier ones
			if n.Process != nil {
				n.Process.Leave()
			}
		}
		w.Run(core.RememberLeft + time.Minute)
		w.settle(5 * time.Second)
		if string(w.Living()[0].Core.Digest()) != string(digest) {
			w.fatal("the tables are not as they were")
		}
		w.checkQuiet()
		w.checkBroadcasts()
	})
}

// checkVisitor checks which peers have seen a visitor: those in knows, or if nil all.
func (w *world) checkVisitor(n *node, knows map[*node]bool) {
	w.t.Helper()
	run := n.Runs[0]
	for _, o := range w.Machines {
		for _, p := range o.Runs {
			if o == n || !p.IsReady || p.Stopped > 0 && p.Stopped < run.Started+30*time.Second || p.Ready > run.Started {
				continue
			}
			var saw []string
			for _, s := range w.diary(p).log {
				switch e := s.event.(type) {
				case base.Joined:
					if e.ID == n.ID {
						saw = append(saw, "joined")
					}
				case base.Left:
					if e.ID == n.ID {
						saw = append(saw, fmt.Sprint("left ", e.Farewell))
						if late := s.at - run.Stopped; late > core.GuestSilent+2*time.Second {
							w.fatal("%s saw %s go after %v", p.ID, n.ID, late)
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
			case run.Stopped > 0:
				want = fmt.Sprintf("[joined left %v]", !run.Crashed)
			}
			// A dialled peer may have been reached only just in time, or not.
			if got := fmt.Sprint(saw); got != want && (must || got != "[]" && got != "[joined left false]") {
				w.fatal("%s saw %s %v, not %v", p.ID, n.ID, got, want)
			}
		}
	}
}
