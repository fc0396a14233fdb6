package custody

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// box is a mailbox alone, with a test that plays all other peers.
type box struct {
	*Custody
	t    *testing.T
	last base.LinkID
	out  base.Effects // of the last input
}

// newBox is the mailbox of the peer "self".
func newBox(t *testing.T, change func(*base.Config)) *box {
	en := &base.Env{Cfg: base.Config{ID: "self", Identity: identity("self"), Rand: rand.New(rand.NewPCG(1, 2))}, Ready: true}
	if change != nil {
		change(&en.Cfg)
	}
	tb := &table.Table{Env: en}
	ls := link.NewLinks(en, tb)
	rt := route.NewRoutes(en, tb, ls)
	b := &box{t: t, Custody: New(en, tb, ls, rt, route.NewRelay(en, tb, ls, rt))}
	b.drain()
	return b
}

// identity is that of a peer, by its name.
func identity(name string) *certs.Identity {
	seed := sha256.Sum256([]byte(name))
	return certs.NewIdentity(seed[:])
}

// drain takes the effects of an input.
func (b *box) drain() { b.out, b.Out = b.Out, base.Effects{} }

// pass lets time pass, with a tick at its end. All links are heard.
func (b *box) pass(d time.Duration) {
	b.Now += d
	for _, l := range b.links.List {
		l.Heard = b.Now
	}
	b.HandOver()
	b.LeaveDeposits()
	b.drain()
}

// comes lets a run of a peer come, as a neighbour.
func (b *box) comes(name string, epoch uint64) *link.Link {
	key := identity(name).Key()
	r := &base.Record{ID: certs.ID(name), Key: key, Epoch: epoch, Tag: base.TagOf(certs.ID(name))}
	e := b.table.Get(r.ID, key)
	if e == nil {
		e = table.NewEntry(r, pb.AnnouncementType_JOIN, b.Now)
		b.table.Insert(e)
	}
	b.table.Set(e, r, pb.AnnouncementType_JOIN)
	e.Shown = r
	b.last++
	l := &link.Link{ID: b.last, Key: key, Peer: r.ID, Entry: e, State: link.LinkUp, Heard: b.Now, Bond: link.Bond{Neighbour: true, Slot: -1}}
	b.links.List = append(b.links.List, l)
	return l
}

// goes ends a link and shows its peer as gone.
func (b *box) goes(l *link.Link) {
	b.ends(l)
	l.Entry.Shown = nil
	b.table.Set(l.Entry, l.Entry.Record, pb.AnnouncementType_LEAVE)
}

func (b *box) ends(l *link.Link) {
	b.links.List = slices.DeleteFunc(b.links.List, func(other *link.Link) bool { return other == l })
}

// sent returns the frames of the last input on a link.
func (b *box) sent(l *link.Link) (list []*pb.PeerMessage) {
	b.t.Helper()
	for _, f := range b.out.Frames {
		if f.Link != l.ID {
			continue
		}
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// handed returns the complete envelopes of the last input on a link.
func (b *box) handed(l *link.Link) (list [][]byte) {
	b.t.Helper()
	for _, m := range b.sent(l) {
		e := m.GetRouted().GetEnvelope()
		if e == nil {
			continue
		}
		if e.GetPart() == 0 {
			list = append(list, nil)
		}
		last := &list[len(list)-1]
		*last = append(*last, e.GetSealed()...)
		if e.GetPart() == e.GetParts()-1 && EnvelopeNumber(pb.DepositID(*last)) != e.GetNumber() {
			b.t.Fatalf("handed over as number %x", e.GetNumber())
		}
	}
	return list
}

// leave is Deposit, drained.
func (b *box) leave(d *pb.Deposit) bool {
	taken := b.Deposit(d)
	b.drain()
	return taken
}

// takes lets a peer deposit something, and returns why it is refused.
func (b *box) takes(from *link.Link, d *pb.Deposit) (refusal string) {
	b.t.Helper()
	b.ReceiveDeposit(from, d)
	b.drain()
	frames := b.sent(from)
	answer := frames[len(frames)-1].GetDepositAnswer()
	if id := pb.DepositID(d.GetSealed()); !bytes.Equal(answer.GetDeposit(), id[:]) || answer.GetKept() != (answer.GetReason() == "") {
		b.t.Fatalf("the answer is %v", answer)
	}
	return answer.GetReason()
}

// signs lets a receiver sign that it has these deposits.
func (b *box) signs(name string, sealed ...[]byte) {
	b.ReceiveCollected(collectedBy(name, sealed...))
	b.drain()
}

// collectedBy is the signature of a peer that it has these deposits.
func collectedBy(name string, sealed ...[]byte) *pb.Collected {
	key := identity(name).Key()
	content := &pb.CollectedContent{Key: key[:]}
	for _, s := range sealed {
		id := pb.DepositID(s)
		content.Deposits = append(content.Deposits, id[:])
	}
	return &pb.Collected{Content: identity(name).SignCollected(content)}
}

// deposit is one for a peer.
func deposit(to string, sealed []byte) *pb.Deposit {
	key := identity(to).Key()
	return &pb.Deposit{Receiver: to, ReceiverKey: key[:], Sealed: sealed}
}

// sealedBytes returns n bytes that look sealed.
func sealedBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	src.Read(b)
	return b
}
