package main

import (
	"fmt"
	"time"
)

// sizes of the networks whose figures show how the costs grow.
var sizes = []int{10, 30, 100, 300, 1000, 3000, 10_000}

// grown are the figures of one size.
type grown struct {
	crash       time.Duration // known by all, median
	join        time.Duration // the same
	flood       float64       // bytes of announcements per peer and join
	idle        float64       // kB/s per peer, keepalives apart
	tick, frame time.Duration // of processor time of a core, each
}

// growth measures the same in networks of growing size, up to ten times the usual.
func growth(s settings) []row {
	var rows []row
	for _, n := range pick(s, sizes[:3], sizes) {
		if n > 10*s.n {
			break
		}
		g := s.grow(n)
		rows = append(rows, info(fmt.Sprintf("%d peers", n),
			"crash %s, join %s, %.0f B a join, idle %.2f kB/s, tick %.1f µs, frame %.1f µs",
			seconds(g.crash), seconds(g.join), g.flood, g.idle, micros(g.tick), micros(g.frame)))
	}
	return rows
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// grow measures one size. The largest does without keepalives, see large.
func (s settings) grow(n int) grown {
	w := s.world(0)
	w.Oracle = n > 3000
	w.load(n)
	w.rest()
	// Tables are compared about once a minute: a longer look at the smaller networks.
	d := max(20*time.Second, min(2*time.Minute, time.Duration(100_000/n)*time.Second))
	return w.measure(pick(s, 2, 5), pick(s, 10*time.Second, d))
}

// measure looks at a network at rest for so long, and then has so many peers join and crash.
func (w *world) measure(repeats int, d time.Duration) grown {
	n := len(w.Living())
	var g grown
	before := w.counted()
	w.Timed = true
	w.Run(d)
	w.Timed = false
	c := w.counted()
	g.idle = perPeer(c.Bytes-before.Bytes, d, n) / 1000
	g.tick = (c.Ticking - before.Ticking) / time.Duration(max(1, c.Ticks-before.Ticks))

	var joins, crashes times
	before = w.counted()
	w.Timed = true
	for range repeats {
		each, _, _ := w.arrival(20 * time.Second)
		joins = append(joins, each.max())
		w.Run(time.Second)
	}
	w.Timed = false
	c = w.counted()
	g.flood = float64(c.byContent[2]-before.byContent[2]) / float64(n*repeats)
	g.frame = (c.Receiving - before.Receiving) / time.Duration(max(1, c.Received-before.Received))
	for range repeats {
		victim := w.someone()
		_, last := w.gone(victim, 30*time.Second, victim.Process.Crash)
		crashes = append(crashes, last)
		w.Run(time.Second)
	}
	g.join, g.crash = joins.percentile(0.5), crashes.percentile(0.5)
	return g
}
