package core

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// leave is Deposit, drained.
func (r *rig) leave(d *pb.Deposit) bool {
	taken := r.c.Step(r.now, Deposit{Deposit: d}).OK
	r.drain()
	return taken
}

// offered returns the deposits of the last input, and their links.
func (r *rig) offered() (links []LinkID, list []*pb.Deposit) {
	for i, m := range r.frames() {
		if d := m.GetDeposit(); d != nil {
			links, list = append(links, r.out.Frames[i].Link), append(list, d)
		}
	}
	return links, list
}

// answer is a holder's answer.
func (r *rig) answer(l LinkID, sealed []byte, kept bool) {
	id := DepositID(sealed)
	r.receive(l, &pb.DepositAnswer{Deposit: id[:], Kept: kept, Reason: "why"})
}

// crowd makes neighbours named a, b, ...
func (r *rig) crowd(n int) []LinkID {
	var list []LinkID
	for i := range n {
		list = append(list, r.neighbour(20+uint64(i), string(rune('a'+i))))
	}
	return list
}

// wantOffers checks that the deposit is offered on so many links, and returns them.
func (r *rig) wantOffers(n int, sealed []byte) []LinkID {
	r.t.Helper()
	links, list := r.offered()
	if len(links) != n {
		r.t.Fatalf("offered to %d, not %d", len(links), n)
	}
	for _, d := range list {
		if !bytes.Equal(d.GetSealed(), sealed) {
			r.t.Fatal("another deposit is offered")
		}
	}
	return links
}

var (
	oneSealed, twoSealed, threeSealed = []byte("one"), []byte("two"), []byte("three")
)

// Three holders get everything, in order, one deposit after the other.
func TestDepositing(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(6)
	if r.c.DepositsPending() {
		t.Error("pending at first")
	}
	r.leave(deposit(9, "zoe", oneSealed))
	holders := r.wantOffers(wantHolders, oneSealed)
	r.leave(deposit(9, "zoe", twoSealed))
	r.leave(deposit(9, "zoe", oneSealed)) // again
	r.wantOffers(0, nil)
	for i, l := range holders {
		if !r.c.DepositsPending() {
			t.Error("not pending while one is not answered")
		}
		r.answer(l, twoSealed, true) // not asked yet
		r.wantOffers(0, nil)
		r.answer(l, oneSealed, true)
		if next := r.wantOffers(1, twoSealed); next[0] != holders[i] {
			t.Error("offered to another")
		}
		r.answer(l, oneSealed, true) // the same answer twice
		r.wantOffers(0, nil)
	}
	for _, l := range holders {
		r.answer(l, twoSealed, true)
	}
	if r.pass(time.Minute); r.c.DepositsPending() {
		t.Error("pending at the end")
	}
	r.wantOffers(0, nil)
	r.leave(deposit(9, "zoe", threeSealed))
	if r.wantOffers(wantHolders, threeSealed); !r.c.DepositsPending() {
		t.Error("not pending for the next")
	}
	for _, l := range r.c.links.list {
		if l.offered > offerWindow || l.offered < 0 {
			t.Errorf("%d bytes are offered", l.offered)
		}
	}
}

// A holder that refuses, or does not answer, gets nothing more for a minute. Another gets
// everything from the first on.
func TestHoldersThatRefuse(t *testing.T) {
	for name, quiet := range map[string]bool{"refuses": false, "is silent": true} {
		r := newRig(t, nil)
		r.crowd(4)
		r.leave(deposit(9, "zoe", oneSealed))
		holders := r.wantOffers(wantHolders, oneSealed)
		for _, l := range holders {
			r.answer(l, oneSealed, true)
		}
		r.leave(deposit(9, "zoe", twoSealed))
		r.wantOffers(wantHolders, twoSealed)
		r.answer(holders[1], twoSealed, true)
		r.answer(holders[2], twoSealed, true)
		bad := holders[0]
		if quiet {
			r.pass(depositTimeout + tickEvery)
		} else {
			r.answer(bad, twoSealed, false)
		}
		fourth := r.wantOffers(1, oneSealed)[0]
		if fourth == bad {
			t.Fatalf("%s: it is asked again", name)
		}
		r.answer(bad, twoSealed, true) // too late
		r.answer(fourth, oneSealed, true)
		if r.wantOffers(1, twoSealed); !r.c.DepositsPending() {
			t.Errorf("%s: not pending", name)
		}
		r.answer(fourth, twoSealed, false)
		if r.wantOffers(0, nil); r.c.DepositsPending() {
			t.Errorf("%s: pending without anybody left to ask", name)
		}
		r.pass(refusesFor + time.Second)
		if links, _ := r.offered(); len(links) != 1 {
			t.Errorf("%s: %d are asked after a minute", name, len(links))
		}
	}
}

// A holder whose link has ended keeps its deposits; one that has gone does not count any more,
// nor does another run of it.
func TestHoldersThatGo(t *testing.T) {
	for name, x := range map[string]struct {
		happens func(*rig, LinkID, certs.ID, uint64)
		offers  int
	}{
		"the link ends": {func(r *rig, l LinkID, _ certs.ID, _ uint64) {
			r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "x"})
		}, 0},
		"it leaves": {func(r *rig, l LinkID, id certs.ID, key uint64) {
			r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, key, string(id), 1000, 5)))
		}, 1},
		"it is lost": {func(r *rig, l LinkID, id certs.ID, key uint64) {
			r.c.view.miss(r.c.table.get(id, testIdentity(key).Key()))
		}, 1},
		"it starts anew": {func(r *rig, l LinkID, id certs.ID, key uint64) {
			r.receive(r.inbound(key), start(key, string(id), 2000))
		}, 1},
	} {
		r := newRig(t, nil)
		r.crowd(4)
		r.leave(deposit(9, "zoe", oneSealed))
		holders := r.wantOffers(wantHolders, oneSealed)
		for _, l := range holders {
			r.answer(l, oneSealed, true)
		}
		l := r.c.links.link(holders[0])
		id := l.peer
		x.happens(r, l.id, id, 20+uint64(id[0]-'a'))
		r.pass(tickEvery)
		r.wantOffers(x.offers, oneSealed)
		if r.c.DepositsPending() != (x.offers > 0) {
			t.Errorf("%s: pending %v", name, r.c.DepositsPending())
		}
		if x.offers == 0 { // it can't get the next one, so another gets all
			if r.leave(deposit(9, "zoe", twoSealed)); !r.c.DepositsPending() {
				t.Errorf("%s: not pending", name)
			}
			links, list := r.offered()
			whole := 0
			for _, d := range list {
				if bytes.Equal(d.GetSealed(), oneSealed) {
					whole++
				}
			}
			if len(links) != 3 || whole != 1 {
				t.Errorf("%s: %d are asked, %d from the first", name, len(links), whole)
			}
		}
	}
}

// A question over a link that ends is asked again over another one.
func TestDepositOverAnotherLink(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(1)
	r.leave(deposit(9, "zoe", oneSealed))
	l := r.wantOffers(1, oneSealed)[0]
	r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "x"})
	again := r.linked(20, "a")
	r.pass(tickEvery)
	if links := r.wantOffers(1, oneSealed); links[0] != again {
		t.Error("over another link")
	}
}

// When the receiver is here everything is dropped; nothing is left for ourselves, nor for a peer
// that is here.
func TestReceiverIsHere(t *testing.T) {
	r := newRig(t, nil)
	links := r.crowd(2)
	r.leave(deposit(9, "zoe", oneSealed))
	r.answer(links[0], oneSealed, true)
	zoe := r.neighbour(9, "zoe")
	if r.c.DepositsPending() {
		t.Error("pending though the receiver is here")
	}
	r.pass(time.Millisecond)
	if len(r.c.custody.absentees) != 0 || r.c.custody.own != 0 || r.c.custody.ownBytes != 0 || r.c.links.link(links[1]).offered != 0 {
		t.Errorf("something is left: %+v", r.c.custody)
	}
	r.answer(links[1], oneSealed, true)
	if r.leave(deposit(9, "zoe", twoSealed)) || r.leave(deposit(0, "self", twoSealed)) {
		t.Error("taken for a peer that is here")
	}
	if r.wantOffers(0, nil); len(r.c.custody.absentees) != 0 {
		t.Error("left for a peer that is here")
	}
	r.receive(zoe, propagation(say(pb.AnnouncementType_LEAVE, 9, "zoe", 1000, 5)))
	r.leave(deposit(9, "zoe", oneSealed))
	for _, l := range r.wantOffers(2, oneSealed) {
		if l == zoe {
			t.Error("left with the receiver itself")
		}
	}
}

// With custody off nothing is left with others; and a peer that leaves leaves nothing.
func TestNothingIsLeft(t *testing.T) {
	off := newRig(t, func(c *Config) { c.NoCustody = true })
	leaving := newRig(t, nil)
	for _, r := range []*rig{off, leaving} {
		r.crowd(2)
	}
	leaving.leave(deposit(9, "zoe", oneSealed))
	leaving.c.Step(leaving.now, Leave{})
	leaving.drain()
	for _, r := range []*rig{off, leaving} {
		taken := r.leave(deposit(9, "zoe", twoSealed))
		if r.wantOffers(0, nil); taken || r.c.DepositsPending() {
			t.Error("taken, or pending")
		}
		if r.leave(&pb.Deposit{Receiver: "zoe", Sealed: []byte("x")}) { // no key
			t.Error("taken without a key")
		}
	}
}

// Deposits have no gap: behind a refused one none is taken, until all are dropped.
func TestNothingIsLeftBehindARefusal(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(4)
	const size = 64<<10 - 1
	for i := range uint64(maxOwnForOneB / size) {
		if !r.leave(deposit(9, "zoe", sealedBytes(i, size))) {
			t.Fatalf("number %d is not taken", i)
		}
	}
	if r.leave(deposit(9, "zoe", sealedBytes(99, size))) {
		t.Error("taken above the bound")
	}
	if r.leave(deposit(9, "zoe", oneSealed)) {
		t.Error("a small one is taken behind a refused one")
	}
	if !r.leave(deposit(9, "zoe", sealedBytes(0, size))) || !r.leave(deposit(8, "yan", oneSealed)) {
		t.Error("a known deposit is refused, or one for another receiver")
	}
	zoe := r.neighbour(9, "zoe")
	r.pass(time.Millisecond)
	r.receive(zoe, propagation(say(pb.AnnouncementType_LEAVE, 9, "zoe", 1000, 5)))
	if !r.leave(deposit(9, "zoe", oneSealed)) {
		t.Error("not taken after all were dropped")
	}
}

// Old deposits are dropped before their holders drop them, and left anew.
func TestLeftAnew(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(1)
	r.leave(deposit(9, "zoe", oneSealed))
	l := r.wantOffers(1, oneSealed)[0]
	r.answer(l, oneSealed, true)
	r.now += leftFor - time.Minute
	r.pass(time.Second)
	r.leave(deposit(9, "zoe", twoSealed))
	r.wantOffers(1, twoSealed)
	if r.pass(time.Second); len(r.out.Releave) != 0 {
		t.Error("left anew too soon")
	}
	r.now += time.Minute
	if r.pass(time.Second); !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) || len(r.c.custody.absentees) != 0 || r.c.links.link(l).offered != 0 {
		t.Errorf("to be left anew: %v", r.out.Releave)
	}
	r.leave(deposit(9, "zoe", threeSealed))
	r.wantOffers(1, threeSealed)
	r.neighbour(9, "zoe")
	r.now += leftFor + time.Minute
	if r.pass(time.Second); len(r.out.Releave) != 0 {
		t.Error("to be left anew for a peer that is here")
	}
}

// A withdrawn deposit is not offered any more, and the rest is left anew, soon and once for
// several withdrawals.
func TestWithdrawn(t *testing.T) {
	r := newRig(t, nil)
	l := r.crowd(1)[0]
	r.leave(deposit(9, "zoe", oneSealed))
	r.leave(deposit(9, "zoe", twoSealed))
	r.answer(l, oneSealed, true)
	withdraw := func(receiver certs.ID, rest bool) {
		r.c.Step(r.now, Withdraw{Receiver: receiver, Rest: rest})
		r.drain()
	}
	withdraw("zoe", true)
	if r.c.custody.own != 0 || r.c.custody.ownBytes != 0 || r.c.links.link(l).offered != 0 || !r.c.DepositsPending() {
		t.Errorf("after a withdrawal: %+v", r.c.custody)
	}
	if r.answer(l, twoSealed, true); r.c.custody.own != 0 || len(r.out.Releave) != 0 {
		t.Errorf("after a late answer: %+v", r.out.Releave)
	}
	if r.leave(deposit(9, "zoe", threeSealed)) {
		t.Error("a deposit is taken before the rest is left anew")
	}
	r.neighbour(30, "new")
	r.pass(withdrawPause / 2)
	withdraw("zoe", true)
	if _, list := r.offered(); len(list) != 0 || len(r.out.Releave) != 0 {
		t.Errorf("offered at once: %v, to be left anew: %v", list, r.out.Releave)
	}
	r.pass(withdrawPause/2 + time.Second/4)
	if !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) || len(r.c.custody.absentees) != 0 {
		t.Errorf("to be left anew: %v", r.out.Releave)
	}
	if !r.leave(deposit(9, "zoe", threeSealed)) {
		t.Error("not taken when it is left anew")
	}
	r.wantOffers(2, threeSealed)

	if withdraw("zoe", false); len(r.c.custody.absentees) != 0 || len(r.out.Releave) != 0 {
		t.Errorf("after the last was withdrawn: %v", r.out.Releave)
	}
	if withdraw("zoe", true); !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) {
		t.Errorf("after withdrawing an unknown deposit: %v", r.out.Releave)
	}
	r.leave(deposit(9, "zoe", oneSealed))
	withdraw("zoe", true)
	r.neighbour(9, "zoe")
	if r.pass(2 * withdrawPause); len(r.out.Releave) != 0 || len(r.c.custody.absentees) != 0 {
		t.Errorf("to be left anew for a peer that is here: %v", r.out.Releave)
	}
}

// The time of a sleep counts, since the holders were awake: after a long one all is left anew.
func TestLeftAgainAfterSleep(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(1)
	r.leave(deposit(9, "zoe", oneSealed))
	l := r.wantOffers(1, oneSealed)[0]
	r.answer(l, oneSealed, true)
	r.c.Step(r.now, Slept{For: time.Hour})
	if r.pass(time.Second); len(r.out.Releave) != 0 {
		t.Errorf("after an hour to be left anew: %v", r.out.Releave)
	}
	r.c.Step(r.now, Slept{For: leftFor - time.Hour})
	if r.pass(time.Second); !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) {
		t.Errorf("to be left anew: %v", r.out.Releave)
	}
}

// A receiver for which nothing could be left has its turn again, and nobody waits for it on leaving.
func TestRefusedIsLeftAnew(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(1)
	r.c.custody.own = maxOwn
	if r.leave(deposit(9, "zoe", oneSealed)) || r.c.DepositsPending() {
		t.Error("taken, or pending")
	}
	r.c.custody.own = 0
	r.now += leftFor
	if r.pass(time.Second); !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) || !r.leave(deposit(9, "zoe", oneSealed)) {
		t.Errorf("to be left anew: %v", r.out.Releave)
	}
}

// Our deposits are bounded, and so are those that wait on a link.
func TestOwnDepositsAreBounded(t *testing.T) {
	for name, x := range map[string]struct{ receivers, size, kept int }{
		"for one":       {1, 10, maxOwnForOne},
		"bytes for one": {1, 64 << 10, maxOwnForOneB / (64 << 10)},
		"receivers":     {maxAbsentees + 10, 10, maxAbsentees},
		"in all":        {20, 10, maxOwn},
		"bytes in all":  {20, 64 << 10, maxOwnB / (64 << 10)},
	} {
		r := newRig(t, nil)
		r.crowd(4)
		sealed := make([]byte, x.size)
		for i := range x.kept + 10 {
			to := i % x.receivers
			copy(sealed, fmt.Sprint(i))
			r.leave(&pb.Deposit{Receiver: fmt.Sprint("to", to), ReceiverKey: fmt.Appendf(nil, "%032d", to), Sealed: sealed})
		}
		have, bytes := 0, 0
		for _, a := range r.c.custody.absentees {
			have += len(a.deposits)
			bytes += a.bytes
		}
		if have != x.kept || have != r.c.custody.own || bytes != r.c.custody.ownBytes || bytes != have*x.size {
			t.Errorf("%s: %d are taken, %d counted, %d bytes", name, have, r.c.custody.own, bytes)
		}
		for _, l := range r.c.links.list {
			if l.offered > offerWindow {
				t.Errorf("%s: %d bytes on a link", name, l.offered)
			}
		}
		r.now += custodyFor
		if r.pass(time.Second); r.c.custody.own != 0 || r.c.custody.ownBytes != 0 {
			t.Errorf("%s: %d are left after a day", name, r.c.custody.own)
		}
		for _, l := range r.c.links.list {
			if l.offered != 0 {
				t.Errorf("%s: %d bytes are offered after a day", name, l.offered)
			}
		}
	}
}
