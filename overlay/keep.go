package overlay

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// What a node keeps in its state directory, and finds there when it starts. Without a
// directory it keeps nothing: what is to be stored is as safe as it gets at once.

// maxKnown bounds the peers that are remembered, metSeen how many of them are looked at
// to find one that can be forgotten (guesses): this is done on the loop, and where very
// many are here, walking over them all for each that joins took seconds.
const (
	maxKnown = 16384
	metSeen  = 64
)

// known is what is remembered of a peer that was met.
type known struct {
	key     certs.PublicKey
	sealing certs.SealingKey
	reached reached
	visitor bool // it is remembered while it is here, and not stored: it never comes back
}

// openStore opens what is kept in the state directory, if there is one. It returns the
// peers that are to be looked for.
func (n *Node) openStore() (met []core.Acquaintance, err error) {
	if n.cfg.State.Dir == "" {
		return nil, nil
	}
	if n.store, err = store.OpenWith(n.cfg.State.Dir, n.cfg.step); err != nil {
		return nil, err
	}
	n.marks = n.store.Marks()
	if err := n.loadUptime(); err != nil {
		return nil, err
	}
	var list []acquaintance
	err = n.store.Load(store.Peers, func(_, value []byte) error {
		a, err := n.loadPeer(value)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !n.cfg.NoRejoin {
		met = acquaintances(list)
	}
	return met, n.store.Load(store.Outbox, n.loadMessage)
}

// storedNumber is a number that this peer remembers of itself; 0 if it doesn't.
func (n *Node) storedNumber(name string) (number uint64, err error) {
	if n.store == nil {
		return 0, nil
	}
	err = n.store.Load(store.Self, func(key, value []byte) error {
		switch {
		case string(key) != name:
		case len(value) != 8:
			return damaged(name, fmt.Errorf("%d bytes", len(value)))
		default:
			number = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	return number, err
}

func numberOp(name string, number uint64) store.Op {
	return store.Op{Bucket: store.Self, Key: []byte(name), Value: binary.BigEndian.AppendUint64(nil, number)}
}

// nextEpoch is the epoch of a new attempt to join: not before least, and above all that
// were used. The store knows the last one as well as the state does. Who lost it and came
// back with an earlier one would be taken for an older run, whose messages come too late.
func (n *Node) nextEpoch(least uint64) (uint64, error) {
	last, err := n.storedNumber("epoch")
	if err != nil {
		return 0, err
	}
	if last > 0 {
		least = max(least, last+1)
	}
	epoch, err := n.cfg.State.NextEpoch(least)
	if err == nil {
		n.write(nil, numberOp("epoch", epoch))
	}
	return epoch, err
}

// damaged is a record that was stored whole and makes no sense.
func damaged(what string, err error) error { return fmt.Errorf("a stored %s: %w", what, err) }

func (n *Node) loadPeer(value []byte) (acquaintance, error) {
	s := new(pb.StoredPeer)
	if err := proto.Unmarshal(value, s); err != nil {
		return acquaintance{}, damaged("record", err)
	}
	r, err := core.OpenRecord(&pb.Signed{Payload: s.GetPayload(), Signature: s.GetSignature()})
	if err != nil {
		return acquaintance{}, damaged("record", err)
	}
	a := acquaintance{r, reached{r.Epoch, s.GetAddress(), s.GetLinkedAt()}}
	n.known[r.ID] = known{key: r.Key, sealing: r.Sealing, reached: a.reached}
	return a, nil
}

// loadMessage puts a message of an earlier run into its outbox. Of one that was withdrawn
// there is the last word alone.
func (n *Node) loadMessage(key, value []byte) error {
	s := new(pb.StoredMessage)
	if err := proto.Unmarshal(value, s); err != nil {
		return damaged("message", err)
	}
	if err := pb.Check(pb.Wrap(s.GetMessage())); err != nil {
		return damaged("message", err)
	}
	m := s.GetMessage()
	to := certs.ID(m.GetReceiver())
	out := &delivery.Outgoing{
		Position: delivery.PositionOf(m), Nonce: m.GetNonce(), ID: MessageID(m.GetId()), Body: m.GetContent(), Ref: string(s.GetRef()),
		SentAt: time.Unix(0, m.GetSentAt()), Taken: n.uptime.taken(s.GetTaken()), Stored: true, Waits: fromBefore,
	}
	if out.Cancelled = len(key) > keySize; out.Cancelled {
		n.words = append(n.words, lastWord{to, out})
		return nil
	}
	o := n.outboxes[to]
	if o == nil {
		o = n.addOutbox(to, false)
	}
	o.box.Add(out)
	o.hold(out, 1)
	return nil
}

const keySize = 16 // of a message

func keyOfMessage(p delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Epoch), p.Counter)
}

// store keeps a message, and reports it as sent once that is done. o.mu is held.
func (o *outbox) store(m *delivery.Outgoing) {
	n := o.node
	if n.store == nil {
		m.Stored = true
		n.queue.push(Sent{m.ID, o.to, m.Ref})
		return
	}
	value, err := proto.Marshal(&pb.StoredMessage{Message: n.author().Message(m, o.to), Ref: []byte(m.Ref), Taken: n.uptime.at(m.Taken)})
	if err != nil {
		panic("overlay: a message that can't be encoded: " + err.Error()) // Send has checked it
	}
	n.store.Write(func(err error) { o.stored(m, err) }, store.Op{Bucket: store.Outbox, Key: keyOfMessage(m.Position), Value: value})
}

// stored is the news that a message is on the disk.
func (o *outbox) stored(m *delivery.Outgoing, err error) {
	if err != nil {
		o.node.fail(err)
		return
	}
	o.mu.Lock()
	m.Stored = true
	o.node.queue.push(Sent{m.ID, o.to, m.Ref})
	if m.Waits != "" {
		o.node.queue.push(Buffered{m.ID, o.to, m.Ref, m.Waits})
		o.node.custodian.look()
	}
	r := m.Receipt
	o.mu.Unlock()
	if r != nil {
		o.settled(m, *r)
	}
}

// write stores something, and fails the node if that can't be done.
func (n *Node) write(done func(), ops ...store.Op) {
	if n.store == nil {
		if done != nil {
			done()
		}
		return
	}
	n.store.Write(func(err error) {
		switch {
		case err != nil:
			n.fail(err)
		case done != nil:
			done()
		}
	}, ops...)
}

// forget takes a message off the disk when the program has been told what became of it,
// in no hurry: should it be sent again, its receiver knows it, and the program is told
// again.
func (n *Node) forget(m *delivery.Outgoing) {
	key := keyOfMessage(m.Position)
	if m.Cancelled {
		key = keyOfWord(m.Position)
	}
	n.write(nil, store.Op{Bucket: store.Outbox, Key: key})
}

// noteHandled notes on the disk what follows from the program's having handled an event:
// the last word of a message of ours, or a broadcast, which is not to be shown again after
// a restart. (Of direct messages the receipt depends on that, see sender.)
func (n *Node) noteHandled(it item) {
	switch {
	case it.settled != nil:
		n.forget(it.settled)
	case it.author != certs.PublicKey{}:
		n.noteShown(broadcastMark(it.author), it.stamp, func() {})
	}
}

// broadcastMark is the name under which it is noted how many broadcasts of a peer were
// shown, beside its direct messages.
func broadcastMark(author certs.PublicKey) certs.PublicKey {
	return sha256.Sum256(append([]byte("quicpeer broadcasts\x00"), author[:]...))
}

// stampOfBroadcast is what is noted of a broadcast.
func stampOfBroadcast(b core.Broadcasted) delivery.Stamp {
	return delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: b.Epoch, Counter: b.Number}, Nonce: b.Nonce}}
}

// shownBroadcasts is how many broadcasts were shown in earlier runs, of peers that were met.
func (n *Node) shownBroadcasts() map[core.ShownBroadcasts]uint64 {
	shown := make(map[core.ShownBroadcasts]uint64)
	for _, k := range n.known {
		for _, r := range n.marks[broadcastMark(k.key)].Runs {
			shown[core.ShownBroadcasts{Author: k.key, Epoch: r.Epoch, Nonce: r.Nonce}] = r.Counter
		}
	}
	return shown
}

// shownBefore is what is remembered of a sender from earlier runs. n.mu is held.
func (n *Node) shownBefore(key certs.PublicKey) delivery.Inbox {
	mark := n.marks[key]
	var runs []delivery.Run
	for _, r := range mark.Runs {
		runs = append(runs, delivery.Run{Position: delivery.Position(r.Position), Nonce: r.Nonce})
	}
	var gaps []delivery.Gap
	for _, g := range mark.Gaps {
		gaps = append(gaps, delivery.Gap{From: delivery.Position(g.From), To: delivery.Position(g.To)})
	}
	return delivery.NewInbox(runs, mark.Hash, gaps)
}

// markOf is the reverse, of a sender with whom nothing is going on.
func markOf(in *delivery.Inbox) store.Mark {
	m := store.Mark{Hash: in.Hash(), Gaps: storedGaps(in.Gaps())}
	for _, r := range in.Runs() {
		m.Runs = append(m.Runs, storedRun(r))
	}
	return m
}

// noteShown notes that the messages of a sender up to one have been shown, and calls done
// when that is safe.
func (n *Node) noteShown(key certs.PublicKey, s delivery.Stamp, done func()) {
	if n.store == nil {
		done()
		return
	}
	n.noting.Add(1)
	n.store.Note(key, store.Shown{Run: storedRun(s.Run), Hash: s.Hash}, func(err error) {
		if err != nil {
			n.fail(err)
		} else {
			done()
		}
		n.noting.Add(-1)
	})
}

// noteGaps notes which messages of a sender were passed over, and calls done when that
// is safe.
func (n *Node) noteGaps(key certs.PublicKey, gaps []delivery.Gap, done func()) {
	if n.store == nil {
		done()
		return
	}
	n.store.SetGaps(key, storedGaps(gaps), func(err error) {
		if err != nil {
			n.fail(err)
			return
		}
		done()
	})
}

func storedRun(r delivery.Run) store.Run {
	return store.Run{Position: store.Position(r.Position), Nonce: r.Nonce}
}

func storedGaps(gaps []delivery.Gap) []store.Gap {
	list := make([]store.Gap, len(gaps))
	for i, g := range gaps {
		list[i] = store.Gap{From: store.Position(g.From), To: store.Position(g.To)}
	}
	return list
}

// meet remembers a peer that has joined.
func (n *Node) meet(r *core.Record) {
	if r == nil {
		return
	}
	n.mu.Lock()
	now := known{key: r.Key, sealing: r.Sealing, visitor: r.Visitor}
	if was := n.known[r.ID]; was.key == now.key && was.sealing == now.sealing || r.Visitor && len(n.known) >= maxKnown {
		n.mu.Unlock()
		return
	}
	var ops []store.Op
	if len(n.known) >= maxKnown {
		if id, ok := n.forgettable(); ok {
			delete(n.known, id)
			ops = append(ops, store.Op{Bucket: store.Peers, Key: []byte(id)})
		}
	}
	n.known[r.ID] = now
	n.mu.Unlock()
	if r.Visitor {
		return
	}
	op, err := storePeer(r, now.reached)
	if err != nil {
		return // it was read from the wire
	}
	n.write(nil, append(ops, op)...)
}

// forgettable is a peer that was met and is not here, should one be found soon. Where
// nearly all are here there may be a few more than maxKnown. n.mu is held.
func (n *Node) forgettable() (certs.ID, bool) {
	seen := 0
	for id := range n.known {
		if _, here := n.present[id]; !here {
			return id, true
		}
		if seen++; seen == metSeen {
			break
		}
	}
	return "", false
}
