package coretest

import (
	"time"

	"quicpeer/pb"
)

// Keepalives as quic-go sends them (quic-go/connection.go, v0.65.0). A side that has heard
// nothing for pb.KeepaliveEvery sends a PING, which the other acknowledges after at most
// ackDelay, or at once if two have come. Without an acknowledgement two more go
// after a probe timeout, which doubles. Each packet that comes, PING,
// acknowledgement or frame, counts as heard; a frame is acknowledged too.
//
// A network of 1000 sends some 30,000 such packets a second, so they are not events: each side
// works out, in each of its ticks, what has happened on a connection since the last look.
const (
	ackDelay = 25 * time.Millisecond // RFC 9000's default, and quic-go's

	// Never is a time that does not come.
	Never = time.Duration(1 << 62)
)

// alive is what one side knows of the other side's being alive.
type alive struct {
	heard   time.Duration // the last packet that has come
	ping    time.Duration // when it sends the next PING, or the next probe
	probe   time.Duration // 0: nothing waits to be acknowledged; else the current timeout
	pinged  time.Duration // when a PING of the other side comes
	acked   time.Duration // when an acknowledgement comes
	resetAt time.Duration // when a stateless reset comes; 0: none
}

// begin starts the keepalives after the handshake.
func (a *alive) begin(now time.Duration) {
	*a = alive{heard: now, ping: now + pb.KeepaliveEvery, pinged: Never, acked: Never}
}

// reaches reports whether packets of the other side get here and are read.
func (e *End) reaches() bool {
	p, q := e.Process, e.Other.Process
	return !p.Frozen && !q.Frozen && p.World.Reach(p.Machine, q.Machine)
}

// due is when something happens to this side next.
func (e *End) due() time.Duration {
	t := min(e.alive.pinged, e.alive.acked)
	if !e.gone {
		t = min(t, e.alive.ping)
	}
	return t
}

// sure reports, in a world with an oracle, whether the other side was alive and reached this one
// when last looked at, and nothing of the kind has changed anywhere since. So the other side, whose
// memory is far away, need not be looked at each time.
func (e *End) sure() bool { return e.knows == e.Process.World.changes }

// advance works out what has happened on the connection until now.
func (e *End) advance() {
	w := e.Process.World
	if w.Oracle {
		for _, x := range [2]*End{e, e.Other} {
			if x.Other.crashed == 0 && x.reaches() {
				x.alive.heard = max(x.alive.heard, w.Now)
				x.knows = w.changes
			}
		}
		return
	}
	for {
		x, t := e, e.due()
		if u := e.Other.due(); u < t {
			x, t = e.Other, u
		}
		if t > w.Now {
			return
		}
		x.step(t)
	}
}

// step does the next thing that happens to this side.
func (e *End) step(t time.Duration) {
	a := &e.alive
	switch t {
	case a.pinged:
		a.pinged = Never
		a.hear(t, false)
	case a.acked:
		a.acked = Never
		a.hear(t, true)
	default:
		e.sendPing(t)
	}
}

// hear takes a packet.
func (a *alive) hear(t time.Duration, ack bool) {
	a.heard = max(a.heard, t)
	if ack {
		a.probe = 0
	}
	if a.probe == 0 {
		a.ping = t + pb.KeepaliveEvery
	}
}

// sendPing sends a PING, or two if one has not been acknowledged.
func (e *End) sendPing(t time.Duration) {
	w, a, b := e.Process.World, &e.alive, &e.Other.alive
	oneWay := w.latency(e.Process.Machine, e.Other.Process.Machine)
	packets := 1
	if a.probe == 0 {
		a.probe = pto(oneWay)
	} else {
		a.probe *= 2
		packets = 2
	}
	a.ping = t + a.probe
	w.Count.Pings += int64(packets)
	if !e.reaches() {
		return
	}
	came := 0
	for range packets {
		if !w.lost() {
			came++
		}
	}
	switch {
	case came == 0:
	case e.Other.crashed != 0:
		e.Other.resetOther()
	case e.Other.gone:
	default:
		b.pinged = min(b.pinged, t+oneWay)
		w.Count.Pings++
		wait := ackDelay
		if came == 2 {
			wait = 0
		}
		if !w.lost() {
			a.acked = min(a.acked, t+2*oneWay+wait)
		}
	}
}

// heard takes a frame or the handshake: the other side is owed an acknowledgement.
func (e *End) heard() {
	if e.sure() {
		e.alive.hear(e.Process.World.Now, false)
		return
	}
	e.advance()
	w, a, b := e.Process.World, &e.alive, &e.Other.alive
	a.hear(w.Now, false)
	if w.Oracle || e.Other.gone {
		return
	}
	oneWay := w.latency(e.Process.Machine, e.Other.Process.Machine)
	w.Count.Pings++
	switch {
	case e.reaches() && !w.lost():
		b.acked = min(b.acked, w.Now+ackDelay+oneWay)
	case b.probe == 0:
		b.probe = pto(oneWay)
		b.ping = w.Now - oneWay + b.probe
	}
}

// resetOther takes a packet for a dead process. Another process that runs there now answers by a
// stateless reset, whose key is derived from the identity; otherwise nothing answers.
func (e *End) resetOther() {
	w, there := e.Process.World, &e.Other.alive
	now := e.Process.Machine.Process
	if now != nil && !now.Frozen && !w.NoResets && e.reaches() && !w.lost() && there.resetAt == 0 {
		there.resetAt = w.Now + w.latency(e.Process.Machine, e.Other.Process.Machine)
	}
}

// listen returns why the link has ended, if it has: by a reset, or by QUIC's idle timeout. Else
// it updates when the link was last heard.
func (e *End) listen() (ended string) {
	if e.sure() {
		e.alive.heard = max(e.alive.heard, e.Process.World.Now)
		return ""
	}
	e.advance()
	switch a, now := e.alive, e.Process.World.Now; {
	case a.resetAt != 0 && now >= a.resetAt:
		return "stateless reset"
	case now > a.heard+pb.KeepaliveEvery+pb.IdleTimeout:
		return "idle timeout"
	}
	return ""
}
