package core

import (
	"bytes"
	"slices"
	"testing"
	"time"

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
		id := DepositID(s)
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
func (r *rig) handed(l LinkID) [][]byte {
	var list [][]byte
	for _, m := range r.sentOver(l) {
		if e := m.GetEnvelope(); e != nil && e.GetPart() == 0 {
			list = append(list, e.GetSealed())
		} else if e != nil {
			list[len(list)-1] = append(list[len(list)-1], e.GetSealed()...)
		}
		if e := m.GetEnvelope(); e != nil && e.GetPart() == e.GetParts()-1 {
			if sealed := list[len(list)-1]; EnvelopeNumber(DepositID(sealed)) != e.GetNumber() {
				r.t.Fatalf("handed over as number %x", e.GetNumber())
			}
		}
	}
	return list
}

// comes lets a peer join, with a link, as a neighbour.
func (r *rig) comes(identity uint64, id string) LinkID {
	l := r.neighbour(identity, id)
	r.pass(time.Millisecond)
	return l
}

// stored applies the writes to a store.
func stored(store map[[pb.DepositIDSize]byte]Kept, writes []CustodyWrite) {
	for _, w := range writes {
		if w.Kept == nil {
			delete(store, w.ID)
		} else {
			store[w.ID] = *w.Kept
		}
	}
}

// A deposit is kept until its receiver is here and has signed for it; the receipts go to the
// depositor.
func TestCustody(t *testing.T) {
	r := newRig(t, nil)
	store := make(map[[pb.DepositIDSize]byte]Kept)
	bob := r.neighbour(1, "bob")
	first, second, receipts := sealedBytes(1, pb.MaxDeposit), sealedBytes(2, 10), sealedBytes(3, 99)
	for _, sealed := range [][]byte{first, second, first} { // the last again: it is known
		r.receive(bob, deposit(2, "carol", sealed))
		if id := DepositID(sealed); !r.answered().GetKept() || !bytes.Equal(r.answered().GetDeposit(), id[:]) {
			t.Fatalf("not kept: %v", r.answered())
		}
		stored(store, r.out.Custody)
	}
	if k := store[DepositID(second)]; len(store) != 2 || k.Depositor != "bob" || k.DepositorKey != testIdentity(1).Key() {
		t.Fatalf("stored: %v", store)
	}
	if r.pass(time.Minute); len(r.out.Frames) > 200 || len(r.out.Custody) > 0 {
		t.Error("not idle")
	}
	carol := r.comes(2, "carol")
	if list := r.handed(carol); len(list) != 2 || !bytes.Equal(list[0], first) || !bytes.Equal(list[1], second) {
		t.Fatalf("handed over: %d", len(list))
	}
	last := r.now
	for _, pause := range []time.Duration{2, 4, 8, 16, 30, 30} {
		for again := 0; again == 0 && r.now < last+handAgainAtMost+time.Second; again = len(r.handed(carol)) {
			r.pass(100 * time.Millisecond)
		}
		if late := r.now - last - pause*time.Second; late < -100*time.Millisecond || late > 2*tickEvery {
			t.Errorf("handed over again after %v, not %d s", r.now-last, pause)
		}
		last = r.now
	}
	r.receive(carol, collected(2, receipts, first))
	if stored(store, r.out.Custody); len(store) != 2 || store[DepositID(receipts)].Depositor != "" {
		t.Fatalf("after the first is collected: %d in store", len(store))
	}
	if r.pass(time.Millisecond); len(r.handed(bob)) != 1 || !bytes.Equal(r.handed(bob)[0], receipts) {
		t.Fatalf("receipts are not handed over: %d", len(r.handed(bob)))
	}
	r.receive(bob, collected(1, sealedBytes(4, 9), receipts)) // no receipts for receipts
	r.receive(carol, collected(2, nil, first, second))
	stored(store, r.out.Custody)
	if r.pass(time.Minute); len(r.c.custody.shelves) != 0 || len(r.handed(bob))+len(r.handed(carol)) > 0 {
		t.Errorf("something is left: %v", r.c.custody.shelves)
	}
}

// A deposit for a peer that is here is handed over at once; receipts for a depositor that has
// gone wait for it.
func TestCustodyOfThoseWhoAreHere(t *testing.T) {
	r := newRig(t, nil)
	bob, carol := r.neighbour(1, "bob"), r.neighbour(2, "carol")
	sealed, receipts := sealedBytes(1, 100), sealedBytes(2, 50)
	r.receive(bob, deposit(2, "carol", sealed))
	if r.pass(time.Millisecond); len(r.handed(carol)) != 1 {
		t.Fatal("not handed over at once")
	}
	r.receive(carol, propagation(say(pb.AnnouncementType_LEAVE, 1, "bob", 1000, 5)))
	r.c.Step(r.now, Disconnected{Link: bob, Friendly: true, Why: "bye"})
	r.receive(carol, collected(2, receipts, sealed))
	r.pass(time.Minute)
	bob = r.inbound(1)
	r.receive(bob, start(1, "bob", 2000))
	if r.pass(time.Millisecond); len(r.handed(bob)) != 1 || !bytes.Equal(r.handed(bob)[0], receipts) {
		t.Error("the receipts don't wait")
	}
}

// A new run of the receiver gets everything anew, without a pause.
func TestCustodyOfANewRun(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	r.receive(bob, deposit(2, "carol", []byte("x")))
	carol := r.comes(2, "carol")
	r.pass(20 * time.Second)
	again := r.inbound(2)
	r.receive(again, start(2, "carol", 2000))
	if r.pass(time.Millisecond); len(r.handed(again))+len(r.handed(carol)) != 1 {
		t.Error("not handed over to the new run")
	}
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
		r.c.custody.keep(&kept{Kept: Kept{Deposit: d}, id: DepositID(d.GetSealed())})
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
	if take(); len(got) > handMost/pb.MaxDeposit {
		t.Errorf("%d are handed over at once", len(got))
	}
	for r.now < since+2*handAgain {
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
		if bytes > handMost {
			t.Fatalf("%d bytes at once", bytes)
		}
	}
}

// Receipts go to the depositor of the first deposit named that has one.
func TestReceiptsAmongReceipts(t *testing.T) {
	r := newRig(t, nil)
	store := make(map[[pb.DepositIDSize]byte]Kept)
	alice, carol := r.neighbour(1, "alice"), r.neighbour(2, "carol")
	toAlice, toCarol, ofAlice, ofCarol := sealedBytes(1, 100), sealedBytes(2, 100), sealedBytes(3, 50), sealedBytes(4, 60)
	r.receive(carol, deposit(1, "alice", toAlice))
	r.receive(alice, collected(1, ofAlice, toAlice))
	stored(store, r.out.Custody)
	r.receive(alice, deposit(2, "carol", toCarol))
	stored(store, r.out.Custody)
	r.receive(carol, collected(2, ofCarol, ofAlice, toCarol))
	stored(store, r.out.Custody)
	if k, ok := store[DepositID(ofCarol)]; !ok || k.Deposit.GetReceiver() != "alice" || len(store) != 1 {
		t.Errorf("kept at the end: %v", store)
	}
}

// Deposits of the last run are kept on, in order and by age.
func TestCustodyOfTheLastRun(t *testing.T) {
	var last []Kept
	for i := range uint64(10) {
		k := Kept{deposit(2, "carol", sealedBytes(i, 10)), "bob", testIdentity(1).Key(), time.Duration(i) * time.Hour}
		switch {
		case i == 7:
			k.Age = custodyFor + time.Hour // and others follow it
		case i >= 8:
			k.Depositor, k.DepositorKey, k.Age = "dave", testIdentity(3).Key(), custodyFor+time.Second
		}
		last = append(last, k)
	}
	last[3].Age = last[2].Age // in the order in which they are
	last = append(last, Kept{Deposit: &pb.Deposit{Receiver: "x", ReceiverKey: []byte("short"), Sealed: []byte("x")}})
	r := newRig(t, func(c *Config) { c.Custody = last })
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
	r.now = custodyFor - 2*time.Second
	if r.pass(time.Second); len(r.out.Custody) != 0 {
		t.Errorf("%d are dropped before the last is a day old", len(r.out.Custody))
	}
	if r.pass(2 * time.Second); len(r.out.Custody) != 8 {
		t.Errorf("%d are dropped when the last is a day old", len(r.out.Custody))
	}
	off := newRig(t, func(c *Config) { c.Custody, c.NoCustody = last, true })
	if len(off.out.Custody) != len(last) || len(off.c.custody.shelves) != 0 {
		t.Error("kept though custody is off")
	}
}

// A depositor's deposits are dropped together, a day after the last was taken or left again: the
// receiver would wait for a missing one. Receipts are dropped one by one.
func TestDepositsExpireTogether(t *testing.T) {
	const kept, dropped = true, false
	r := newRig(t, nil)
	store := make(map[[pb.DepositIDSize]byte]Kept)
	leave := func(l LinkID, sealed []byte) bool {
		r.receive(l, deposit(3, "zoe", sealed))
		stored(store, r.out.Custody)
		return r.answered().GetKept()
	}
	var sealed [][]byte
	at := func(hour float64, want ...bool) {
		t.Helper()
		r.now = time.Duration(hour * float64(time.Hour))
		r.pass(tickEvery)
		stored(store, r.out.Custody)
		for i, k := range want {
			if _, ok := store[DepositID(sealed[i])]; ok != k {
				t.Errorf("after %v hours number %d: kept %v", hour, i, ok)
			}
		}
	}
	for i := range uint64(6) {
		sealed = append(sealed, sealedBytes(i, 100))
	}
	alice, bob := r.neighbour(1, "alice"), r.neighbour(2, "bob")
	leave(alice, sealed[0])
	leave(bob, sealed[1])
	at(20, kept, kept)
	leave(alice, sealed[2])
	at(25, kept, dropped, kept)
	leave(alice, sealed[3])
	at(40, kept, dropped, kept, kept)
	leave(alice, sealed[0]) // once more, by another run of it
	at(50, kept, dropped, kept, kept)
	r.receive(alice, collected(3, sealed[5], sealed[2])) // receipts for alice
	stored(store, r.out.Custody)
	at(63.9, kept, dropped, dropped, kept, dropped, kept)
	at(64.1, dropped, dropped, dropped, dropped, dropped, kept)
	at(74.1, dropped, dropped, dropped, dropped, dropped, dropped)
	if len(r.c.custody.shelves) != 0 || len(store) != 0 {
		t.Error("something is left")
	}
	for days := range 8 {
		at(100 + 23*float64(days))
		if !leave(alice, sealedBytes(uint64(100+days), 10)) {
			t.Error("refused though the ones before it are young")
		}
	}
	if at(100 + 7*24 + 0.1); leave(alice, sealed[4]) || !leave(bob, sealed[4]) {
		t.Error("taken behind one kept for a week, or not taken of another depositor")
	}
}

// A Collected counts if the receiver has signed it, for deposits kept for it, and once.
func TestFalseCollected(t *testing.T) {
	sealed, other, receipts := sealedBytes(1, 10), sealedBytes(2, 10), sealedBytes(3, 10)
	word := func(change func(*pb.Collected)) *pb.Routed {
		m := collected(2, receipts, sealed)
		change(m.GetCollected())
		return m
	}
	carol := testIdentity(2).Key()
	id := DepositID(sealed)
	for name, m := range map[string]*pb.Routed{
		"by another":                 collected(3, receipts, sealed),
		"about another's":            collected(2, receipts, other),
		"about what was never there": collected(2, receipts, []byte("x")),
		"a broken signature":         word(func(c *pb.Collected) { c.Content.Signature[1] ^= 1 }),
		"signed by another": word(func(c *pb.Collected) {
			c.Content = testIdentity(3).SignCollected(&pb.CollectedContent{Key: carol[:], Deposits: [][]byte{id[:]}})
		}),
		"nothing":     word(func(c *pb.Collected) { c.Content = testIdentity(2).SignCollected(&pb.CollectedContent{Key: carol[:]}) }),
		"junk":        word(func(c *pb.Collected) { c.Content.Payload = []byte("junk") }),
		"for another": func() *pb.Routed { m := collected(2, receipts, sealed); m.To = "bob"; return m }(),
	} {
		r := newRig(t, nil)
		bob := r.neighbour(1, "bob")
		r.receive(bob, deposit(2, "carol", sealed))
		r.receive(bob, deposit(3, "dave", other))
		if r.receive(bob, m); len(r.out.Custody) != 0 || len(r.c.custody.shelves) != 2 || len(r.out.Closes) > 0 {
			t.Errorf("%s: %v", name, r.out.Custody)
		}
	}
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	r.receive(bob, deposit(2, "carol", sealed))
	for i := range 3 {
		if r.receive(bob, collected(2, receipts, sealed)); len(r.out.Custody) != 2*max(0, 1-i) {
			t.Errorf("time %d: %v", i, r.out.Custody)
		}
	}
}
