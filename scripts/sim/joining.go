package main

import (
	"slices"
	"time"
)

// join has newcomers come by random doors, without loss and with.
func join(s settings) []row {
	rows := s.joins(0, 150*time.Millisecond, "no loss", rivalJoin)
	rows = append(rows, s.joins(lossy, 200*time.Millisecond, "20 % loss", rivalJoinLossy)...)
	s.private = true
	return slices.Concat(rows, s.joins(0, 150*time.Millisecond, "no loss, with passes", ""), s.joins(lossy, 200*time.Millisecond, "20 % loss, with passes", ""))
}

func (s settings) joins(loss float64, bar time.Duration, what, rival string) []row {
	w := s.network(s.n, loss)
	var each, dials, readies times
	for range pick(s, 5, 30) {
		e, d, r := w.arrival(20 * time.Second)
		each, dials, readies = append(each, e...), append(dials, d), append(readies, r)
		w.Run(w.Between(time.Second, 2*time.Second))
	}
	return w.figures(
		within("join known, 99th percentile of pairs, "+what, each.percentile(0.99), bar, rival),
		each.spread("the same"),
		dials.spread("known by all from the dial"),
		readies.spread("newcomer ready from the dial"),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
	)
}

// churn has sessions of an hour in a network of the usual size, and counts bytes; then in a private
// one.
func churn(s settings) []row {
	rows := s.churns("")
	s.private = true
	return append(rows, s.churns(", with passes")...)
}

func (s settings) churns(what string) []row {
	n := s.n
	w := s.network(n, 0)
	d := pick(s, time.Minute, 10*time.Minute)
	before := w.counted()
	ended := w.replace(d, time.Hour, 0)
	rate := func(bytes int64) float64 { return perPeer(bytes, d, n) / 1000 }
	rows := []row{
		atMost("announcements per peer at sessions of an hour"+what, rate(w.count.byContent[2]-before.byContent[2]), 1.6, "kB/s", rivalBytes),
		info("all control bytes per peer", "%.2f kB/s", rate(w.Count.Bytes-before.Bytes)),
	}
	for i, name := range contents {
		if x := w.count.byContent[i] - before.byContent[i]; x > 0 {
			rows = append(rows, info("of these "+name, "%.3f kB/s", rate(x)))
		}
	}
	ok := w.Settle(10*time.Second) < never
	return w.figures(append(rows,
		info("sessions ended", "%d in %v", ended, d),
		tables("all tables right in the end", ok, w.Wrong(1<<30)),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
	)...)
}

// degrees has a network churn fast, a third of it by crashes, and counts neighbours.
func degrees(s settings) []row {
	w := s.network(pick(s, 100, 500), 0)
	w.replace(pick(s, time.Minute, 5*time.Minute), 10*time.Minute, 1.0/3)
	ok := w.Settle(20*time.Second) < never
	w.Run(30 * time.Second)
	least, mean, most := w.degrees()
	grown := s.grownDegree(len(w.Living()))
	return w.figures(
		must("mean degree is 8 to 10", mean >= 8 && mean <= 10, "%.2f", mean),
		atMost("greatest degree", float64(most), 12, "", ""),
		info("least degree", "%d", least),
		info("mean degree of a network grown one by one", "%.2f", grown),
		must("one piece", w.Component() == len(w.Living()), "%d of %d", w.Component(), len(w.Living())),
		tables("all tables right in the end", ok, w.Wrong(1<<30)),
	)
}

// grownDegree is the mean degree of a network that n peers have joined one after the
// other, as the study's was.
func (s settings) grownDegree(n int) float64 {
	w := s.world(0)
	w.load(2)
	for len(w.Machines) < n {
		w.Run(50 * time.Millisecond)
		enter(w.addPeer(), w.someone())
	}
	w.Run(10 * time.Second)
	_, mean, _ := w.degrees()
	return mean
}
