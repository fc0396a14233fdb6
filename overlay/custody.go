package overlay

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// A message to a peer that is not here is left, sealed, with others, should we be
// gone when it comes. The core chooses whom, and keeps what others leave with us.

// maxLeftBody bounds what is left with others (a guess; pb.MaxDeposit holds it). What
// comes behind a longer body isn't left either: it would have to wait for that one.
const maxLeftBody = 64 << 10

// leftLimits are those of one deposit.
var leftLimits = delivery.Limits{Messages: 128, Bytes: maxLeftBody, FlightBytes: maxWaitingBytes, Flight: maxWaiting}

// custodian leaves messages with others, on a goroutine of its own.
type custodian struct {
	wake chan struct{}
	busy atomic.Bool // something is being sealed
}

// look has it look whether there is something to leave.
func (c *custodian) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// leaveWithOthers is the custodian's goroutine.
func (n *Node) leaveWithOthers() {
	select {
	case <-n.ready:
	case <-n.ctx.Done():
		return
	}
	for {
		for _, o := range n.allOutboxes() {
			for n.leaveSome(o) {
			}
		}
		select {
		case <-n.custodian.wake:
		case <-n.ctx.Done():
			return
		}
	}
}

// leaveSome leaves the next messages of an outbox with others; false if there are
// none to be left.
func (n *Node) leaveSome(o *outbox) bool {
	n.custodian.busy.Store(true)
	defer n.custodian.busy.Store(false)
	batch, after, to := o.nextLeft()
	if len(batch) == 0 || n.ctx.Err() != nil {
		return false
	}
	sealed, err := n.author().SealMessages(to, batch, after)
	if err != nil {
		n.log.Warn("a message can't be sealed", "peer", string(to.ID), "error", err)
		return false
	}
	d := &pb.Deposit{Receiver: string(to.ID), ReceiverKey: to.Key[:], Sealed: sealed}
	left, ok := ask(&n.mailbox, depositing{o, batch, d})
	return ok && (left || o.notLeft(batch))
}

// depositing asks for messages to be left with others; the answer says that they are.
type depositing struct {
	outbox  *outbox
	batch   []*delivery.Outgoing
	deposit *pb.Deposit
}

func (d depositing) answer(l *loop) bool {
	return !d.outbox.withdrawn(d.batch) && l.step(core.Deposit{Deposit: d.deposit}).OK
}

// withdrawn says that one of these messages was cancelled while they were sealed.
func (o *outbox) withdrawn(batch []*delivery.Outgoing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(batch, func(m *delivery.Outgoing) bool { return m.Cancelled })
}

// notLeft notes that what was taken to be left with others, and so what comes behind it,
// is not, until everything is left anew. True says to look again: a message that was
// cancelled meanwhile is out, and all is left anew as it is.
func (o *outbox) notLeft(batch []*delivery.Outgoing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.ContainsFunc(batch, func(m *delivery.Outgoing) bool { return m.Cancelled && o.box.At(m.Position) == nil }) {
		return true
	}
	o.leftFull = true
	return false
}

// leaveAnew has everything that is not settled left with others again.
func (o *outbox) leaveAnew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leftFull = false
	o.box.Rewind(delivery.Left)
	o.node.custodian.look()
}

// nextLeft takes the next messages to be left with others.
func (o *outbox) nextLeft() (batch []*delivery.Outgoing, after delivery.Position, to delivery.Addressee) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.present || o.closed || o.leftFull || o.sealing == (certs.SealingKey{}) {
		return nil, after, to
	}
	if !o.leavable(o.box.Next(delivery.Left)) {
		return nil, after, to
	}
	batch, after = o.box.Take(delivery.Left, leftLimits)
	if i := slices.IndexFunc(batch, func(m *delivery.Outgoing) bool { return !o.leavable(m) }); i > 0 {
		o.box.Untake(delivery.Left, batch[i:])
		batch = batch[:i]
	}
	return batch, after, o.addressee()
}

func (o *outbox) leavable(m *delivery.Outgoing) bool {
	return m != nil && m.Stored && len(m.Body) <= maxLeftBody
}

// toBeLeft says that messages are still to be left with others.
func (o *outbox) toBeLeft() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.present && !o.closed && !o.leftFull && o.sealing != (certs.SealingKey{}) && o.leavable(o.box.Next(delivery.Left))
}

// awaitCustody waits until what is for peers that are not here is left with others.
func (n *Node) awaitCustody(ctx context.Context) {
	if n.cfg.NoCustody {
		return
	}
	n.flushStore()
	for {
		pending := false
		for _, o := range n.allOutboxes() {
			pending = pending || o.toBeLeft()
		}
		pending = pending || n.custodian.busy.Load()
		asked, ok := ask(&n.mailbox, depositsPending{})
		if !ok || !pending && !asked || !pause(ctx) {
			return
		}
	}
}

// depositsPending asks core.DepositsPending.
type depositsPending struct{}

func (depositsPending) answer(l *loop) bool { return l.core.DepositsPending() }

// queueLook is how often who waits looks again.
const queueLook = 2 * time.Millisecond

// pause waits a moment; false is the end of ctx.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(queueLook)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// kept is what was kept for others when the last run ended, in the order in which it was
// taken.
func (n *Node) kept() (list []core.Kept, err error) {
	if n.store == nil || n.cfg.NoCustody {
		return nil, nil
	}
	var stored []*pb.StoredDeposit
	err = n.store.Load(store.Custody, func(_, value []byte) error {
		s := new(pb.StoredDeposit)
		if err := proto.Unmarshal(value, s); err != nil {
			return damaged("deposit", err)
		}
		if err := pb.Check(pb.Wrap(s.GetDeposit())); err != nil {
			return damaged("deposit", err)
		}
		stored = append(stored, s)
		return nil
	})
	// Those that were stored before uptimes were have the clock on the wall alone.
	slices.SortFunc(stored, func(a, b *pb.StoredDeposit) int {
		return cmp.Or(cmp.Compare(a.GetTaken(), b.GetTaken()), cmp.Compare(a.GetSince(), b.GetSince()))
	})
	for _, s := range stored {
		k := core.Kept{Deposit: s.GetDeposit(), Depositor: certs.ID(s.GetDepositor()), Age: -n.uptime.taken(s.GetTaken())}
		copy(k.DepositorKey[:], s.GetDepositorKey())
		list = append(list, k)
	}
	return list, err
}

// keep stores what is kept for others, or forgets it.
func (n *Node) keep(w core.CustodyWrite) {
	op := store.Op{Bucket: store.Custody, Key: w.ID[:]}
	if k := w.Kept; k != nil {
		s := &pb.StoredDeposit{
			Deposit: k.Deposit, Depositor: string(k.Depositor), DepositorKey: k.DepositorKey[:],
			Taken: n.uptime.at(n.now() - k.Age),
		}
		value, err := proto.Marshal(s)
		if err != nil {
			return // it was read from the wire
		}
		op.Value = value
	}
	n.write(nil, op)
}
