package main

import "time"

// The times of the chaos are guesses at what is rough and still leaves a network in which most is
// well: at most a third of the peers, or 3, are disturbed at a time, each about once in 8 s.
const (
	disturbance = 8 * time.Second  // between two disturbances of one peer, on average
	linkCut     = 12 * time.Second // between two cuts at one peer, on average
)

// after plans a task by the clock. When the chaos is over nothing waits any more.
func (d *driver) after(wait time.Duration, do func()) {
	now := time.Now()
	if now.Before(d.end) {
		now = now.Add(wait)
	}
	d.agenda.plan(now, func(time.Time) { do() })
}

// between draws a duration.
func (d *driver) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.chaos.Int64N(int64(most-least)+1))
}

// again plans a task that comes at random, all peers together as often as the mean for one says.
func (d *driver) again(at time.Time, mean time.Duration, do func(time.Time)) {
	wait := time.Duration(d.chaos.ExpFloat64() * float64(mean) / float64(len(d.peers)))
	if next := at.Add(wait); next.Before(d.end) {
		d.agenda.plan(next, do)
	}
}

// disturb does something to one peer, unless a third of them, and 3, are disturbed already.
func (d *driver) disturb(at time.Time) {
	d.again(at, disturbance, d.disturb)
	var idle []*peer
	for _, p := range d.peers {
		if p.running && !p.busy {
			idle = append(idle, p)
		}
	}
	if len(d.peers)-len(idle) >= max(3, len(d.peers)/3) {
		return
	}
	p := idle[d.chaos.IntN(len(idle))]
	p.busy = true
	switch n := d.chaos.IntN(100); {
	case n < 45:
		d.kill(p)
	case n < 70:
		d.freeze(p)
	case n < 85:
		d.interrupt(p)
	default:
		d.mute(p)
	}
}

// kill kills a peer and starts it again. Half of the time there is much on its way
// just then: from the peer, to it, and in its pipe.
func (d *driver) kill(p *peer) {
	if d.chaos.IntN(2) == 0 {
		d.traffic.burst(p, d.traffic.otherThan(p, d.chaos))
		d.traffic.burst(d.traffic.otherThan(p, d.chaos), p)
	}
	d.after(d.between(0, 30*time.Millisecond), func() { d.killNow(p) })
}

// freeze stops a peer's process and lets it go on, or kills it as it is.
func (d *driver) freeze(p *peer) {
	if p.process.Signal("freeze") != nil {
		p.busy = false // it has just ended by itself, which reap sees
		return
	}
	d.done.freezes++
	over := d.history.trouble(p.name)
	p.frozen = true
	d.after(d.between(200*time.Millisecond, 8*time.Second), func() {
		over()
		p.frozen = false
		if d.chaos.IntN(5) == 0 {
			d.killNow(p)
			return
		}
		p.process.Signal("thaw") // an error says that it has ended, which reap sees
		p.busy = false
	})
}

// mute stops reading what a peer prints, and goes on or kills it as it is.
func (d *driver) mute(p *peer) {
	d.done.mutes++
	p.process.Mute(true)
	d.after(d.between(time.Second, 6*time.Second), func() {
		if d.chaos.IntN(3) == 0 {
			d.killNow(p)
			return
		}
		p.process.Mute(false)
		p.busy = false
	})
}

// interrupt stops a peer in good order and starts it again.
func (d *driver) interrupt(p *peer) {
	d.done.stops++
	over := d.history.trouble(p.name)
	d.stop(p)
	d.restart(p, over)
}
