package overlay

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/delivery"
	"quicpeer/pb"
)

// Messages over other peers, to a receiver that is here and to whom there is no
// connection, or one on which it has fallen silent. They go as sealed letters, which the core routes; what is lost on the
// way is sent again when nothing has been heard for a while.
const (
	relayAfter     = 500 * time.Millisecond // for a connection to be made; a dial on a LAN takes 5 ms
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

// startRelay has messages go over others from a little later on.
func (o *outbox) startRelay() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.direct() || !o.present || o.sealing == (certs.SealingKey{}) {
		return
	}
	if o.way.begin == 0 {
		o.way.begin, o.way.retry = o.node.now()+relayAfter, relayRetry
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

// newMessage gives a message its ID and position.
func (n *Node) newMessage(body, ref string) *delivery.Outgoing {
	counter := n.counter.Add(1)
	return &delivery.Outgoing{
		Position: delivery.Position{Epoch: n.epoch, Counter: counter},
		ID:       MessageID(binary.BigEndian.AppendUint64(n.prefix[:], counter)),
		Body:     body, Ref: ref, SentAt: time.Now(), Taken: n.now(),
	}
}

// answer is a batch of receipts that is due to the sender of what came over others,
// or to who has handed it over.
type answer struct {
	to       delivery.Addressee // the sender
	holder   certs.ID           // who has handed it over; empty: the sender itself
	deposit  []byte             // what was handed over
	receipts []*pb.Receipt      // none: the deposit was receipts itself
}

// maxAnswers bounds the answers that wait to be sealed; beyond it they are dropped, and
// due again when the message is repeated.
const maxAnswers = 1024

// due queues an answer.
func (n *Node) due(a answer) {
	select {
	case n.answers <- a:
	default:
		n.log.Debug("too many receipts wait, dropped", "peer", string(a.to.ID))
	}
}

// answerAll seals and sends the answers, those to one sender together.
func (n *Node) answerAll() {
	var next *answer
	for {
		var a answer
		if next != nil {
			a, next = *next, nil
		} else {
			select {
			case a = <-n.answers:
			case <-n.ctx.Done():
				return
			}
		}
		deposits := [][]byte{a.deposit}
		for more := true; more; {
			select {
			case b := <-n.answers:
				if b.to == a.to && b.holder == a.holder && len(a.receipts)+len(b.receipts) <= pb.MaxLetter && len(deposits) < pb.MaxLetter {
					a.receipts, deposits = append(a.receipts, b.receipts...), append(deposits, b.deposit)
					continue
				}
				next, more = &b, false
			default:
				more = false
			}
		}
		n.sendAnswer(a, deposits)
	}
}

func (n *Node) sendAnswer(a answer, deposits [][]byte) {
	var sealed []byte
	if len(a.receipts) > 0 {
		var err error
		if sealed, err = n.author().SealReceipts(a.to, a.receipts); err != nil {
			n.log.Debug("a receipt can't be sealed", "peer", string(a.to.ID), "error", err)
			return
		}
	}
	if a.holder == "" {
		n.post(func() { n.core.Route(n.now(), a.to.ID, rand.Uint64(), sealed) })
		return
	}
	key := n.Key()
	word := n.cfg.State.Identity.SignCollected(&pb.CollectedContent{Deposits: deposits, Key: key[:]})
	n.post(func() { n.core.Collect(n.now(), a.holder, &pb.Collected{Content: word, Receipts: sealed}) })
}

// relayedReceipt takes a receipt that has come over others, from the peer of that key.
func (o *outbox) relayedReceipt(from certs.PublicKey, r *pb.Receipt) {
	o.mu.Lock()
	p, ok := o.box.PositionOf(MessageID(r.GetId()))
	ok = ok && o.key == from
	o.mu.Unlock()
	if ok {
		o.receipt(p, receiptOf(r, true))
	}
}
