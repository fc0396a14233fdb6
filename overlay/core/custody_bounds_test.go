package core

import (
	"fmt"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/route"
	"quicpeer/pb"
)

// The bounds of custody, and the peers that are refused.
func TestCustodyIsBounded(t *testing.T) {
	// All but the last ten are put there at once: to judge each takes a look at all others.
	fill := func(r *rig, depositors, receivers, size, most int) (taken int, last string) {
		sealed := make([]byte, size)
		for i := range most + 10 {
			by, to := byte(i%depositors), uint64(100+i%receivers)
			k := &custody.Kept{
				Kept: base.Kept{Deposit: deposit(to, fmt.Sprint("to", to), sealed), Depositor: certs.ID(fmt.Sprint("by", by)), DepositorKey: certs.PublicKey{by}},
				ID:   [pb.DepositIDSize]byte{byte(i >> 8), byte(i)},
			}
			if i < most-10 {
				r.c.custody.Shelve(k)
			} else {
				last = r.c.custody.Keep(k)
			}
			if last == "" {
				taken++
			}
		}
		return taken, last
	}
	for name, x := range map[string]struct{ depositors, receivers, size, kept int }{
		"of one":         {1, 100, 10, custody.MaxKeptOfOne},
		"bytes of one":   {1, 100, 64 << 10, custody.MaxKeptOfOneB / (64 << 10)},
		"for one":        {100, 1, 10, custody.MaxKeptForOne},
		"bytes for one":  {100, 1, 64 << 10, custody.MaxKeptForOneB / (64 << 10)},
		"in all":         {100, 100, 10, custody.MaxKept},
		"bytes in all":   {100, 100, 64 << 10, custody.MaxKeptB / (64 << 10)},
		"large, not all": {100, 100, pb.MaxDeposit, custody.MaxKeptB / pb.MaxDeposit},
	} {
		r := newRig(t, nil)
		if kept, reason := fill(r, x.depositors, x.receivers, x.size, x.kept); kept != x.kept || reason == "" {
			t.Errorf("%s: %d are kept, not %d: %q", name, kept, x.kept, reason)
		}
	}
}

// A flood of deposits is refused at the rate at which everything is carried.
func TestDepositFlood(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	kept := 0
	for i := range uint64(200) { // all are collected at once, so no other bound is reached
		sealed := sealedBytes(i, pb.MaxDeposit)
		r.receive(bob, deposit(2, "carol", sealed))
		if r.answered().GetKept() {
			kept++
			r.receive(bob, collected(2, nil, sealed))
		}
	}
	if most := route.CarryLink/(pb.MaxDeposit+route.CarryBase) + 2; kept > most || kept < most-2 || len(r.out.Closes) > 0 {
		t.Errorf("%d are kept at once, not %d", kept, most)
	}
}
