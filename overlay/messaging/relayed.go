package messaging

import (
	"context"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Messages go over other peers to a receiver that is here without a connection, or with one on
// which it has fallen silent. They go as sealed letters, which the core routes; lost ones are
// sent again when no receipt has come for a while: a second, plus the time that those on their
// way may take on a slow line, twice as long each time. That time runs from when the first
// copy has left our own queues, so that copies never crowd out the first.
const (
	relayRetry = 1 * time.Second // without a receipt: again from the oldest
	relayTries = 3               // doublings of that
	// relayRate is how many bytes the path carries in a second, unless it was seen to carry
	// more: a line of 128 kbit/s (a guess).
	relayRate = 16 << 10
	relayLook = 250 * time.Millisecond // for whether a letter has left our queue
)

// Bounds of a letter, and of the messages on their way over others (guesses; 32 KiB fit into
// one part of an envelope).
const (
	maxLetterMessages = 128
	maxLetterBody     = 30 << 10
	maxRelayed        = 512
	maxRelayedBytes   = 256 << 10
)

// relayLimits are the limits of messages over others.
var relayLimits = delivery.Limits{
	Messages: maxLetterMessages, Bytes: maxLetterBody, FlightBytes: maxRelayedBytes, Flight: maxRelayed,
}

// relayedLane sends a receiver's messages over others. The receiver's lock guards it.
type relayedLane struct {
	r *receiver

	running  bool          // a goroutine runs relay
	begin    time.Duration // not before; 0: not wanted yet
	again    time.Duration // when messages on their way count as lost
	tries    int           // in a row that were
	noDirect bool          // a dial has failed
	sent     time.Duration // the first of what is on its way, or the last receipt came
	rate     int           // bytes that have come through in a second; 0: not known
	last     departure     // of the last letter
}

// departure tells when a letter has left us: when so many bytes are written on a link.
type departure struct {
	routing bool  // that is not known yet
	link    *Link // nil: nowhere
	mark    uint64
}

// waits says that the letter is still in a queue of ours, lost that its link has ended.
func (d departure) waits() bool {
	if d.routing || d.link == nil || d.lost() {
		return d.routing
	}
	_, written := d.link.LastBytes()
	return written < d.mark
}

func (d departure) lost() bool { return d.link != nil && d.link.ctx.Err() != nil }

// patience is how long so many bytes on their way may take.
func (l *relayedLane) patience(bytes int) time.Duration {
	p := relayRetry + takes(bytes, max(relayRate, l.rate/4))
	if l.last.link != nil {
		p += 3 * l.last.link.Stats().RTT
	}
	return p << min(l.tries, relayTries)
}

// takes is how long so many bytes take at a rate.
func takes(bytes, rate int) time.Duration {
	return time.Duration(bytes) * time.Second / time.Duration(rate)
}

// progress notes that a receipt has come for a message of so many bytes.
func (l *relayedLane) progress(bytes int, now time.Duration) {
	if took := now - l.sent; l.sent > 0 && took > 0 {
		l.rate = max(l.rate/2, int(time.Duration(bytes)*time.Second/took))
	}
	l.sent, l.tries = now, 0
	l.again = now + l.patience(l.flying())
}

// flying is how many bytes are on their way over others.
func (l *relayedLane) flying() int { return l.r.box.FlyingBytes(delivery.Relayed) }

// end ends the use of the lane for now. Messages still on it may arrive.
func (l *relayedLane) end() {
	// All but running, and r, which the goroutine reads without the lock.
	l.begin, l.again, l.tries, l.noDirect, l.sent, l.rate, l.last = 0, 0, 0, false, 0, 0, departure{}
	l.r.box.Rewind(delivery.Relayed)
}

// start makes messages go over others, after so much time.
func (l *relayedLane) start(after time.Duration) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.direct.works() || !r.present || r.sealing == (certs.SealingKey{}) {
		return
	}
	if l.begin == 0 {
		link := r.direct.link
		if link != nil && !link.stuck.Load() && r.box.Flying(delivery.Direct) > 0 { // the link may just be slow
			after += takes(len(r.box.Oldest().Body), relayRate)
		}
		l.begin = r.engine.now() + after
	}
	if l.running {
		r.notify()
		return
	}
	l.running = true
	r.engine.wg.Go(l.run)
}

// run sends waiting messages over others, until there is a link or the receiver has gone.
func (l *relayedLane) run() {
	e := l.r.engine
	stop := context.AfterFunc(e.ctx, l.r.wakeAll)
	defer stop()
	for {
		batch, after, to := l.nextLetter()
		if batch == nil {
			return
		}
		sealed, err := e.author().SealMessages(to, batch, after)
		if err != nil {
			e.log.Warn("a message can't be sealed", "peer", string(to.ID), "error", err)
			l.departs(departure{})
			continue // and is tried again when its time is over
		}
		e.cfg.Wish(LetterWish{to.ID, sealed, l.r})
	}
}

// departs notes over which link a letter leaves us.
func (l *relayedLane) departs(d departure) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.last = d
}

// nextLetter waits for messages that may go over others; nil is the end.
func (l *relayedLane) nextLetter() (batch []*delivery.Outgoing, after delivery.Position, to delivery.Addressee) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		now := r.engine.now()
		flying := r.box.Flying(delivery.Relayed) > 0
		switch {
		case r.closed || r.engine.ctx.Err() != nil || r.direct.works() || !r.present || r.box.Len() == 0:
			l.running = false
			return nil, after, to
		case l.begin == 0: // ended, and not wanted again yet
			r.changed.Wait()
		case now < l.begin:
			r.waitUntil(now, l.begin)
		case flying && l.last.lost():
			r.box.Rewind(delivery.Relayed)
			l.last = departure{}
		case flying && now >= l.again && !l.last.waits():
			r.box.Rewind(delivery.Relayed)
			l.tries++
			if l.noDirect {
				r.tellAllWait(noWay)
			}
		case r.box.Fits(delivery.Relayed, relayLimits):
			if !flying {
				l.sent = now
			}
			batch, after = r.box.Take(delivery.Relayed, relayLimits)
			l.again = now + l.patience(l.flying())
			l.last = departure{routing: true}
			return batch, after, r.addressee()
		case l.last.waits():
			l.again = now + l.patience(l.flying())
			r.waitUntil(now, now+relayLook)
		default:
			r.waitUntil(now, l.again)
		}
	}
}

// unreachable notes that a dial has failed. Without a path over others the program gets the
// event that the messages wait: now, or once that path has failed too.
func (l *relayedLane) unreachable() {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.direct.link != nil {
		return
	}
	l.noDirect = true
	if !l.running {
		r.tellAllWait(noWay)
	}
}
