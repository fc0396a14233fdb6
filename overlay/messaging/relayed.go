package messaging

import (
	"context"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Messages go over other peers to a receiver that is here without a connection, or with one on
// which it has fallen silent. The first go as a sealed letter, which the core routes: it arrives
// when a handshake has just begun. When it is not answered soon, or another message follows soon, a
// link over others is opened for all that follow; a letter goes again until there is one, since it
// needs nobody on the way to know of such links.
const (
	// carryAfter is how long after a letter a link over others is opened, if it has no receipt: most
	// holes in NATs are punched by then (125 ms, median, docs/figures.md). Another message within
	// that time opens it at once.
	carryAfter = 500 * time.Millisecond
	// relayRetry is when a letter counts as lost, beside the time that its bytes take at
	// relayRate, a line of 128 kbit/s; twice as long each time, relayTries times (guesses).
	relayRetry = 1 * time.Second
	relayTries = 3
	relayRate  = 16 << 10
	// carryAgain is when the next link over others is tried, twice as long after each that was
	// not made, up to carryMost (guesses).
	carryAgain = 5 * time.Second
	carryMost  = 5 * time.Minute
)

// relayLimits are the limits of a letter, of which one is on its way at a time (guesses; 32 KiB fit
// into one part of an envelope).
var relayLimits = delivery.Limits{Messages: 128, Bytes: 30 << 10, FlightBytes: 30 << 10, Flight: 128}

// relayedLane sends a receiver's messages over others. The receiver's lock guards it.
type relayedLane struct {
	r *receiver

	running  bool          // a goroutine runs relay
	begin    time.Duration // not before; 0: not wanted yet
	sent     time.Duration // the last letter; 0: none
	again    time.Duration // when it counts as lost
	tries    int           // in a row that were: each next goes by way of another neighbour
	noDirect bool          // a dial has failed

	opening  bool          // a link over others is
	openNext time.Duration // no other before
	notMade  int           // in a row
}

// patience is how long the letter on its way may take.
func (l *relayedLane) patience() time.Duration {
	return (relayRetry + takes(l.r.box.FlyingBytes(delivery.Relayed), relayRate)) << min(l.tries, relayTries)
}

// takes is how long so many bytes take at a rate.
func takes(bytes, rate int) time.Duration {
	return time.Duration(bytes) * time.Second / time.Duration(rate)
}

// progress notes that a receipt has come.
func (l *relayedLane) progress(now time.Duration) {
	l.tries = 0
	l.again = now + l.patience()
}

// end ends the use of the lane for now. Messages still on it may arrive.
func (l *relayedLane) end() {
	l.begin, l.again, l.tries, l.noDirect, l.sent, l.opening = 0, 0, 0, false, 0, false
	l.r.box.Rewind(delivery.Relayed)
}

// linked ends the use of the lane, since there is a link.
func (l *relayedLane) linked(over *Link) {
	l.end()
	if over.carried {
		l.notMade = 0
	}
}

// made notes that there is the link over others that was wanted, even if by now it is not used.
func (l *relayedLane) made() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.opening = false
	l.r.notify()
}

// notCarried notes that there will be no link over others now.
func (l *relayedLane) notCarried() {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	l.opening = false
	l.openNext = r.engine.now() + min(carryAgain<<min(l.notMade, 16), carryMost)
	l.notMade++
	r.notify()
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
		next, ok := l.next()
		switch {
		case !ok:
			return
		case next.batch == nil:
			e.cfg.Wish(CarryWish{l.r.to, l.r})
		default:
			sealed, err := e.author().SealMessages(next.to, next.batch, next.after)
			if err != nil {
				e.log.Warn("a message can't be sealed", "peer", string(next.to.ID), "error", err)
				continue // and is tried again when its time is over
			}
			e.cfg.Wish(LetterWish{To: next.to.ID, Sealed: sealed, Tries: next.tries})
		}
	}
}

// relayStep is what to do next: a letter is to be sent or, without a batch, a link over others to be
// opened.
type relayStep struct {
	batch []*delivery.Outgoing
	after delivery.Position
	to    delivery.Addressee
	tries int // letters in a row that were lost
}

// next waits for what is to be done; false is the end.
func (l *relayedLane) next() (step relayStep, ok bool) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		now := r.engine.now()
		flying := r.box.Flying(delivery.Relayed) > 0
		switch {
		case r.closed || r.engine.ctx.Err() != nil || r.direct.works() || !r.present || r.box.Len() == 0:
			l.running = false
			return step, false
		case l.begin == 0: // ended, and not wanted again yet
			r.changed.Wait()
		case now < l.begin:
			r.waitUntil(now, l.begin)
		case flying && now >= l.again:
			r.box.Rewind(delivery.Relayed)
			l.tries++
			if l.noDirect {
				r.tellAllWait(noWay)
			}
		case l.mustOpen(now, flying):
			l.opening, l.openNext = true, now+carryAgain
			return relayStep{}, true
		case !flying && !l.awaitsLink():
			step.batch, step.after = r.box.Take(delivery.Relayed, relayLimits)
			step.to, step.tries = r.addressee(), l.tries
			l.sent, l.again = now, now+l.patience()
			return step, true
		case !flying:
			r.changed.Wait()
		default:
			until := l.again
			if at := max(l.sent+carryAfter, l.openNext); !l.opening && at > now {
				until = min(until, at)
			}
			r.waitUntil(now, until)
		}
	}
}

// mustOpen says that it is time for a link over others.
func (l *relayedLane) mustOpen(now time.Duration, flying bool) bool {
	if l.opening || now < l.openNext {
		return false
	}
	soon := l.sent > 0 && now < l.sent+carryAfter
	if flying {
		return !soon || l.r.box.Next(delivery.Relayed) != nil
	}
	return soon || l.isLarge()
}

// isLarge says that the oldest message does not fit into a letter of one part. Such a message goes
// as a letter only if no link over others can be made.
func (l *relayedLane) isLarge() bool { return len(l.r.box.Oldest().Body) > relayLimits.Bytes }

func (l *relayedLane) awaitsLink() bool { return l.opening && l.isLarge() }

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
