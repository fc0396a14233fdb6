package coretest

import (
	"errors"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// End is one side of a connection.
type End struct {
	Process *Process
	Other   *End
	ID      core.LinkID // 0: not connected yet
	Open    bool        // between Connected and Disconnected
	Up      certs.ID    // the peer to which messages may flow; empty: not yet
	dial    core.DialID // 0: the other side has dialled
	closing bool        // the core has asked for its end
	gone    bool        // its end has come on this side, or its process has died
	crashed time.Duration
	last    time.Duration // when the last parcel on its way here arrives: nothing overtakes
	held    []*parcel     // what a cut, or a frozen process, holds back
	alive   alive
	hand    func(*parcel) // is arrive
}

// Ending says that one of the two sides has ended the connection, or will.
func (e *End) Ending() bool { return e.gone || e.closing }

// parcel is something on its way to an end. A frame's is shared by all that it goes to.
type parcel struct {
	kind    carries
	reason  core.CloseReason
	sum     uint32
	data    []byte // of a frame, a direct message or the word of the end
	message *pb.PeerMessage
	err     error // why the frame can't be read
}

type carries uint8

const (
	carriesFrame carries = iota
	carriesConnected
	carriesMessage
	carriesClosed
)

// connect makes a connection whose first flights have got through: the dialer has
// it when the answer is there, the other side when the dialer's next packet is.
func connect(p, q *Process, dial core.DialID) {
	w := p.World
	a := &End{Process: p, dial: dial}
	b := &End{Process: q}
	a.Other, b.Other = b, a
	a.hand, b.hand = a.arrive, b.arrive
	p.Ends, q.Ends = append(p.Ends, a), append(q.Ends, b)
	oneWay := w.latency(p.Machine, q.Machine)
	// The answer holds certificates and a key of ML-KEM: three packets (measured with quic-go).
	there := w.Now + w.travel(oneWay, handshakeProbe, 3)
	a.alive.begin(there)
	b.alive.begin(there)
	early := there
	if w.DriverDelay > 0 {
		early += w.Between(0, w.DriverDelay)
	}
	a.push(early, &parcel{kind: carriesConnected})
	b.push(there+w.travel(oneWay, handshakeProbe, 1), &parcel{kind: carriesConnected})
}

// push puts a parcel on its way to the end.
func (e *End) push(at time.Duration, x *parcel) {
	e.last = max(e.last, at)
	e.Process.World.queue.push(event{at: e.last, hand: e.hand, parcel: x})
}

// send puts a parcel on its way to the other end.
func (e *End) send(x *parcel) {
	w, to := e.Process.World, e.Other
	if to.gone && to.crashed == 0 {
		return // it has been closed: its packets are thrown away
	}
	packets := (len(x.data) + packetSize - 1) / packetSize
	if x.kind == carriesClosed {
		packets = 0 // it is repeated until it comes, or the other side notices by itself
	}
	oneWay := w.latency(e.Process.Machine, to.Process.Machine)
	to.push(w.Now+w.travel(oneWay, pto(oneWay), packets), x)
}

// Inject sends a frame that no core has asked for.
func (e *End) Inject(data []byte) { e.send(e.Process.World.memory.frame(data)) }

// arrive hands over a parcel. Cut off, it waits; of a sender that has died since
// its last try nothing comes.
func (e *End) arrive(x *parcel) {
	p, w := e.Process, e.Process.World
	if e.gone {
		if e.crashed != 0 {
			e.resetOther()
		}
		return
	}
	local := x.kind == carriesConnected && e.dial != 0
	if p.Frozen || len(e.held) > 0 || !local && !w.Reach(p.Machine, e.Other.Process.Machine) {
		e.held = append(e.held, x)
		return
	}
	if died := e.Other.crashed; !local && died != 0 && w.Now-w.latency(p.Machine, e.Other.Process.Machine) > died {
		return
	}
	e.take(x)
}

// release hands over what has been held back.
func (e *End) release() {
	w := e.Process.World
	if e.gone || e.Process.Frozen || !w.Reach(e.Process.Machine, e.Other.Process.Machine) {
		return
	}
	held := e.held
	e.held = nil
	for _, x := range held {
		if e.gone {
			return
		}
		if e.Other.crashed == 0 || x.kind == carriesConnected && e.dial != 0 { // else nobody repeats it
			e.take(x)
		}
	}
}

// take is the arrival of a parcel.
func (e *End) take(x *parcel) {
	p, w := e.Process, e.Process.World
	switch x.kind {
	case carriesConnected:
		p.lastLink++
		e.ID, e.Open = p.lastLink, true
		e.heard()
		if w.Story != nil {
			w.Story(p.Machine, "is connected", e.ID, e.Other.Process.ID, e.dial)
		}
		p.Core.Step(w.Now, core.Connected{Link: e.ID, Dial: e.dial, Key: e.Other.Process.Key, Address: e.Other.Process.seenBy(p.Machine)})
		p.Drain()
	case carriesClosed:
		if x.reason == core.CloseProtocol {
			p.Expelled = w.Now
		}
		// A peer that leaves has said so before; any other end is no sign of going.
		e.finish(x.reason != core.CloseBye, "closed by the peer: "+string(x.data))
	case carriesMessage:
		e.heard()
		if e.Open && !e.closing {
			p.takeMessage(e, x.data)
		}
	case carriesFrame:
		e.heard()
		if e.Open && !e.closing {
			e.read(x)
		}
	}
}

// read gives the core a frame, if it is one that passes the gate.
func (e *End) read(x *parcel) {
	p, w := e.Process, e.Process.World
	switch {
	case errors.As(x.err, new(*pb.UnknownError)):
		if w.Skipped != nil {
			w.Skipped(p, x.data)
		}
	case x.err != nil:
		if !e.Other.Process.Hostile {
			w.Odd("%s sends a frame that is refused: %v", e.Other.Process.ID, x.err)
		}
		e.close(core.CloseProtocol, x.err.Error())
	default:
		if w.Arrived != nil {
			w.Arrived(e, x.message)
		}
		p.receive(e, x.message)
	}
}

// finish is the end of the connection on this side.
func (e *End) finish(friendly bool, why string) {
	if e.gone {
		return
	}
	p, w := e.Process, e.Process.World
	wasOpen := e.Open
	e.gone, e.Open, e.held = true, false, nil
	p.Ends = slices.DeleteFunc(p.Ends, func(other *End) bool { return other == e })
	if w.Story != nil {
		w.Story(p.Machine, "is disconnected", e.ID, e.Other.Process.ID, friendly, why)
	}
	if wasOpen {
		p.Core.Step(w.Now, core.Disconnected{Link: e.ID, Friendly: friendly, Why: why})
		p.Drain()
	}
}

// died is the end of the process on this side: nobody answers any more.
func (e *End) died(now time.Duration) {
	if !e.gone {
		e.gone, e.Open, e.held, e.crashed = true, false, nil, now
	}
}

// close is the core's wish: what is queued goes first, then the word of it, and
// a round trip later the connection is over here too.
func (e *End) close(reason core.CloseReason, why string) {
	if e.closing || e.gone {
		return
	}
	p, w := e.Process, e.Process.World
	e.closing = true
	e.send(&parcel{kind: carriesClosed, reason: reason, data: []byte(why)})
	wait := time.Second
	if w.Reach(p.Machine, e.Other.Process.Machine) && e.Other.crashed == 0 {
		wait = 2 * w.latency(p.Machine, e.Other.Process.Machine)
	}
	w.At(w.Now+wait, func() { p.input(func() { e.finish(false, "closed") }) })
}
