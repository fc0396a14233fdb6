package custody

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/route"
	"quicpeer/pb"
)

// keptOf is a deposit of a peer; of nobody: receipts.
func keptOf(by string, d *pb.Deposit) *kept {
	k := &kept{Kept: base.Kept{Deposit: d}, ID: pb.DepositID(d.GetSealed())}
	if by != "" {
		k.Depositor, k.DepositorKey = certs.ID(by), identity(by).Key()
	}
	return k
}

// TestCustodyIsBounded: the bounds of one depositor, of one receiver, and of all.
func TestCustodyIsBounded(t *testing.T) {
	for name, x := range map[string]struct{ depositors, receivers, size, kept int }{
		"of one":         {1, 100, 10, maxKeptOfOne},
		"bytes of one":   {1, 100, 64 << 10, maxKeptOfOneB / (64 << 10)},
		"for one":        {100, 1, 10, maxKeptForOne},
		"bytes for one":  {100, 1, 64 << 10, maxKeptForOneB / (64 << 10)},
		"in all":         {100, 100, 10, maxKept},
		"bytes in all":   {100, 100, 64 << 10, maxKeptB / (64 << 10)},
		"large, not all": {100, 100, pb.MaxDeposit, maxKeptB / pb.MaxDeposit},
	} {
		b := newBox(t, nil)
		sealed, taken, last := make([]byte, x.size), 0, ""
		for i := range x.kept + 10 {
			by, to := byte(i%x.depositors), i%x.receivers
			k := &kept{
				Kept: base.Kept{
					Deposit:   &pb.Deposit{Receiver: fmt.Sprint("to", to), ReceiverKey: fmt.Appendf(nil, "%032d", to), Sealed: sealed},
					Depositor: certs.ID(fmt.Sprint("by", by)), DepositorKey: certs.PublicKey{by},
				},
				ID: [pb.DepositIDSize]byte{byte(i >> 8), byte(i)},
			}
			if i < x.kept-10 { // put there at once: to judge each takes a look at all others
				b.shelve(k)
			} else {
				last = b.keep(k)
			}
			if last == "" {
				taken++
			}
		}
		if taken != x.kept || last == "" {
			t.Errorf("%s: %d are kept, not %d: %q", name, taken, x.kept, last)
		}
	}
}

// TestDepositFlood: a flood of deposits is refused at the rate at which everything is carried.
func TestDepositFlood(t *testing.T) {
	b := newBox(t, nil)
	bob := b.comes("bob", 1)
	kept := 0
	for i := range uint64(200) { // all are collected at once, so no other bound is reached
		sealed := sealedBytes(i, pb.MaxDeposit)
		if b.takes(bob, deposit("carol", sealed)) == "" {
			kept++
			b.signs("carol", sealed)
		}
	}
	if most := route.CarryLink/(pb.MaxDeposit+route.CarryBase) + 2; kept > most || kept < most-2 || len(b.out.Closes) > 0 {
		t.Errorf("%d are kept at once, not %d", kept, most)
	}
}

// TestKeptForAWeek: nothing is taken behind what has been kept for a week, however often the
// depositor goes on; of others, and for others, it is.
func TestKeptForAWeek(t *testing.T) {
	b := newBox(t, nil)
	bob, dave := b.comes("bob", 1), b.comes("dave", 1)
	first := sealedBytes(0, 10)
	for n := uint64(0); b.Now < custodyBehind; n++ {
		if why := b.takes(bob, deposit("carol", sealedBytes(n, 10))); why != "" {
			t.Fatalf("refused after %v: %s", b.Now, why)
		}
		b.pass(custodyFor - time.Hour)
	}
	next := deposit("carol", sealedBytes(99, 10))
	if b.takes(bob, next) == "" {
		t.Error("taken behind one that has been kept for a week")
	}
	for n := range uint64(2) {
		if why := b.takes(bob, deposit("carol", sealedBytes(n, 10))); why != "" {
			t.Errorf("the one with number %d is refused when it is left again: %s", n, why)
		}
	}
	if b.takes(dave, deposit("carol", sealedBytes(98, 10))) != "" || b.takes(bob, deposit("erin", sealedBytes(97, 10))) != "" {
		t.Error("refused though nothing is before it")
	}
	b.signs("carol", first)
	if why := b.takes(bob, next); why != "" {
		t.Errorf("refused when the old one has been collected: %s", why)
	}
}

// TestHandWindow: a window limits the bytes on their way to a receiver; the rest follows when they
// are collected.
func TestHandWindow(t *testing.T) {
	b := newBox(t, nil)
	bob := b.comes("bob", 1)
	var all [][]byte
	for i := range uint64(7) {
		all = append(all, sealedBytes(i, pb.MaxDeposit))
		b.takes(bob, deposit("carol", all[i]))
	}
	carol := b.comes("carol", 1)
	for _, want := range []int{2, 2, 2, 1, 0} {
		b.pass(time.Millisecond)
		list := b.handed(carol)
		if !slices.EqualFunc(list, all[:want], bytes.Equal) {
			t.Fatalf("%d at a time, not the next %d", len(list), want)
		}
		all = all[want:]
		b.signs("carol", list...)
	}
}

// TestHandingOverGarbage: deposits that a receiver does not collect delay only those of the same
// depositor, and receipts not for ever.
func TestHandingOverGarbage(t *testing.T) {
	b := newBox(t, nil)
	mallory, alice := b.comes("mallory", 1), b.comes("alice", 1)
	for i := range uint64(3) { // two fill its window
		b.takes(mallory, deposit("carol", sealedBytes(50+i, pb.MaxDeposit)))
	}
	for i := range uint64(13) { // as receipts, which may be garbage too
		b.keep(keptOf("", deposit("carol", sealedBytes(60+i, pb.MaxDeposit))))
	}
	good := [][]byte{sealedBytes(1, pb.MaxDeposit), sealedBytes(2, 10), sealedBytes(3, 10)}
	for _, sealed := range good {
		b.takes(alice, deposit("carol", sealed))
	}
	carol := b.comes("carol", 1)
	var got [][]byte
	place := func(sealed []byte) int {
		return slices.IndexFunc(got, func(b []byte) bool { return bytes.Equal(b, sealed) })
	}
	for b.Now < 2*handAgain {
		b.pass(handAgain / 8)
		size := 0
		for _, sealed := range b.handed(carol) {
			if size += len(sealed); place(sealed) < 0 {
				got = append(got, sealed)
			}
		}
		if size > handMost {
			t.Errorf("%d bytes are handed over at once", size)
		}
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
	for b.Now < 5*time.Minute { // all goes on, more seldom
		b.pass(handAgain / 8)
		size := 0
		for _, sealed := range b.handed(carol) {
			size += len(sealed)
		}
		if size > handMost {
			t.Fatalf("%d bytes at once", size)
		}
	}
}

// TestCustodyOfTheLastRun: deposits of the last run are kept on, in order and by age.
func TestCustodyOfTheLastRun(t *testing.T) {
	var last []base.Kept
	for i := range uint64(10) {
		k := keptOf("bob", deposit("carol", sealedBytes(i, 10))).Kept
		k.Age = time.Duration(i) * time.Hour
		switch {
		case i == 7:
			k.Age = custodyFor + time.Hour // and others follow it
		case i >= 8:
			k.Depositor, k.DepositorKey, k.Age = "dave", identity("dave").Key(), custodyFor+time.Second
		}
		last = append(last, k)
	}
	last[3].Age = last[2].Age // in the order in which they are
	last = append(last, base.Kept{Deposit: &pb.Deposit{Receiver: "x", ReceiverKey: []byte("short"), Sealed: []byte("x")}})
	b := newBox(t, func(c *base.Config) { c.Custody = last })
	if len(b.out.Custody) != 3 || b.out.Custody[0].Kept != nil {
		t.Errorf("at the start: %v", b.out.Custody)
	}
	carol := b.comes("carol", 1)
	b.pass(0)
	var order []byte
	for _, sealed := range b.handed(carol) {
		order = append(order, byte(slices.IndexFunc(last, func(k base.Kept) bool { return bytes.Equal(k.Deposit.GetSealed(), sealed) })))
	}
	if want := []byte{7, 6, 5, 4, 2, 3, 1, 0}; !bytes.Equal(order, want) {
		t.Errorf("handed over in the order %v", order)
	}
	if b.pass(custodyFor - time.Second); len(b.out.Custody) != 0 {
		t.Errorf("%d are dropped before the last is a day old", len(b.out.Custody))
	}
	if b.pass(time.Second); len(b.out.Custody) != 8 {
		t.Errorf("%d are dropped when the last is a day old", len(b.out.Custody))
	}
	off := newBox(t, func(c *base.Config) { c.Custody, c.NoCustody = last, true })
	if len(off.out.Custody) != len(last) || len(off.Shelves) != 0 {
		t.Error("kept though custody is off")
	}
}

// TestDepositsExpireTogether: whatever is left, left again and collected, the deposits of one
// peer for another go together, a day after the last was left, and receipts one by one; and what
// is to be stored is what is kept.
func TestDepositsExpireTogether(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		b := newBox(t, nil)
		type key struct{ by, to string }
		left := make(map[key]map[string]time.Duration) // by what was left, when it was last
		stored := make(map[[pb.DepositIDSize]byte]bool)
		for range 40 {
			k := key{[]string{"bob", "dave", ""}[rnd.IntN(3)], []string{"carol", "erin"}[rnd.IntN(2)]}
			text := fmt.Sprint(k, rnd.IntN(4))
			if group := left[k]; rnd.IntN(4) > 0 {
				_, again := group[text]
				if why := b.keep(&kept{Kept: keptOf(k.by, deposit(k.to, []byte(text))).Kept, ID: pb.DepositID([]byte(text)), since: b.Now}); why != "" {
					t.Fatalf("seed %d: %q is refused: %s", seed, text, why)
				}
				if group == nil {
					left[k] = make(map[string]time.Duration)
				}
				if !again || k.by != "" { // the same receipts do not come twice
					left[k][text] = b.Now
				}
			} else {
				b.ReceiveCollected(collectedBy(k.to, []byte(text)))
				delete(group, text)
			}
			b.Now += time.Duration(rnd.Int64N(int64(10 * time.Hour)))
			b.HandOver()
			for k, group := range left {
				latest := time.Duration(0)
				for _, at := range group {
					latest = max(latest, at)
				}
				maps.DeleteFunc(group, func(_ string, at time.Duration) bool {
					return b.Now >= latest+custodyFor || k.by == "" && b.Now >= at+custodyFor
				})
			}
			for _, w := range b.Out.Custody {
				if stored[w.ID] = w.Kept != nil; w.Kept == nil {
					delete(stored, w.ID)
				}
			}
			want := 0
			for _, group := range left {
				for text := range group {
					if want++; !stored[pb.DepositID([]byte(text))] {
						t.Fatalf("seed %d: %q is dropped after %v", seed, text, b.Now)
					}
				}
			}
			have := 0
			for _, s := range b.Shelves {
				have += len(s.Deposits)
			}
			if have != want || len(stored) != want {
				t.Fatalf("seed %d: after %v %d are kept and %d stored, not %d", seed, b.Now, have, len(stored), want)
			}
			b.drain()
		}
	}
}
