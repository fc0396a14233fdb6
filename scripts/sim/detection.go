package main

import "time"

// lossy is the loss under which detection must work: what a bad Wi-Fi shows.
const lossy = 0.2

// crash kills one peer after the other, and looks when all others know.
func crash(s settings) []row {
	w := s.network(s.n, lossy)
	var first, last, marked times
	for range pick(s, 5, 40) {
		victim := w.someone()
		watch := w.watchMarks(victim, 20)
		a, b := w.gone(victim, 30*time.Second, func() {
			victim.Process.Crash()
			watch()
		})
		first, last = append(first, a), append(last, b)
		marked = append(marked, w.marked)
		w.Run(w.Between(2*time.Second, 5*time.Second))
	}
	return w.figures(
		within("crash known by all, median", last.percentile(0.5), 2200*time.Millisecond, rivalCrash),
		within("the same, longest", last.max(), 3*time.Second, ""),
		first.spread("known by the first"),
		marked.spread("in the tables as lost (20 observers)"),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
		info("crashes, accusations, refutations", "%d, %d, %d", len(last), w.count.accused, w.count.refuted),
	)
}

// watchMarks prepares to look each 50 ms whether some observers have marked the
// victim as suspect or gone; the time until the last of them has is w.marked.
func (w *world) watchMarks(victim *peer, observers int) (start func()) {
	var list []*peer
	for _, p := range w.some(observers + 1) {
		if p != victim {
			list = append(list, p)
		}
	}
	w.marked = never
	return func() {
		begun := w.Now
		w.each = func() bool {
			for len(list) > 0 && marks(list[0], victim) {
				list = list[1:]
			}
			if len(list) > 0 {
				return false
			}
			w.marked = w.Now - begun
			return true
		}
	}
}

// marks says whether the peer's table has the other as suspect, or not at all.
func marks(p, other *peer) bool {
	if p.Process == nil || !p.Process.Shows(other) {
		return true
	}
	for _, row := range p.Process.Core.Peers() {
		if row.ID == other.ID {
			return row.Suspect
		}
	}
	return true
}

// falseLost lets a network rest for long under loss: no peer may be shown as lost.
func falseLost(s settings) []row {
	n := s.n
	w := s.network(n, lossy)
	d := time.Duration(pick(s, 0.05, s.hours) * float64(time.Hour))
	w.Run(d)
	hours := d.Hours() * float64(n)
	return w.figures(
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
		info("node-hours", "%.0f", hours),
		info("accusations, refutations", "%d, %d", w.count.accused, w.count.refuted),
		info("dials per node-hour", "%.1f", float64(w.Count.Dials)/hours),
		info("control bytes per peer, keepalives apart", "%.2f kB/s", perPeer(w.Count.Bytes, d, n)/1000),
		info("keepalives per peer", "%.1f packets/s", perPeer(w.Count.Pings, d, n)),
	)
}
