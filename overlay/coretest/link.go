package coretest

import (
	"errors"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// End is one side of a connection.
type End struct {
	Process *Process
	Other   *End
	ID      base.LinkID // 0: not connected yet
	Open    bool        // between Connected and Disconnected
	Up      certs.ID    // the peer to which messages may flow; empty: not yet
	dial    base.DialID // 0: the other side has dialled
	closing bool        // the core has asked for its end
	gone    bool        // its end has come on this side, or its process has died
	crashed time.Duration
	last    time.Duration // when the last parcel on its way here arrives: nothing overtakes
	held    []*parcel     // parcels held back by a cut, or by a frozen process
	alive   alive
	knows   uint64        // see sure
	hand    func(*parcel) // is arrive
}

// Ending reports whether one of the two sides has ended the connection, or will.
func (e *End) Ending() bool { return e.gone || e.closing }

// roundTrip is that of a link to or from a far machine; else 0, as if it was not known.
func (e *End) roundTrip() time.Duration {
	p, q := e.Process.Machine, e.Other.Process.Machine
	if p.Far+q.Far == 0 {
		return 0
	}
	return 2 * p.World.latency(p, q)
}

// parcel is something on its way to an end. One frame's parcel is shared by all its receivers.
type parcel struct {
	kind    carries
	reason  base.CloseReason
	sum     uint32
	data    []byte // of a frame, a direct message or the reason of the end
	message *pb.PeerMessage
	rest    int   // bytes behind the frame
	err     error // why the frame can't be read
}

type carries uint8

const (
	carriesFrame carries = iota
	carriesConnected
	carriesMessage
	carriesClosed
)

// connect makes a connection whose first flights have got through: the dialer has it when the
// answer arrives, the other side when the dialer's next packet does.
func connect(p, q *Process, dial base.DialID) {
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

// push sends a parcel towards the end.
func (e *End) push(at time.Duration, x *parcel) {
	e.last = max(e.last, at)
	e.Process.World.queue.push(event{at: e.last, hand: e.hand, parcel: x})
}

// send sends a parcel towards the other end.
func (e *End) send(x *parcel) {
	w, to := e.Process.World, e.Other
	if to.gone && to.crashed == 0 {
		return // closed: its packets are thrown away
	}
	packets := (len(x.data) + packetSize - 1) / packetSize
	if x.kind == carriesClosed {
		packets = 0 // it is repeated until it comes, or the other side notices by itself
	}
	oneWay := w.latency(e.Process.Machine, to.Process.Machine)
	to.push(w.Now+w.travel(oneWay, pto(oneWay), packets), x)
}

// Inject sends a frame that the core has not asked for.
func (e *End) Inject(data []byte) { e.send(e.Process.World.memory.frame(data)) }

// arrive hands over a parcel. During a cut it waits; if its sender has died since the last try,
// it is lost.
func (e *End) arrive(x *parcel) {
	p, w := e.Process, e.Process.World
	if e.gone {
		if e.crashed != 0 {
			e.resetOther()
		}
		return
	}
	if e.sure() && len(e.held) == 0 {
		e.take(x)
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

// release hands over the parcels held back.
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
		if e.Other.crashed == 0 || x.kind == carriesConnected && e.dial != 0 { // else it is not repeated any more
			e.take(x)
		}
	}
}

// take takes a parcel that has arrived.
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
		if x.reason == base.CloseProtocol {
			p.Expelled = w.Now
		}
		// A peer that leaves has said so before; any other end does not mean going.
		e.finish(x.reason != base.CloseBye, "closed by the peer: "+string(x.data))
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

// read gives a frame to the core if it passes the checks.
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
		e.close(base.CloseProtocol, x.err.Error())
	default:
		if w.Arrived != nil {
			w.Arrived(e, x.message)
		}
		p.receive(e, x.message)
	}
}

// finish ends the connection on this side.
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

// died ends the process on this side: nothing answers any more.
func (e *End) died(now time.Duration) {
	if !e.gone {
		e.gone, e.Open, e.held, e.crashed = true, false, nil, now
	}
}

// close obeys the core: queued frames go first, then the reason, and a round trip later the
// connection is over on this side too.
func (e *End) close(reason base.CloseReason, why string) {
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
