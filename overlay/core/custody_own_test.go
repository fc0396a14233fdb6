package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/pb"
)

// leave is Deposit, drained.
func (r *rig) leave(d *pb.Deposit) bool {
	taken := r.c.Step(r.now, Deposit{Deposit: d}).OK
	r.drain()
	return taken
}

// crowd makes neighbours named a, b, ...
func (r *rig) crowd(n int) []base.LinkID {
	var list []base.LinkID
	for i := range n {
		list = append(list, r.neighbour(20+uint64(i), string(rune('a'+i))))
	}
	return list
}

var oneSealed = []byte("one")

// Deposits have no gap: behind a refused one none is taken, until all are dropped.
func TestNothingIsLeftBehindARefusal(t *testing.T) {
	r := newRig(t, nil)
	r.crowd(4)
	const size = 64<<10 - 1
	for i := range uint64(custody.MaxOwnForOneB / size) {
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
	r.c.custody.Own = custody.MaxOwn
	if r.leave(deposit(9, "zoe", oneSealed)) || r.c.DepositsPending() {
		t.Error("taken, or pending")
	}
	r.c.custody.Own = 0
	r.now += custody.LeftFor
	if r.pass(time.Second); !slices.Equal(r.out.Releave, []certs.ID{"zoe"}) || !r.leave(deposit(9, "zoe", oneSealed)) {
		t.Errorf("to be left anew: %v", r.out.Releave)
	}
}

// Our deposits are bounded, and so are those that wait on a link.
func TestOwnDepositsAreBounded(t *testing.T) {
	for name, x := range map[string]struct{ receivers, size, kept int }{
		"for one":       {1, 10, custody.MaxOwnForOne},
		"bytes for one": {1, 64 << 10, custody.MaxOwnForOneB / (64 << 10)},
		"receivers":     {custody.MaxAbsentees + 10, 10, custody.MaxAbsentees},
		"in all":        {20, 10, custody.MaxOwn},
		"bytes in all":  {20, 64 << 10, custody.MaxOwnB / (64 << 10)},
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
		for _, a := range r.c.custody.Absentees {
			have += len(a.Deposits)
			bytes += a.Bytes
		}
		if have != x.kept || have != r.c.custody.Own || bytes != r.c.custody.OwnBytes || bytes != have*x.size {
			t.Errorf("%s: %d are taken, %d counted, %d bytes", name, have, r.c.custody.Own, bytes)
		}
		for _, l := range r.c.links.List {
			if l.Offered > custody.OfferWindow {
				t.Errorf("%s: %d bytes on a link", name, l.Offered)
			}
		}
		r.now += custody.CustodyFor
		if r.pass(time.Second); r.c.custody.Own != 0 || r.c.custody.OwnBytes != 0 {
			t.Errorf("%s: %d are left after a day", name, r.c.custody.Own)
		}
		for _, l := range r.c.links.List {
			if l.Offered != 0 {
				t.Errorf("%s: %d bytes are offered after a day", name, l.Offered)
			}
		}
	}
}
