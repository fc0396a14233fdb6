package main

import (
	"fmt"
	"time"
)

// sizes of the networks whose figures show how the costs grow.
var sizes = []int{10, 30, 100, 300, 1000, 3000, 10_000}

// growth measures the same in networks of growing size, up to ten times the usual.
func growth(s settings) []row {
	var rows []row
	for _, n := range pick(s, sizes[:3], sizes) {
		if n > 10*s.n {
			break
		}
		w := s.world(0)
		w.Oracle = n > 3000 // the largest does without keepalives, see large
		w.load(n)
		w.rest()
		// Tables are compared about once a minute: a longer look at the smaller networks.
		d := max(20*time.Second, min(2*time.Minute, time.Duration(100_000/n)*time.Second))
		rows = append(rows, w.measure(pick(s, 2, 5), pick(s, 10*time.Second, d)))
	}
	return rows
}

// measure looks at a network at rest for so long, and then has so many peers join and crash.
func (w *world) measure(repeats int, d time.Duration) row {
	n := len(w.Living())
	idle := w.timed(func() { w.Run(d) })
	var joins, crashes times
	joining := w.timed(func() {
		for range repeats {
			each, _, _ := w.arrival(20 * time.Second)
			joins = append(joins, each.max())
			w.Run(time.Second)
		}
	})
	for range repeats {
		victim := w.someone()
		_, last := w.gone(victim, 30*time.Second, victim.Process.Crash)
		crashes = append(crashes, last)
		w.Run(time.Second)
	}
	return info(fmt.Sprintf("%d peers", n), "crash %s, join %s, %.0f B a join, idle %.2f kB/s, tick %.1f µs, frame %.1f µs",
		seconds(crashes.percentile(0.5)), seconds(joins.percentile(0.5)),
		float64(joining.byContent[2])/float64(n*repeats), perPeer(idle.Bytes, d, n)/1000,
		micros(idle.Ticking, idle.Ticks), micros(joining.Receiving, joining.Received))
}

// timed is what has been counted while f ran, with the processor time of the cores.
func (w *world) timed(f func()) counters {
	before := w.counted()
	w.Timed = true
	f()
	w.Timed = false
	c := w.counted()
	c.Bytes -= before.Bytes
	c.byContent[2] -= before.byContent[2]
	c.Ticking, c.Ticks = c.Ticking-before.Ticking, c.Ticks-before.Ticks
	c.Receiving, c.Received = c.Receiving-before.Receiving, c.Received-before.Received
	return c
}

// micros are the microseconds that each of so many took.
func micros(all time.Duration, n int64) float64 {
	return float64((all / time.Duration(max(1, n))).Nanoseconds()) / 1000
}
