package main

import "time"

// Keepalives as quic-go sends them (connection.go, v0.65.0). A side that has heard
// nothing for keepAlive sends a PING, which the other acknowledges after at most
// ackDelay, or at once if two have come. Without an acknowledgement two more go
// after a probe timeout, which doubles. Each packet that comes, PING,
// acknowledgement or frame, counts as heard; a frame is acknowledged too.
//
// There are some 30,000 such packets a second in a network of 1000, so they are no
// events: what has happened on a connection since it was last looked at is worked
// out when somebody looks, which each side does in each of its ticks.
const (
	keepAlive   = 500 * time.Millisecond // transport.keepAlivePeriod
	ackDelay    = 25 * time.Millisecond  // RFC 9000's default, and quic-go's
	idleTimeout = 15 * time.Second       // transport.idleTimeout
	never       = time.Duration(1 << 62)
)

// alive is what one side knows of the other's being there.
type alive struct {
	heard   time.Duration // the last packet that has come
	ping    time.Duration // when it sends the next PING, or the next probe
	probe   time.Duration // 0: nothing waits to be acknowledged; else the current timeout
	pinged  time.Duration // when a PING of the other side comes
	acked   time.Duration // when an acknowledgement comes
	resetAt time.Duration // when a stateless reset comes; 0: none
}

// begin is the end of the handshake.
func (a *alive) begin(now time.Duration) {
	*a = alive{heard: now, ping: now + keepAlive, pinged: never, acked: never}
}

// due is when something happens to this side next.
func (e *end) due() time.Duration {
	t := min(e.alive.pinged, e.alive.acked)
	if !e.gone {
		t = min(t, e.alive.ping)
	}
	return t
}

// advance works out what has happened on the connection until now.
func (e *end) advance() {
	w := e.peer.w
	if w.oracle {
		for _, x := range [2]*end{e, e.other} {
			if x.other.crashed == 0 && w.reach(x.peer, x.other.peer) {
				x.alive.heard = max(x.alive.heard, w.now)
			}
		}
		return
	}
	for {
		x, t := e, e.due()
		if u := e.other.due(); u < t {
			x, t = e.other, u
		}
		if t > w.now {
			return
		}
		x.step(t)
	}
}

// step is the next thing that happens to this side.
func (e *end) step(t time.Duration) {
	a := &e.alive
	switch t {
	case a.pinged:
		a.pinged = never
		a.hear(t, false)
	case a.acked:
		a.acked = never
		a.hear(t, true)
	default:
		e.sendPing(t)
	}
}

// hear is a packet that comes.
func (a *alive) hear(t time.Duration, ack bool) {
	a.heard = max(a.heard, t)
	if ack {
		a.probe = 0
	}
	if a.probe == 0 {
		a.ping = t + keepAlive
	}
}

// sendPing sends a PING, or two if one has not been acknowledged.
func (e *end) sendPing(t time.Duration) {
	w, a, b := e.peer.w, &e.alive, &e.other.alive
	oneWay := w.latency(e.peer, e.other.peer)
	packets := 1
	if a.probe == 0 {
		a.probe = pto(oneWay)
	} else {
		a.probe *= 2
		packets = 2
	}
	a.ping = t + a.probe
	w.count.pings += int64(packets)
	if !w.reach(e.peer, e.other.peer) {
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
	case e.other.crashed != 0:
		e.other.resetOther()
	case e.other.gone:
	default:
		b.pinged = min(b.pinged, t+oneWay)
		w.count.pings++
		wait := ackDelay
		if came == 2 {
			wait = 0
		}
		if !w.lost() {
			a.acked = min(a.acked, t+2*oneWay+wait)
		}
	}
}

// heard is a frame, or the handshake, that has come: the other side is owed an
// acknowledgement.
func (e *end) heard() {
	e.advance()
	w, a, b := e.peer.w, &e.alive, &e.other.alive
	a.hear(w.now, false)
	if w.oracle || e.other.gone {
		return
	}
	oneWay := w.latency(e.peer, e.other.peer)
	w.count.pings++
	switch {
	case w.reach(e.peer, e.other.peer) && !w.lost():
		b.acked = min(b.acked, w.now+ackDelay+oneWay)
	case b.probe == 0:
		b.probe = pto(oneWay)
		b.ping = w.now - oneWay + b.probe
	}
}

// resetOther is a packet that has come to a process that is dead. If another runs
// there now it answers by a stateless reset, its key being derived from the identity;
// else nobody does.
func (e *end) resetOther() {
	w, there := e.peer.w, &e.other.alive
	if e.peer.core != nil && w.reach(e.peer, e.other.peer) && !w.lost() && there.resetAt == 0 {
		there.resetAt = w.now + w.latency(e.peer, e.other.peer)
	}
}

// listen tells the core when the link was last heard. It returns false if the
// link has ended: by a reset, or because QUIC gives it up.
func (e *end) listen() bool {
	e.advance()
	w, a := e.peer.w, &e.alive
	switch {
	case a.resetAt != 0 && w.now >= a.resetAt:
		e.finish(false, "stateless reset")
		return false
	case w.now > a.heard+keepAlive+idleTimeout:
		e.finish(false, "idle timeout")
		return false
	}
	e.peer.core.Heard(w.now, e.id, a.heard, 0, 0)
	return true
}
