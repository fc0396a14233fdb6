package main

import (
	"cmp"
	"slices"
	"time"
)

// split cuts the network in two halves for ten minutes.
func split(s settings) []row {
	return s.cutFor(s.n, pick(s, time.Minute, 10*time.Minute), true)
}

// hour does so for an hour, in a network of half the size for the sake of its length.
// Links that are over can't help any more then. Without loss, keepalives are spared.
func hour(s settings) []row {
	return s.cutFor(s.n/2, pick(s, 5*time.Minute, time.Hour), false)
}

func (s settings) cutFor(n int, d time.Duration, keepalives bool) []row {
	w := s.network(n, 0)
	w.Oracle = !keepalives
	before := w.counted()
	apart, together, early, late := w.apart(w.some(n/2), d)
	return w.figures(
		within("all tables right after the cut", apart, 6*time.Second, rivalCrash),
		within("all tables right after the heal", together, 3*time.Second, rivalHeal),
		info("cut for", "%v", d),
		info("bytes per peer in all", "%.0f kB", float64(w.Count.Bytes-before.Bytes)/float64(n)/1000),
		tables("still right 5 s later", w.Right(), w.Wrong(1<<30)),
		info("own half shown as lost, at the cut and after the heal", "%d, %d", early, late),
	)
}

// half kills every second peer at once.
func half(s settings) []row {
	n := s.n
	w := s.network(n, 0)
	for _, p := range w.some(n / 2) {
		p.Process.Crash()
	}
	before := w.counted()
	start := w.Now
	took := w.Settle(time.Minute)
	rows := []row{
		within("all tables right after half has crashed", took, 6*time.Second, rivalCrash),
		info("bytes per survivor", "%.0f kB", float64(w.Count.Bytes-before.Bytes)/float64(n-n/2)/1000),
	}
	whole := w.until(100*time.Millisecond, time.Minute, func() bool { return w.Component() == n-n/2 })
	return w.figures(append(rows,
		must("one piece", whole, "%d of %d after %s", w.Component(), n-n/2, seconds(w.Now-start)),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
	)...)
}

// restart restarts half of the peers within ten seconds; half of these with a clock
// that stands at a day long ago.
func restart(s settings) []row {
	const within10 = 10 * time.Second
	n := s.n
	w := s.network(n, 0)
	type turn struct {
		at    time.Duration
		peer  *peer
		start bool
	}
	var plan []turn
	for i, p := range w.some(n / 2) {
		at := w.Now + w.Between(0, within10)
		if i%2 == 0 {
			p.Epoch = 1000
		}
		plan = append(plan, turn{at, p, false}, turn{at + w.Between(100*time.Millisecond, 4*time.Second), p, true})
	}
	slices.SortStableFunc(plan, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	for _, t := range plan {
		w.Run(t.at - w.Now)
		switch {
		case t.start:
			enter(t.peer, w.someone(), w.someone(), w.someone())
		case t.peer.Process != nil: // else it has ended by itself
			t.peer.Process.Crash()
		}
	}
	before, start := w.counted(), w.Now
	took := never // events don't say which run they mean; the tables do
	if w.until(50*time.Millisecond, time.Minute, func() bool { return w.Right() && w.agree() }) {
		took = w.Now - start
	}
	w.Run(10 * time.Second)
	return w.figures(
		within("all tables right after the last restart", took, 15*time.Second, rivalRestart),
		info("bytes per peer", "%.0f kB", float64(w.Count.Bytes)/float64(n)/1000),
		info("living peers shown as lost, until then and later", "%d, %d", before.falseLost, w.count.falseLost-before.falseLost),
		info("refutations", "%d", w.count.refuted),
		tables("still right 10 s later", w.Right(), w.Wrong(1<<30)),
	)
}
