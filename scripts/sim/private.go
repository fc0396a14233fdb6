package main

import (
	"fmt"
	"time"

	"quicpeer/overlay/coretest"
)

// removed has an admin remove one member after the other, without loss and with.
func removed(s settings) []row {
	s.private = true
	rows := s.removals(0, 150*time.Millisecond, "no loss")
	rows = append(rows, s.removals(lossy, 200*time.Millisecond, "20 % loss")...)
	return append(rows, s.removedApart()...)
}

// removedApart removes a member of the other half while the network is cut.
func (s settings) removedApart() []row {
	w := s.network(s.n, 0)
	admin, victim := w.Machines[0], w.Machines[1]
	w.Cut(func(i int) uint8 { return uint8(i & 1) })
	w.Run(30 * time.Second)
	admin.Remove(w.RemovalOf(victim.ID, victim.Key, admin))
	w.Run(5 * time.Second)
	unheard := victim.Process.Living()
	w.Heal()
	together := w.Settle(30 * time.Second)
	return w.figures(
		within("all tables right after the heal, a removal in one half", together, 3*time.Second, ""),
		must("the removed peer had not heard of it, and is out", unheard && !victim.Process.Living(), "%v, %v", unheard, !victim.Process.Living()),
	)
}

func (s settings) removals(loss float64, bar time.Duration, what string) []row {
	w := s.network(s.n, loss)
	admin := w.Machines[0]
	var each, all times
	for range pick(s, 5, 30) {
		victim := w.someone()
		for victim == admin {
			victim = w.someone()
		}
		pairs, last := w.removal(victim, admin, 20*time.Second)
		each, all = append(each, pairs...), append(all, last)
		w.Run(w.Between(time.Second, 2*time.Second))
	}
	ok := w.Settle(10*time.Second) < never
	return w.figures(
		within("removal known, 99th percentile of pairs, "+what, each.percentile(0.99), bar, ""),
		all.spread("known by all"),
		tables("all tables right in the end", ok, w.Wrong(1<<30)),
		atMost("living peers shown as lost", float64(w.count.falseLost), 0, "", ""),
	)
}

// removal has the admin remove a peer, and says after how long each of the others showed that, and
// when the last did.
func (w *world) removal(victim, admin *peer, limit time.Duration) (each times, last time.Duration) {
	left, start := len(w.Living())-1, w.Now
	last = never
	w.saw = func(_, subject *peer, joined bool) {
		if subject != victim || joined {
			return
		}
		each = append(each, w.Now-start)
		if left--; left == 0 {
			last = w.Now - start
		}
	}
	admin.Remove(w.RemovalOf(victim.ID, victim.Key, admin))
	w.until(10*time.Millisecond, limit, func() bool { return left <= 0 })
	w.saw = nil
	if left > 0 {
		each = append(each, never)
	}
	return each, last
}

// passes compares what a newcomer's table costs with passes and without, in turns: a signature more
// for each entry.
func passes(s settings) []row {
	n := pick(s, 300, 10*s.n)
	var open, private times
	for range pick(s, 1, 5) {
		s.private = false
		open = append(open, s.tableOf(n))
		s.private = true
		private = append(private, s.tableOf(n))
	}
	least := func(t times) time.Duration { return t.percentile(0) }
	return []row{
		info(fmt.Sprintf("a newcomer's table of %d, open and with passes, wall time of all, least", n), "%s, %s", seconds(least(open)), seconds(least(private))),
		atMost("the one to the other", float64(least(private))/float64(least(open)), 2.2, "", ""),
	}
}

// tableOf is the wall time in which a newcomer takes a table of so many from its door, which is the
// only other peer that runs.
func (s settings) tableOf(n int) time.Duration {
	w := s.world(0)
	for range n {
		w.addPeer()
	}
	if w.private {
		w.MakePrivate()
	}
	w.LoadFirst()
	newcomer := w.addPeer()
	start := time.Now()
	p := newcomer.Start(w.Machines[0].Address)
	if !w.until(10*time.Millisecond, time.Minute, func() bool { return p.IsReady }) {
		return coretest.Never
	}
	return time.Since(start)
}
