package core

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/pb"
)

// deposit is a deposit for a test identity.
func deposit(identity uint64, id string, sealed []byte) *pb.Deposit {
	key := testIdentity(identity).Key()
	return &pb.Deposit{Receiver: id, ReceiverKey: key[:], Sealed: sealed}
}

// collected is the signature of a test identity that it has these deposits.
func collected(identity uint64, receipts []byte, sealed ...[]byte) *pb.Routed {
	key := testIdentity(identity).Key()
	content := &pb.CollectedContent{Key: key[:]}
	for _, s := range sealed {
		id := custody.DepositID(s)
		content.Deposits = append(content.Deposits, id[:])
	}
	return &pb.Routed{From: "whoever", To: "self", Content: &pb.Routed_Collected{
		Collected: &pb.Collected{Content: testIdentity(identity).SignCollected(content), Receipts: receipts},
	}}
}

// answered returns the answer to a deposit in the last input.
func (r *rig) answered() *pb.DepositAnswer {
	r.t.Helper()
	for _, m := range r.frames() {
		if a := m.GetDepositAnswer(); a != nil {
			return a
		}
	}
	r.t.Fatal("a deposit is not answered")
	return nil
}

// handed returns the complete envelopes of the last input on a link.
func (r *rig) handed(l base.LinkID) [][]byte {
	var list [][]byte
	for _, m := range r.sentOver(l) {
		if e := m.GetEnvelope(); e != nil && e.GetPart() == 0 {
			list = append(list, e.GetSealed())
		} else if e != nil {
			list[len(list)-1] = append(list[len(list)-1], e.GetSealed()...)
		}
		if e := m.GetEnvelope(); e != nil && e.GetPart() == e.GetParts()-1 {
			if sealed := list[len(list)-1]; custody.EnvelopeNumber(custody.DepositID(sealed)) != e.GetNumber() {
				r.t.Fatalf("handed over as number %x", e.GetNumber())
			}
		}
	}
	return list
}

// comes lets a peer join, with a link, as a neighbour.
func (r *rig) comes(identity uint64, id string) base.LinkID {
	l := r.neighbour(identity, id)
	r.pass(time.Millisecond)
	return l
}

// A window limits the bytes on their way to a receiver; the rest follows when they are collected.
func TestHandWindow(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	var all [][]byte
	for i := range uint64(7) {
		all = append(all, sealedBytes(i, pb.MaxDeposit))
		r.receive(bob, deposit(2, "carol", all[i]))
	}
	carol := r.comes(2, "carol")
	got := 0
	for _, want := range []int{2, 2, 2, 1, 0} {
		list := r.handed(carol)
		if len(list) != want {
			t.Fatalf("%d at a time, not %d", len(list), want)
		}
		for _, sealed := range list {
			if !bytes.Equal(sealed, all[got]) {
				t.Fatal("out of order")
			}
			got++
		}
		r.receive(carol, collected(2, nil, list...))
		r.pass(time.Millisecond)
	}
}

// Deposits that a receiver does not collect delay only those of the same depositor, and receipts
// not for ever.
func TestHandingOverGarbage(t *testing.T) {
	r := newRig(t, nil)
	mallory, alice := r.neighbour(3, "mallory"), r.neighbour(1, "alice")
	for i := range uint64(3) { // two fill its window
		r.receive(mallory, deposit(2, "carol", sealedBytes(50+i, pb.MaxDeposit)))
	}
	for i := range uint64(13) { // as receipts, which may be garbage too
		d := deposit(2, "carol", sealedBytes(60+i, pb.MaxDeposit))
		r.c.custody.Keep(&custody.Kept{Kept: base.Kept{Deposit: d}, ID: custody.DepositID(d.GetSealed())})
	}
	good := [][]byte{sealedBytes(1, pb.MaxDeposit), sealedBytes(2, 10), sealedBytes(3, 10)}
	for _, sealed := range good {
		r.receive(alice, deposit(2, "carol", sealed))
	}
	carol := r.comes(2, "carol")
	var got [][]byte
	since := r.now
	take := func() {
		for _, sealed := range r.handed(carol) {
			if !slices.ContainsFunc(got, func(b []byte) bool { return bytes.Equal(b, sealed) }) {
				got = append(got, sealed)
			}
		}
	}
	if take(); len(got) > custody.HandMost/pb.MaxDeposit {
		t.Errorf("%d are handed over at once", len(got))
	}
	for r.now < since+2*custody.HandAgain {
		r.pass(tickEvery)
		take()
	}
	place := func(sealed []byte) int {
		return slices.IndexFunc(got, func(b []byte) bool { return bytes.Equal(b, sealed) })
	}
	if a, b, c := place(good[0]), place(good[1]), place(good[2]); a < 0 || b < a || c < b {
		t.Errorf("handed over at the places %d, %d and %d", a, b, c)
	}
	if place(sealedBytes(52, pb.MaxDeposit)) >= 0 {
		t.Error("three of mallory's are on their way")
	}
	for i := range uint64(13) {
		if place(sealedBytes(60+i, pb.MaxDeposit)) < 0 {
			t.Errorf("receipts %d wait for others", i)
		}
	}
	for r.now < since+5*time.Minute { // all goes on, more seldom
		r.pass(tickEvery)
		bytes := 0
		for _, sealed := range r.handed(carol) {
			bytes += len(sealed)
		}
		if bytes > custody.HandMost {
			t.Fatalf("%d bytes at once", bytes)
		}
	}
}

// Deposits of the last run are kept on, in order and by age.
func TestCustodyOfTheLastRun(t *testing.T) {
	var last []base.Kept
	for i := range uint64(10) {
		k := base.Kept{Deposit: deposit(2, "carol", sealedBytes(i, 10)), Depositor: "bob", DepositorKey: testIdentity(1).Key(), Age: time.Duration(i) * time.Hour}
		switch {
		case i == 7:
			k.Age = custody.CustodyFor + time.Hour // and others follow it
		case i >= 8:
			k.Depositor, k.DepositorKey, k.Age = "dave", testIdentity(3).Key(), custody.CustodyFor+time.Second
		}
		last = append(last, k)
	}
	last[3].Age = last[2].Age // in the order in which they are
	last = append(last, base.Kept{Deposit: &pb.Deposit{Receiver: "x", ReceiverKey: []byte("short"), Sealed: []byte("x")}})
	r := newRig(t, func(c *base.Config) { c.Custody = last })
	if len(r.out.Custody) != 3 || r.out.Custody[0].Kept != nil {
		t.Errorf("at the start: %v", r.out.Custody)
	}
	carol := r.comes(2, "carol")
	var order []byte
	for _, sealed := range r.handed(carol) {
		for i := range last {
			if bytes.Equal(sealed, last[i].Deposit.GetSealed()) {
				order = append(order, byte(i))
			}
		}
	}
	if want := []byte{7, 6, 5, 4, 2, 3, 1, 0}; !bytes.Equal(order, want) {
		t.Errorf("handed over in the order %v", order)
	}
	r.now = custody.CustodyFor - 2*time.Second
	if r.pass(time.Second); len(r.out.Custody) != 0 {
		t.Errorf("%d are dropped before the last is a day old", len(r.out.Custody))
	}
	if r.pass(2 * time.Second); len(r.out.Custody) != 8 {
		t.Errorf("%d are dropped when the last is a day old", len(r.out.Custody))
	}
	off := newRig(t, func(c *base.Config) { c.Custody, c.NoCustody = last, true })
	if len(off.out.Custody) != len(last) || len(off.c.custody.Shelves) != 0 {
		t.Error("kept though custody is off")
	}
}
