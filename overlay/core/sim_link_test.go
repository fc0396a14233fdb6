package core

import (
	"slices"
	"time"
)

// end is one side of a connection.
type end struct {
	process *process
	other   *end
	id      LinkID
	dial    DialID
	open    bool // between Connected and Disconnected
	closing bool // the core has asked for its end
	gone    bool // after Disconnected
	queue   []parcel
	last    time.Duration // when the last of the queue arrives
	heard   time.Duration
	beat    time.Duration // the last keepalive that was looked for
}

// parcel is something on its way to an end.
type parcel struct {
	at     time.Duration
	kind   parcelKind
	data   []byte
	reason CloseReason
}

type parcelKind int

const (
	parcelFrame parcelKind = iota
	parcelConnected
	parcelClosed
)

// dial tries all addresses at once, again and again until the timeout.
func (p *process) dial(d Dial) {
	w := p.node.world
	w.dials++
	deadline := w.now + d.Timeout
	pto := time.Second
	var attempt func()
	p.races[d.ID]++
	fail := func(self bool, why string) {
		if p.races[d.ID]--; p.races[d.ID] == 0 { // what was added to the race has failed as well
			p.input(func() { p.core.Step(w.now, DialFailed{Dial: d.ID, Self: self, Why: why}) })
		}
	}
	attempt = func() {
		if p.dead {
			return
		}
		var best *node
		self, wrong := false, 0
		for _, candidate := range d.Candidates {
			n := w.byAddress(candidate.Address)
			if n == p.node {
				self = true
				continue
			}
			if n == nil || n.process == nil || n.process.frozen || p.frozen || !w.reach(p.node.index, n.index) || !w.getsIn(p.node, n, candidate.Address) {
				continue
			}
			if d.Key != ([32]byte{}) && d.Key != n.identity.Key() {
				wrong++
				continue
			}
			if best == nil || w.latency[p.node.index][n.index] < w.latency[p.node.index][best.index] {
				best = n
			}
		}
		switch {
		case best != nil:
			p.connect(best.process, d.ID)
		case self && len(d.Candidates) == 1:
			fail(true, "that is ourselves")
		case wrong == len(d.Candidates) && wrong > 0:
			fail(false, "another key answers there")
		case w.now+pto >= deadline:
			w.at(deadline, func() { fail(false, "timeout") })
		default:
			w.at(w.now+pto, attempt)
			pto *= 2
		}
	}
	first := 2 * simMaxLatency
	if n := w.byAddress(d.Candidates[0].Address); n != nil && n != p.node {
		first = w.latency[p.node.index][n.index] + w.pause(p.node.index, n.index)
	}
	w.at(w.now+first, attempt)
}

// connect makes a connection: both sides hear of it, the one or the other first.
func (p *process) connect(q *process, dial DialID) {
	w := p.node.world
	a := &end{process: p, dial: dial, heard: w.now}
	b := &end{process: q, heard: w.now}
	a.other, b.other = b, a
	p.ends, q.ends = append(p.ends, a), append(q.ends, b)
	early, late := a, b
	if w.rng.IntN(3) == 0 {
		early, late = b, a
	}
	early.push(w.now, parcel{kind: parcelConnected})
	late.push(w.now+w.between(0, w.latency[p.node.index][q.node.index]), parcel{kind: parcelConnected})
}

// push puts a parcel on its way to the end. Nothing overtakes.
func (e *end) push(at time.Duration, x parcel) {
	e.last = max(e.last, at)
	x.at = e.last
	e.queue = append(e.queue, x)
	e.process.node.world.at(x.at, e.deliver)
}

// send puts a parcel on its way to the other end.
func (e *end) send(x parcel) {
	w := e.process.node.world
	if e.other.gone || e.other.process.dead {
		return
	}
	e.other.push(w.now+w.pause(e.process.node.index, e.other.process.node.index), x)
}

// deliver hands over what has arrived. Cut off, or to a stopped process, it waits.
func (e *end) deliver() {
	w, p := e.process.node.world, e.process
	for len(e.queue) > 0 && e.queue[0].at <= w.now {
		x := e.queue[0]
		local := x.kind == parcelConnected && e.dial != 0
		switch {
		case p.dead || e.gone:
			e.queue = nil
			return
		case p.frozen:
			return
		case !local && !w.reach(p.node.index, e.other.process.node.index):
			return
		case !local && w.now > x.at && e.other.process.dead:
			e.queue = nil // nobody repeats it
			return
		}
		e.queue = e.queue[1:]
		e.heard = w.now
		switch x.kind {
		case parcelConnected:
			p.lastLink++
			e.id, e.open = p.lastLink, true
			w.note(p.node.id, "connected", e.id, "with", e.other.process.node.id, "dial", e.dial)
			p.core.Step(w.now, Connected{Link: e.id, Dial: e.dial, Key: e.other.process.node.identity.Key(), Address: e.other.process.node.seenBy(p.node)})
			p.drain()
		case parcelClosed:
			if x.reason == CloseProtocol {
				p.expelled = w.now
			}
			e.end(x.reason != CloseBye, "closed by the peer: "+string(x.data))
		case parcelFrame:
			p.receive(e, x.data)
		}
	}
}

// end is the end of the connection on this side.
func (e *end) end(friendly bool, why string) {
	if e.gone || e.process.dead {
		return
	}
	p := e.process
	e.gone, e.open, e.queue = true, false, nil
	p.ends = slices.DeleteFunc(p.ends, func(other *end) bool { return other == e })
	p.node.world.note(p.node.id, "disconnected", e.id, "from", e.other.process.node.id, friendly, why)
	if e.id != 0 {
		p.core.Step(p.node.world.now, Disconnected{Link: e.id, Friendly: friendly, Why: why})
		p.drain()
	}
}

// close is the core's wish: what is queued goes first.
func (e *end) close(reason CloseReason, why string) {
	if e.closing || e.gone {
		return
	}
	w := e.process.node.world
	e.closing = true
	e.send(parcel{kind: parcelClosed, data: []byte(why), reason: reason})
	wait := time.Second
	if w.reach(e.process.node.index, e.other.process.node.index) && !e.other.process.dead {
		wait = 2 * w.latency[e.process.node.index][e.other.process.node.index]
	}
	w.at(w.now+wait, func() { e.process.input(func() { e.end(false, "closed") }) })
}

// listen looks whether a keepalive has come, and whether the connection has ended.
func (e *end) listen() {
	p, q := e.process, e.other.process
	w := p.node.world
	able := w.reach(p.node.index, q.node.index)
	if w.now >= e.beat+simKeepalive {
		e.beat = w.now
		if able && e.other.open && !q.dead && !q.frozen && w.rng.Float64() >= w.loss*w.loss { // QUIC repeats it at once
			e.heard = w.now
		}
		if able && w.resets && q.dead && q.node.process != nil && !q.node.process.frozen {
			e.end(false, "stateless reset")
			return
		}
	}
	if w.now-e.heard > simIdle {
		e.end(false, "idle timeout")
		return
	}
	p.core.Step(w.now, Heard{Link: e.id, Heard: e.heard})
}
