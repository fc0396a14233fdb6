package core_test

import (
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// TestSimForgotten: a peer that was stopped for longer than goodbyes are remembered, or cut off
// with others, brings back no peer that left meanwhile: neither to peers that have heard and
// dropped the goodbye nor to those that came later.
func TestSimForgotten(t *testing.T) {
	eachSeed(t, 8, 2, func(t *testing.T, seed uint64) {
		n := 6 + int(seed%6)
		w := newWorld(t, seed, n+4) // two that leave, two that come later
		w.strict = false
		w.build(n+2, time.Second)
		w.Run(20 * time.Second)
		left := map[certs.ID]time.Duration{}
		leave := func(i int) {
			left[w.Machines[i].ID] = w.Now
			w.Machines[i].Process.Leave()
			w.Run(time.Second)
		}
		away := core.RememberLeft + w.Between(time.Minute, 20*time.Minute)
		if seed%2 == 0 {
			for i := range 1 + int(seed%3) {
				w.Machines[i].Process.Freeze(away)
			}
			w.Run(w.Between(0, time.Minute))
			leave(n)
			leave(n + 1)
			w.Run(away - 2*time.Minute)
		} else {
			w.split(func(i int) int { return i % 2 })
			w.Run(w.Between(0, time.Minute))
			leave(n)
			leave(n + 1)
			w.Run(away)
		}
		for i := range 2 {
			w.Machines[n+2+i].Start(w.Machines[n-1-2*i].Address)
		}
		w.Run(2 * time.Minute)
		w.heal()
		w.settle(healedWithin)
		w.Run(5 * time.Minute)
		w.settle(10 * time.Second)
		for _, p := range w.Living() {
			for _, s := range w.diary(p).log {
				if j, ok := s.event.(base.Joined); ok && left[j.ID] > 0 && s.at > left[j.ID]+time.Second && s.at > p.Ready {
					w.fatal("%s sees %s, who has left, at %v", p.ID, j.ID, s.at)
				}
			}
		}
		w.checkQuiet()
	})
}
