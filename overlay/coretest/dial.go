package coretest

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// race is a dial with all candidates added under its number: the first to answer ends it, and so
// can the core.
type race struct{ running int }

// dialling is a group of candidates of a race that are dialled together.
type dialling struct {
	process  *Process
	race     *race
	wish     base.Dial
	deadline time.Duration
	probe    time.Duration
}

// handshakeProbe is quic-go's probe timeout before it has measured a round trip:
// twice DefaultInitialRTT of 100 ms (quic-go/internal/utils/rtt_stats.go, v0.65.0).
const handshakeProbe = 200 * time.Millisecond

// dial sends the first packets; they are repeated until the deadline.
func (p *Process) dial(wish base.Dial) {
	w := p.World
	w.Count.Dials++
	r := p.races[wish.ID]
	if r == nil {
		r = &race{}
		p.races[wish.ID] = r
	}
	r.running++
	d := &dialling{process: p, race: r, wish: wish, deadline: w.Now + wish.Timeout, probe: handshakeProbe}
	var target *Machine
	self := false
	for _, c := range wish.Candidates {
		switch m := w.byAddress(c.Address); {
		case m == nil:
			w.At(w.Now+c.After, func() { d.stray(handshakeProbe) })
		case m == p.Machine:
			self = true
		case m != nil && target == nil:
			target = m
		}
	}
	switch {
	case target != nil:
		// The first flight is two packets, since a key of ML-KEM fills one.
		first := w.travel(w.latency(p.Machine, target), handshakeProbe, 2)
		w.At(min(w.Now+first, d.deadline), d.attempt)
	case self:
		w.At(w.Now+LeastLatency, func() { d.fail(true, "that is ourselves") })
	default:
		w.At(d.deadline, func() { d.fail(false, "timeout") })
	}
}

// stray counts the first packets to an address at which nobody is: two, since a key of ML-KEM fills one,
// repeated as long as the race goes on.
func (d *dialling) stray(probe time.Duration) {
	w := d.process.World
	if !d.process.Dead && d.process.races[d.wish.ID] == d.race && w.Now < d.deadline {
		w.Count.Strays += 2
		w.At(w.Now+probe, func() { d.stray(2 * probe) })
	}
}

// attempt delivers a first packet to each candidate.
func (d *dialling) attempt() {
	p, w := d.process, d.process.World
	if p.Dead || p.races[d.wish.ID] != d.race {
		return // the race is over, or was cancelled
	}
	switch q, wrong := d.answers(); {
	case w.Now >= d.deadline:
		d.fail(false, "timeout")
	case q != nil:
		delete(p.races, d.wish.ID)
		connect(p, q, d.wish.ID)
	case wrong:
		d.fail(false, "another key answers there")
	default:
		at := min(w.Now+d.probe, d.deadline)
		d.probe *= 2
		w.At(at, d.attempt)
	}
}

// answers returns the nearest process that answers with the right key; wrong says that only
// others answer.
func (d *dialling) answers() (best *Process, wrong bool) {
	p, w := d.process, d.process.World
	others := 0
	for _, c := range d.wish.Candidates {
		m := w.byAddress(c.Address)
		if m == nil || m == p.Machine || p.Frozen || m.Process == nil || m.Process.Frozen || !w.Reach(p.Machine, m) || !w.enters(p.Machine, m, c.Address) {
			continue
		}
		if d.wish.Key != (certs.PublicKey{}) && d.wish.Key != m.Key {
			others++
		} else if best == nil || w.latency(p.Machine, m) < w.latency(p.Machine, best.Machine) {
			best = m.Process
		}
	}
	return best, others == len(d.wish.Candidates)
}

// fail ends these candidates; the core hears of it when the whole race has failed.
func (d *dialling) fail(self bool, why string) {
	p := d.process
	if p.Dead || p.races[d.wish.ID] != d.race {
		return
	}
	if d.race.running--; d.race.running > 0 {
		return
	}
	delete(p.races, d.wish.ID)
	p.input(func() { p.Core.Step(p.World.Now, core.DialFailed{Dial: d.wish.ID, Self: self, Why: why}) })
}
