package overlay

import (
	"context"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Messages over other peers, to a receiver that is here and to whom there is no
// connection, or one on which it has fallen silent. They go as sealed letters, which the
// core routes; what is lost on the way is sent again when nothing has been heard for a
// while: a second, and as long as what is on its way may take on a slow line, twice as long
// each time. That time runs from when the first copy has left our own queues, so that
// copies never crowd out the first.
const (
	relayAfter = 150 * time.Millisecond // for a connection to be made: 5 ms on a LAN, two round trips elsewhere
	relayRetry = 1 * time.Second        // without a receipt: again from the oldest
	relayTries = 3                      // doublings of that
	// relayRate is how many bytes a way carries in a second, unless it was seen to carry
	// more: a line of 128 kbit/s (a guess).
	relayRate = 16 << 10
	relayLook = 250 * time.Millisecond // for whether a letter has left our queue
)

// relayLimits are those of messages over others (guesses; 32 KiB fit into one part
// of an envelope).
var relayLimits = delivery.Limits{Messages: 128, Bytes: 30 << 10, FlightBytes: 256 << 10, Flight: 512}

// relayWay is how an outbox does over others.
type relayWay struct {
	running  bool          // a goroutine runs relay
	begin    time.Duration // not before; 0: not wanted yet
	again    time.Duration // when what is on its way is given up
	tries    int           // in a row that were
	noDirect bool          // a dial has failed
	sent     time.Duration // the first of what is on its way, or the last receipt came
	rate     int           // bytes that have come through in a second; 0: not known
	last     departure     // of the last letter
}

// departure is where a letter leaves us: it has left when so many bytes are written there.
type departure struct {
	routing bool         // that is not known yet
	link    *messageLink // nil: nowhere
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

func (d departure) lost() bool { return d.link != nil && d.link.used.ctx.Err() != nil }

// patience is how long what is on its way may take, so many bytes.
func (w *relayWay) patience(bytes int) time.Duration {
	p := relayRetry + takes(bytes, max(relayRate, w.rate/4))
	if w.last.link != nil {
		p += 3 * w.last.link.Stats().RTT
	}
	return p << min(w.tries, relayTries)
}

// takes is how long so many bytes take at a rate.
func takes(bytes, rate int) time.Duration {
	return time.Duration(bytes) * time.Second / time.Duration(rate)
}

// progress notes that a receipt has come for a message of so many bytes, and that as many
// are still on their way.
func (w *relayWay) progress(now time.Duration, bytes, flying int) {
	if took := now - w.sent; w.sent > 0 && took > 0 {
		w.rate = max(w.rate/2, int(time.Duration(bytes)*time.Second/took))
	}
	w.sent, w.tries = now, 0
	w.again = now + w.patience(flying)
}

// direct says that there is a link over which the receiver is heard, and hears us.
func (o *outbox) direct() bool { return o.link != nil && o.link.used.works() }

// endRelay is the end of the way over others. What is still on it may arrive.
func (o *outbox) endRelay() {
	o.way = relayWay{running: o.way.running}
	o.box.Rewind(delivery.Relayed)
}

// startRelay has messages go over others, from so much later on.
func (o *outbox) startRelay(after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.direct() || !o.present || o.sealing == (certs.SealingKey{}) {
		return
	}
	if o.way.begin == 0 {
		if o.link != nil && !o.link.used.stuck.Load() && o.box.Flying(delivery.Direct) > 0 { // the link may just be slow
			after += takes(len(o.box.Oldest().Body), relayRate)
		}
		o.way.begin = o.node.now() + after
	}
	if o.way.running {
		o.changed.Broadcast()
		return
	}
	o.way.running = true
	o.node.wg.Go(o.relay)
}

// relay sends what waits over others, until there is a link or the receiver has gone.
func (o *outbox) relay() {
	stop := context.AfterFunc(o.node.ctx, o.wakeAll)
	defer stop()
	for {
		batch, after, to := o.nextRelayed()
		if batch == nil {
			return
		}
		sealed, err := o.node.author().SealMessages(to, batch, after)
		if err != nil {
			o.node.log.Warn("a message can't be sealed", "peer", string(to.ID), "error", err)
			o.departs(departure{})
			continue // and is tried again when its time is over
		}
		o.node.post(sealedLetter{o, to.ID, sealed})
	}
}

// sealedLetter: messages are ready to go over others.
type sealedLetter struct {
	outbox *outbox
	to     certs.ID
	sealed []byte
}

// handle has the letter routed, and tells the outbox where it leaves us.
func (s sealedLetter) handle(l *loop) {
	over := l.step(core.Route{To: s.to, Number: rand.Uint64(), Sealed: s.sealed}).Over
	l.settle() // which queues it
	var d departure
	if nl := l.links.all[over]; nl != nil {
		d.link = &nl.messageLink
		d.mark, _ = nl.LastBytes()
	}
	s.outbox.departs(d)
}

func (o *outbox) departs(d departure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.way.last = d
}

// nextRelayed waits for messages that may go over others; nil is the end.
func (o *outbox) nextRelayed() (batch []*delivery.Outgoing, after delivery.Position, to delivery.Addressee) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		now := o.node.now()
		switch {
		case o.closed || o.node.ctx.Err() != nil || o.direct() || !o.present || o.box.Len() == 0:
			o.way.running = false
			return nil, after, to
		case o.way.begin == 0: // ended, and not wanted again yet
			o.changed.Wait()
		case now < o.way.begin:
			o.waitUntil(now, o.way.begin)
		case o.box.Flying(delivery.Relayed) > 0 && o.way.last.lost():
			o.box.Rewind(delivery.Relayed)
			o.way.last = departure{}
		case o.box.Flying(delivery.Relayed) > 0 && now >= o.way.again && !o.way.last.waits():
			o.box.Rewind(delivery.Relayed)
			o.way.tries++
			if o.way.noDirect {
				o.tellAllWait(noWay)
			}
		case o.box.Fits(delivery.Relayed, relayLimits):
			if o.box.Flying(delivery.Relayed) == 0 {
				o.way.sent = now
			}
			batch, after = o.box.Take(delivery.Relayed, relayLimits)
			o.way.again = now + o.way.patience(o.box.FlyingBytes(delivery.Relayed))
			o.way.last = departure{routing: true}
			return batch, after, o.addressee()
		case o.way.last.waits():
			o.way.again = now + o.way.patience(o.box.FlyingBytes(delivery.Relayed))
			o.waitUntil(now, now+relayLook)
		default:
			o.waitUntil(now, o.way.again)
		}
	}
}

// waitUntil waits for a change, at most until then. o.mu is held.
func (o *outbox) waitUntil(now, then time.Duration) {
	timer := time.AfterFunc(then-now, o.wakeAll)
	o.changed.Wait()
	timer.Stop()
}

func (o *outbox) addressee() delivery.Addressee {
	return delivery.Addressee{ID: o.to, Key: o.key, Sealing: o.sealing}
}

// unreachable notes that a dial has failed. Without a way over others the program is
// told that the messages wait: now, or once that way has failed too.
func (o *outbox) unreachable() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != nil {
		return
	}
	o.way.noDirect = true
	if !o.way.running {
		o.tellAllWait(noWay)
	}
}

// author is who writes our letters.
func (n *Node) author() delivery.Author {
	return delivery.Author{ID: n.id, Identity: n.cfg.State.Identity, Network: n.cfg.Network}
}

// relayedReceipt takes a receipt that has come over others, from the peer of that key.
func (o *outbox) relayedReceipt(from certs.PublicKey, r *pb.Receipt) {
	o.mu.Lock()
	p, ok := o.box.PositionOf(MessageID(r.GetId()))
	ok = ok && o.key == from && settles(r)
	o.mu.Unlock()
	if ok {
		o.receipt(p, receiptOf(r, true))
	}
}
