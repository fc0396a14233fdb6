package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/coretest"
)

// scenario is something that happens to a network, and what is measured of it.
type scenario struct {
	name  string
	alone bool // it measures the time of single steps
	run   func(settings) []row
}

var scenarios = []scenario{
	{"large", false, large},
	{"hour", false, hour},
	{"crash", false, crash},
	{"false", false, falseLost},
	{"join", false, join},
	{"removed", false, removed},
	{"split", false, split},
	{"minority", false, minority},
	{"half", false, half},
	{"rough", false, rough},
	{"restart", false, restart},
	{"churn", false, churn},
	{"degrees", false, degrees},
	{"growth", true, growth},
	{"passes", true, passes},
	{"kernel", true, kernel},
}

func names() []string {
	var list []string
	for _, sc := range scenarios {
		list = append(list, sc.name)
	}
	return list
}

// chosen are the scenarios that a list of names means; all if it is empty.
func chosen(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	var list []scenario
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
		list = append(list, scenarios[i])
	}
	return list, nil
}

// pick is one of two values: that of a quick run or the full one.
func pick[T any](s settings, quick, full T) T {
	if s.quick {
		return quick
	}
	return full
}

// warmUp is how long a network may take to become one from nothing but full tables.
const warmUp = time.Minute

// world makes a network without machines.
func (s settings) world(loss float64) *world {
	w := newWorld(s.seed, loss, certs.ID(s.follow))
	w.private = s.private
	return w
}

// network makes one whose peers have found their neighbours and are at rest.
func (s settings) network(n int, loss float64) *world {
	w := s.world(loss)
	w.load(n)
	w.rest()
	return w
}

// rest lets a network find its neighbours and come to rest.
func (w *world) rest() bool {
	w.Run(5 * time.Second)
	enough := min(5, len(w.Living())-1)
	ok := w.until(time.Second, warmUp, func() bool {
		least, _, _ := w.degrees()
		return least >= enough && w.Right()
	})
	w.Run(2 * time.Second)
	w.count, w.Count = counters{first: w.count.first}, coretest.Counters{}
	return ok
}

// someone is a random peer that lives.
func (w *world) someone() *peer {
	for {
		if p := w.Machines[w.Rand.IntN(len(w.Machines))]; p.Process.Living() && p.Process.IsReady {
			return p
		}
	}
}

// some are n random peers that live, in random order.
func (w *world) some(n int) []*peer {
	var list []*peer
	for _, p := range w.Living() {
		list = append(list, p.Machine)
	}
	w.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// gone has the peer go by end, and says when the first and the last of the others
// showed it as gone.
func (w *world) gone(p *peer, limit time.Duration, end func()) (first, last time.Duration) {
	start, left := w.Now, 0
	first, last = never, never
	for _, o := range w.Machines {
		if o != p && o.Process.Living() && o.Process.Shows(p) {
			left++
		}
	}
	w.saw = func(observer, subject *peer, joined bool) {
		if subject != p || joined || !observer.Process.Living() {
			return
		}
		left--
		first = min(first, w.Now-start)
		if left == 0 {
			last = w.Now - start
		}
	}
	end()
	w.until(10*time.Millisecond, limit, func() bool { return left <= 0 })
	w.saw = nil
	return first, last
}

// arrival has a new peer join by a random one, and says for each of the others
// how long after the door's OK it showed the newcomer, how long the last took after the
// dial, and how long until the newcomer was ready.
func (w *world) arrival(limit time.Duration) (each times, fromDial, ready time.Duration) {
	door, p := w.someone(), w.addPeer()
	left, start := len(w.Living()), w.Now
	fromDial = never
	w.saw = func(_, subject *peer, joined bool) {
		if subject != p || !joined {
			return
		}
		left--
		each = append(each, w.Now)
		if left == 0 {
			fromDial = w.Now - start
		}
	}
	process := enter(p, door) // which may end by itself
	w.until(10*time.Millisecond, limit, func() bool { return left <= 0 && process.IsReady })
	w.saw = nil
	for i := range each {
		each[i] -= process.LetIn
	}
	if left > 0 {
		each = append(each, never)
	}
	ready = never
	if process.IsReady {
		ready = process.Ready - process.Started
	}
	return each, fromDial, ready
}

// replace has the network churn for a time: sessions are exponential with this
// mean, and for each peer that ends another comes. A share of them crash.
func (w *world) replace(d, session time.Duration, crashing float64) (ended int) {
	until := w.Now + d
	n := float64(len(w.Living()))
	for {
		pause := time.Duration(w.Rand.ExpFloat64() * float64(session) / n)
		if w.Now+pause >= until {
			w.Run(until - w.Now)
			return ended
		}
		w.Run(pause)
		p := w.someone()
		if w.Rand.Float64() < crashing {
			p.Process.Crash()
		} else {
			p.Process.Leave()
		}
		enter(w.addPeer(), w.someone(), w.someone())
		ended++
	}
}
