package overlay

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// awaitCustody waits until the messages for absent peers are left with others, or ctx ends.
func (n *Node) awaitCustody(ctx context.Context) {
	if n.cfg.NoCustody {
		return
	}
	n.disk.Flush(ctx)
	for again := true; again; again = n.messages.ToBeLeft() {
		if !n.messages.AwaitLeft(ctx) {
			return
		}
		decided := make(chan struct{})
		n.post(awaitDecided{decided})
		select {
		case <-decided:
		case <-ctx.Done():
			return
		case <-n.ended:
			return
		}
	}
}

// awaitDecided: a caller waits until no deposit is pending.
type awaitDecided struct{ done chan struct{} }

func (a awaitDecided) handle(l *loop) { l.undecided = append(l.undecided, a.done) }

// tellDecided releases the callers that wait, once no deposit is pending.
func (l *loop) tellDecided() {
	if len(l.undecided) > 0 && !l.core.DepositsPending() {
		for _, done := range l.undecided {
			close(done)
		}
		l.undecided = nil
	}
}

// keptForOthers returns the deposits kept for others when the last run ended, in the order in
// which they were taken.
func (n *Node) keptForOthers() (list []base.Kept, err error) {
	if n.cfg.NoCustody {
		return nil, nil
	}
	var stored []*pb.StoredDeposit
	err = n.disk.Load(store.Custody, func(_, value []byte) error {
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
	// Deposits stored before uptimes were introduced have the wall clock alone.
	slices.SortFunc(stored, func(a, b *pb.StoredDeposit) int {
		return cmp.Or(cmp.Compare(a.GetTaken(), b.GetTaken()), cmp.Compare(a.GetSince(), b.GetSince()))
	})
	for _, s := range stored {
		k := base.Kept{Deposit: s.GetDeposit(), Depositor: certs.ID(s.GetDepositor()), Age: -n.disk.TimeOf(s.GetTaken())}
		copy(k.DepositorKey[:], s.GetDepositorKey())
		list = append(list, k)
	}
	return list, err
}

// keep stores a deposit for others, or deletes it.
func (n *Node) keep(w base.CustodyWrite) {
	op := store.Op{Bucket: store.Custody, Key: w.ID[:]}
	if k := w.Kept; k != nil {
		s := &pb.StoredDeposit{
			Deposit: k.Deposit, Depositor: string(k.Depositor), DepositorKey: k.DepositorKey[:],
			Taken: n.disk.UptimeAt(n.now() - k.Age),
		}
		value, err := proto.Marshal(s)
		if err != nil {
			return // it was read from the wire
		}
		op.Value = value
	}
	n.disk.Write(nil, op)
}
