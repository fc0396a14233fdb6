package main

import (
	"fmt"
	"syscall"
	"time"
)

// The times of the chaos are guesses at what is rough and still leaves a network
// in which most is well: at most a third of the peers, or 3, are disturbed at a time,
// each about once in 8 s.
const (
	disturbance = 8 * time.Second  // between two disturbances of one peer, on average
	linkCut     = 12 * time.Second // between two cuts at one peer, on average
	stopLimit   = 30 * time.Second // for a peer to leave: 5 s for receipts, the rest for a slow machine
)

// after plans a task by the clock. When the chaos is over nothing waits any more.
func (d *driver) after(wait time.Duration, do func()) {
	now := time.Now()
	if now.Before(d.end) {
		now = now.Add(wait)
	}
	d.at(now, func(time.Time) { do() })
}

// between draws a duration.
func (d *driver) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.chaos.Int64N(int64(most-least)+1))
}

// again plans a task that comes at random, all peers together as often as the mean
// for one says.
func (d *driver) again(at time.Time, mean time.Duration, do func(time.Time)) {
	wait := time.Duration(d.chaos.ExpFloat64() * float64(mean) / float64(len(d.peers)))
	if next := at.Add(wait); next.Before(d.end) {
		d.at(next, do)
	}
}

// disturb does something to one peer, unless a third of them, and 3, are disturbed
// already.
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
		d.burst(p, d.otherThan(p))
		d.burst(d.otherThan(p), p)
	}
	d.after(d.between(0, 30*time.Millisecond), func() { d.killNow(p) })
}

func (d *driver) otherThan(p *peer) *peer {
	return d.peers[(p.number+1+d.chaos.IntN(len(d.peers)-1))%len(d.peers)]
}

func (d *driver) killNow(p *peer) {
	d.done.kills++
	p.doomed = toBeKilled
	p.process.kill()
	d.restart(p, d.history.trouble(p.name))
}

// restart starts a peer after a while, when its process has ended. Now and then it
// is killed again at once, while it is starting or has just begun.
func (d *driver) restart(p *peer, over func()) {
	old := p.process
	d.after(d.between(0, 5*time.Second), func() { over(); d.replace(p, old) })
}

// replace starts a peer as soon as its old process has ended, unless that has been
// done.
func (d *driver) replace(p *peer, old *process) {
	switch {
	case p.process != old:
		return
	case p.running:
		d.at(time.Now().Add(tick), func(time.Time) { d.replace(p, old) })
		return
	}
	if err := d.start(p); err != nil {
		d.faults = append(d.faults, fmt.Sprintf("%s can't be started: %v", p.name, err))
		return
	}
	d.done.restarts++
	if time.Now().Before(d.end) && d.chaos.IntN(8) == 0 {
		d.after(d.between(0, time.Second), func() { d.kill(p) })
		return
	}
	p.busy = false
}

// freeze stops a peer's process and lets it go on, or kills it as it is.
func (d *driver) freeze(p *peer) {
	if freeze(p.process.cmd.Process) != nil {
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
		thaw(p.process.cmd.Process)
		p.busy = false
	})
}

// mute stops reading what a peer prints, and goes on or kills it as it is.
func (d *driver) mute(p *peer) {
	d.done.mutes++
	p.process.mute(true)
	d.after(d.between(time.Second, 6*time.Second), func() {
		if d.chaos.IntN(3) == 0 {
			d.killNow(p)
			return
		}
		p.process.mute(false)
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

// stop tells a peer to leave.
func (d *driver) stop(p *peer) {
	p.doomed, p.leaving = toStop, time.Now()
	p.process.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended, which reap sees
}
