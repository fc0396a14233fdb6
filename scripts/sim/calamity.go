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
// Links that are over can't help any more then. Since there is no loss, keepalives are spared.
func hour(s settings) []row {
	return s.cutFor(s.n/2, pick(s, 5*time.Minute, time.Hour), false)
}

func (s settings) cutFor(n int, d time.Duration, keepalives bool) []row {
	w := s.network(n, 0)
	w.oracle = !keepalives
	before := w.count
	apart, together, early, late := w.apart(w.some(n/2), d)
	rows := []row{
		within("all tables right after the cut", apart, 6*time.Second, rivalCrash),
		within("all tables right after the heal", together, 3*time.Second, rivalHeal),
		info("cut for", "%v", d),
		info("bytes per peer in all", "%.0f kB", float64(w.count.bytes-before.bytes)/float64(n)/1000),
		must("still right 5 s later", w.right(), "%d entries wrong", w.wrong(1<<30)),
		info("own half shown as lost, at the cut and after the heal", "%d, %d", early, late),
	}
	return append(rows, w.oddities()...)
}

// half kills every second peer at once.
func half(s settings) []row {
	n := s.n
	w := s.network(n, 0)
	for _, p := range w.some(n / 2) {
		p.crash()
	}
	before := w.count
	start := w.now
	took := w.settle(time.Minute)
	rows := []row{
		within("all tables right after half has crashed", took, 6*time.Second, rivalCrash),
		info("bytes per survivor", "%.0f kB", float64(w.count.bytes-before.bytes)/float64(n-n/2)/1000),
	}
	whole := w.until(100*time.Millisecond, time.Minute, func() bool { return w.component() == n-n/2 })
	rows = append(rows,
		must("one piece", whole, "%d of %d after %s", w.component(), n-n/2, seconds(w.now-start)),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
	)
	return append(rows, w.oddities()...)
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
		at := w.now + w.between(0, within10)
		if i%2 == 0 {
			p.epoch = 1000
		}
		plan = append(plan, turn{at, p, false}, turn{at + w.between(100*time.Millisecond, 4*time.Second), p, true})
	}
	slices.SortStableFunc(plan, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	for _, t := range plan {
		w.run(t.at - w.now)
		if t.start {
			t.peer.join(w.someone(), w.someone(), w.someone())
		} else {
			t.peer.crash()
		}
	}
	before, start := w.count, w.now
	took := never // events don't say which run they mean; the tables do
	if w.until(50*time.Millisecond, time.Minute, func() bool { return w.right() && w.agree() }) {
		took = w.now - start
	}
	w.run(10 * time.Second)
	rows := []row{
		within("all tables right after the last restart", took, 15*time.Second, rivalRestart),
		info("bytes per peer", "%.0f kB", float64(w.count.bytes)/float64(n)/1000),
		info("living peers shown as lost, until then and later", "%d, %d", before.falseLost, w.count.falseLost-before.falseLost),
		info("refutations", "%d", w.count.refuted),
		must("still right 10 s later", w.right(), "%d entries wrong", w.wrong(1<<30)),
	}
	return append(rows, w.oddities()...)
}
