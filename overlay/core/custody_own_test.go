package core

import (
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

var (
	oneSealed, twoSealed, threeSealed = []byte("one"), []byte("two"), []byte("three")
)

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
