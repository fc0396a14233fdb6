package core

import (
	"testing"
	"time"

	"quicpeer/certs"
)

// TestSimForgotten: whoever was stopped for longer than the leaving are remembered, or cut
// off with others, brings back nobody who left meanwhile: neither to those who have heard
// and forgotten it nor to those who came later.
func TestSimForgotten(t *testing.T) {
	eachSeed(t, 8, 2, func(t *testing.T, seed uint64) {
		n := 6 + int(seed%6)
		w := newWorld(t, seed, n+4) // two that leave, two that come later
		w.strict = false
		w.build(n+2, time.Second)
		w.run(20 * time.Second)
		left := map[certs.ID]time.Duration{}
		leave := func(i int) {
			left[w.nodes[i].id] = w.now
			w.nodes[i].process.leave()
			w.run(time.Second)
		}
		away := rememberLeft + w.between(time.Minute, 20*time.Minute)
		if seed%2 == 0 {
			for i := range 1 + int(seed%3) {
				w.nodes[i].process.freeze(away)
			}
			w.run(w.between(0, time.Minute))
			leave(n)
			leave(n + 1)
			w.run(away - 2*time.Minute)
		} else {
			w.split(func(i int) int { return i % 2 })
			w.run(w.between(0, time.Minute))
			leave(n)
			leave(n + 1)
			w.run(away)
		}
		for i := range 2 {
			w.nodes[n+2+i].start(w.nodes[n-1-2*i].address)
		}
		w.run(2 * time.Minute)
		w.heal()
		w.settle(healedWithin)
		w.run(5 * time.Minute)
		w.settle(10 * time.Second)
		for _, p := range w.living() {
			for _, s := range p.log {
				if j, ok := s.event.(Joined); ok && left[j.ID] > 0 && s.at > left[j.ID]+time.Second && s.at > p.ready {
					w.fatal("%s sees %s, who has left, at %v", p.node.id, j.ID, s.at)
				}
			}
		}
		w.checkQuiet()
	})
}
