package main

import (
	"slices"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// end is one side of a connection.
type end struct {
	peer    *peer
	other   *end
	id      core.LinkID
	dialID  core.DialID // 0: the other side has dialled
	open    bool        // between Connected and Disconnected
	closing bool        // the core has asked for its end
	gone    bool        // its end has come on this side, or its process has died
	crashed time.Duration
	last    time.Duration // when the last parcel on its way here arrives: nothing overtakes
	held    []*parcel     // what a cut holds back
	alive   alive
}

// parcel is something on its way to an end. A frame's is shared by all that it goes to.
type parcel struct {
	kind    carries
	size    int
	sum     uint32
	reason  core.CloseReason
	message *pb.PeerMessage
}

type carries uint8

const (
	carriesFrame carries = iota
	carriesConnected
	carriesClosed
)

// connectedParcel is the same for all: the first packet behind the handshake.
var connectedParcel = &parcel{kind: carriesConnected, size: packetSize}

// connect makes a connection whose first flights have got through: the dialer has
// it when the answer is there, the other side when the dialer's next packet is.
func connect(p, q *peer, dial core.DialID) {
	w := p.w
	a := &end{peer: p, dialID: dial}
	b := &end{peer: q}
	a.other, b.other = b, a
	p.ends, q.ends = append(p.ends, a), append(q.ends, b)
	oneWay := w.latency(p, q)
	// The answer holds certificates and a key of ML-KEM: three packets (measured with quic-go).
	there := w.now + w.travel(oneWay, handshakeProbe, 3)
	a.alive.begin(there)
	b.alive.begin(there)
	a.push(there, connectedParcel)
	b.push(there+w.travel(oneWay, handshakeProbe, 1), connectedParcel)
}

// push puts a parcel on its way to the end.
func (e *end) push(at time.Duration, x *parcel) {
	e.last = max(e.last, at)
	e.peer.w.queue.push(event{at: e.last, kind: happensArrival, end: e, parcel: x})
}

// send puts a parcel on its way to the other end.
func (e *end) send(x *parcel) {
	w, to := e.peer.w, e.other
	if to.gone && to.crashed == 0 {
		return // it has been closed: its packets are thrown away
	}
	oneWay := w.latency(e.peer, to.peer)
	to.push(w.now+w.travel(oneWay, pto(oneWay), (x.size+packetSize-1)/packetSize), x)
}

// arrive hands over a parcel. Cut off, it waits; of a sender that has died since
// its last try nothing comes.
func (e *end) arrive(x *parcel) {
	w := e.peer.w
	if e.gone {
		if e.crashed != 0 {
			e.resetOther()
		}
		return
	}
	local := x.kind == carriesConnected && e.dialID != 0
	if !local {
		if len(e.held) > 0 || !w.reach(e.peer, e.other.peer) {
			e.held = append(e.held, x)
			return
		}
		if died := e.other.crashed; died != 0 && w.now-w.latency(e.peer, e.other.peer) > died {
			return
		}
	}
	e.take(x)
}

// release hands over what a cut has held back.
func (e *end) release() {
	w := e.peer.w
	if e.gone || !w.reach(e.peer, e.other.peer) {
		return
	}
	held := e.held
	e.held = nil
	if e.other.crashed != 0 {
		return // nobody repeats it
	}
	for _, x := range held {
		if e.gone {
			return
		}
		e.take(x)
	}
}

// take is the arrival of a parcel.
func (e *end) take(x *parcel) {
	p, w := e.peer, e.peer.w
	switch x.kind {
	case carriesConnected:
		p.lastLink++
		e.id, e.open = p.lastLink, true
		e.heard()
		p.core.Connected(w.now, e.id, e.dialID, e.other.peer.key, e.other.peer.address)
		p.drain()
	case carriesClosed:
		// Who leaves has said so before; any other end is no sign of going.
		e.finish(x.reason != core.CloseBye, "closed by the peer")
	case carriesFrame:
		e.heard()
		if e.open && !e.closing {
			p.receive(e, x.message)
		}
	}
}

// finish is the end of the connection on this side.
func (e *end) finish(friendly bool, why string) {
	if e.gone {
		return
	}
	p := e.peer
	wasOpen := e.open
	e.gone, e.open, e.held = true, false, nil
	p.ends = slices.DeleteFunc(p.ends, func(other *end) bool { return other == e })
	if wasOpen {
		p.core.Disconnected(p.w.now, e.id, friendly, why)
		p.drain()
	}
}

// died is the end of the process on this side: nobody answers any more.
func (e *end) died(now time.Duration) {
	if !e.gone {
		e.gone, e.open, e.held, e.crashed = true, false, nil, now
	}
}

// close is the core's wish: what is queued goes first, then the word of it, and
// a round trip later the connection is over here too.
func (e *end) close(reason core.CloseReason) {
	if e.closing || e.gone {
		return
	}
	w := e.peer.w
	e.closing = true
	e.send(&parcel{kind: carriesClosed, reason: reason})
	wait := time.Second
	if w.reach(e.peer, e.other.peer) && e.other.crashed == 0 {
		wait = 2 * w.latency(e.peer, e.other.peer)
	}
	w.queue.push(event{at: w.now + wait, kind: happensClosed, end: e})
}

// dialling is a dial on its way.
type dialling struct {
	peer     *peer
	life     int32
	wish     core.Dial
	target   *peer // nil: nobody has the address
	self     bool
	deadline time.Duration
	probe    time.Duration
}

// handshakeProbe is quic-go's probe timeout before it has measured a round trip:
// twice DefaultInitialRTT of 100 ms (internal/utils/rtt_stats.go, v0.65.0).
const handshakeProbe = 200 * time.Millisecond

// dial sends the first packet; it is repeated until the deadline.
func (p *peer) dial(wish core.Dial) {
	w := p.w
	w.count.dials++
	d := &dialling{peer: p, life: p.life, wish: wish, deadline: w.now + wish.Timeout, probe: handshakeProbe}
	for _, a := range wish.Candidates {
		q := w.where[a.Address]
		switch {
		case q == p:
			d.self = true
		case q != nil && d.target == nil:
			d.target = q
		}
	}
	switch {
	case d.target != nil:
		// The first flight is two packets, since a key of ML-KEM fills one.
		first := w.travel(w.latency(p, d.target), handshakeProbe, 2)
		w.queue.push(event{at: min(w.now+first, d.deadline), kind: happensAttempt, dial: d})
	case d.self:
		w.queue.push(event{at: w.now + leastLatency, kind: happensDialFail, peer: p, life: p.life, dial: d})
	default:
		w.queue.push(event{at: d.deadline, kind: happensDialFail, peer: p, life: p.life, dial: d})
	}
}

// attempt is the arrival of a first packet.
func (d *dialling) attempt() {
	p, q, w := d.peer, d.target, d.peer.w
	switch {
	case p.core == nil || p.life != d.life:
	case w.now >= d.deadline:
		p.dialFailed(d, false)
	case q.core != nil && w.reach(p, q):
		connect(p, q, d.wish.ID)
	default:
		at := min(w.now+d.probe, d.deadline)
		d.probe *= 2
		w.queue.push(event{at: at, kind: happensAttempt, dial: d})
	}
}

func (p *peer) dialFailed(d *dialling, self bool) {
	why := "timeout"
	if self {
		why = "that is ourselves"
	}
	p.core.DialFailed(p.w.now, d.wish.ID, self, why)
	p.drain()
}
