package overlay

import (
	"context"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/delivery"
	"quicpeer/pb"
)

// Messages over other peers, to a receiver that is here and to whom there is no
// connection, or one on which it has fallen silent. They go as sealed letters, which the
// core routes; what is lost on the way is sent again when nothing has been heard for a
// while.
const (
	relayAfter     = 150 * time.Millisecond // for a connection to be made: 5 ms on a LAN, two round trips elsewhere
	relayRetry     = 1 * time.Second        // without a receipt: again from the oldest
	relayMostRetry = 8 * time.Second
)

// relayLimits are those of messages over others (guesses; 32 KiB fit into one part
// of an envelope).
var relayLimits = delivery.Limits{Messages: 128, Bytes: 30 << 10, FlightBytes: 256 << 10, Flight: 512}

// relayWay is how an outbox does over others.
type relayWay struct {
	running  bool          // a goroutine runs relay
	begin    time.Duration // not before; 0: not wanted yet
	again    time.Duration // when what is on its way is given up
	retry    time.Duration // how long it is given
	noDirect bool          // a dial has failed
}

// progress notes that a receipt has come.
func (w *relayWay) progress(now time.Duration) {
	w.retry = relayRetry
	w.again = now + w.retry
}

// direct says that there is a link over which the receiver is heard.
func (o *outbox) direct() bool { return o.link != nil && !o.link.used.silent.Load() }

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
		o.way.begin, o.way.retry = o.node.now()+after, relayRetry
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
			continue // and is tried again when its time is over
		}
		o.node.post(func() { o.node.core.Route(o.node.now(), to.ID, rand.Uint64(), sealed) })
	}
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
		case o.box.Flying(delivery.Relayed) > 0 && now >= o.way.again:
			o.box.Rewind(delivery.Relayed)
			o.way.retry = min(2*o.way.retry, relayMostRetry)
			if o.way.noDirect {
				o.tellAllWait(noWay)
			}
		case o.box.Fits(delivery.Relayed, relayLimits):
			if o.box.Flying(delivery.Relayed) == 0 {
				o.way.again = now + o.way.retry
			}
			batch, after = o.box.Take(delivery.Relayed, relayLimits)
			return batch, after, o.addressee()
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
