package custody

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

var oneSealed = []byte("one")

// crowd makes neighbours named a, b, ...
func (b *box) crowd(n int) {
	for i := range n {
		b.comes(string(rune('a'+i)), 1)
	}
}

// TestNothingIsLeftBehindARefusal: deposits have no gap: behind a refused one none is taken, until
// all are dropped.
func TestNothingIsLeftBehindARefusal(t *testing.T) {
	b := newBox(t, nil)
	b.crowd(4)
	const size = 64<<10 - 1
	for i := range uint64(maxOwnForOneB / size) {
		if !b.leave(deposit("zoe", sealedBytes(i, size))) {
			t.Fatalf("number %d is not taken", i)
		}
	}
	if b.leave(deposit("zoe", sealedBytes(99, size))) {
		t.Error("taken above the bound")
	}
	if b.leave(deposit("zoe", oneSealed)) {
		t.Error("a small one is taken behind a refused one")
	}
	if !b.leave(deposit("zoe", sealedBytes(0, size))) || !b.leave(deposit("yan", oneSealed)) {
		t.Error("a known deposit is refused, or one for another receiver")
	}
	zoe := b.comes("zoe", 1)
	b.pass(time.Millisecond)
	b.goes(zoe)
	if !b.leave(deposit("zoe", oneSealed)) {
		t.Error("not taken after all were dropped")
	}
}

// TestRefusedIsLeftAnew: a receiver for which nothing could be left has its turn again, and nobody
// waits for it on leaving.
func TestRefusedIsLeftAnew(t *testing.T) {
	b := newBox(t, nil)
	b.crowd(1)
	b.Own = maxOwn
	if b.leave(deposit("zoe", oneSealed)) || b.DepositsPending() {
		t.Error("taken, or pending")
	}
	b.Own = 0
	if b.pass(leftFor); !slices.Equal(b.out.Releave, []certs.ID{"zoe"}) || !b.leave(deposit("zoe", oneSealed)) {
		t.Errorf("to be left anew: %v", b.out.Releave)
	}
}

// TestDepositsPending: a peer that wants to leave waits while a deposit may still reach a holder.
func TestDepositsPending(t *testing.T) {
	id := pb.DepositID(oneSealed)
	keeps := &pb.DepositAnswer{Deposit: id[:], Kept: true}
	refuses := &pb.DepositAnswer{Deposit: id[:], Reason: "full"}
	for _, test := range []struct {
		name    string
		happens func(b *box, holder *link.Link)
		pending bool
	}{
		{"the holder has not answered", func(*box, *link.Link) {}, true},
		{"it keeps the deposit", func(b *box, holder *link.Link) {
			b.ReceiveDepositAnswer(holder, keeps)
		}, false},
		{"it keeps the deposit, and another is there", func(b *box, holder *link.Link) {
			b.ReceiveDepositAnswer(holder, keeps)
			b.comes("b", 1)
		}, true},
		{"three keep the deposit, and a fourth is there", func(b *box, _ *link.Link) {
			for _, name := range []string{"b", "c", "d"} {
				b.comes(name, 1)
			}
			b.pass(time.Millisecond)
			for _, l := range b.links.List {
				b.ReceiveDepositAnswer(l, keeps)
			}
		}, false},
		{"it refuses", func(b *box, holder *link.Link) {
			b.ReceiveDepositAnswer(holder, refuses)
		}, false},
		{"it refuses, and there is another", func(b *box, holder *link.Link) {
			b.ReceiveDepositAnswer(holder, refuses)
			b.comes("b", 1)
		}, true},
		{"its link ends", func(b *box, holder *link.Link) {
			b.ends(holder)
			b.pass(time.Millisecond)
		}, false},
		{"the receiver is here", func(b *box, _ *link.Link) { b.comes("zoe", 1) }, false},
		{"the rest is soon left anew", func(b *box, _ *link.Link) { b.Withdraw("zoe", true, false) }, true},
		{"nothing is left after a withdrawal", func(b *box, _ *link.Link) { b.Withdraw("zoe", false, false) }, false},
		{"we are leaving", func(b *box, _ *link.Link) { b.Leaving = true }, false},
	} {
		b := newBox(t, nil)
		holder := b.comes("a", 1)
		if b.DepositsPending() {
			t.Fatal("pending at first")
		}
		b.leave(deposit("zoe", oneSealed))
		test.happens(b, holder)
		if pending := b.DepositsPending(); pending != test.pending {
			t.Errorf("%s: pending %v", test.name, pending)
		}
	}
}

// TestPendingUntilLeftAnew: the rest that follows a withdrawal is pending until the driver is told
// to leave it anew.
func TestPendingUntilLeftAnew(t *testing.T) {
	b := newBox(t, nil)
	b.crowd(1)
	b.leave(deposit("zoe", oneSealed))
	b.Withdraw("zoe", true, false)
	if b.pass(withdrawPause - time.Millisecond); !b.DepositsPending() || len(b.out.Releave) > 0 {
		t.Errorf("to be left anew: %v", b.out.Releave)
	}
	if b.pass(time.Millisecond); b.DepositsPending() || !slices.Equal(b.out.Releave, []certs.ID{"zoe"}) {
		t.Errorf("to be left anew at the end: %v", b.out.Releave)
	}
}

// TestOwnDepositsAreBounded: our deposits are bounded, and so are those that wait on a link.
func TestOwnDepositsAreBounded(t *testing.T) {
	for name, x := range map[string]struct{ receivers, size, kept int }{
		"for one":       {1, 10, maxOwnForOne},
		"bytes for one": {1, 64 << 10, maxOwnForOneB / (64 << 10)},
		"receivers":     {maxAbsentees + 10, 10, maxAbsentees},
		"in all":        {20, 10, maxOwn},
		"bytes in all":  {20, 64 << 10, maxOwnB / (64 << 10)},
	} {
		b := newBox(t, nil)
		b.crowd(4)
		sealed := make([]byte, x.size)
		for i := range x.kept + 10 {
			to := i % x.receivers
			copy(sealed, fmt.Sprint(i))
			b.leave(&pb.Deposit{Receiver: fmt.Sprint("to", to), ReceiverKey: fmt.Appendf(nil, "%032d", to), Sealed: slices.Clone(sealed)})
		}
		b.checkOwn()
		if b.Own != x.kept || b.ownBytes != x.kept*x.size {
			t.Errorf("%s: %d are taken, %d bytes", name, b.Own, b.ownBytes)
		}
		if b.pass(custodyFor); b.Own != 0 || b.ownBytes != 0 {
			t.Errorf("%s: %d are left after a day", name, b.Own)
		}
		b.checkOwn()
	}
}

// checkOwn checks what is counted: our deposits, and what is offered on each link.
func (b *box) checkOwn() {
	b.t.Helper()
	own, bytes, offered := 0, 0, make(map[base.LinkID]int)
	for _, a := range b.Absentees {
		own, bytes = own+len(a.Deposits), bytes+a.Bytes
		if len(a.Holders) > WantHolders {
			b.t.Fatalf("%d holders", len(a.Holders))
		}
		for _, h := range a.Holders {
			if h.Asked != 0 {
				offered[h.Asked] += h.Size
			}
		}
	}
	if own != b.Own || bytes != b.ownBytes {
		b.t.Fatalf("%d and %d bytes are counted as %d and %d", own, bytes, b.Own, b.ownBytes)
	}
	for _, l := range b.links.List {
		if l.Offered != offered[l.ID] || l.Offered > offerWindow {
			b.t.Fatalf("%d bytes are offered on a link, counted %d", offered[l.ID], l.Offered)
		}
	}
}

// TestHoldersHaveNoGap: whatever holders answer, however they come and go, each is asked for one
// deposit at a time, and for none before it has kept all those before it. When all serve, three
// have everything.
func TestHoldersHaveNoGap(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		b := newBox(t, nil)
		left := byte(0)
		links := make([]*link.Link, 5) // to a, b, ..., nil: none
		epochs := make([]uint64, 5)
		has := make([]byte, 5) // of the current run
		question := make(map[*link.Link]byte)
		asked := make(map[*link.Link]time.Duration)
		look := func() {
			for i, l := range links {
				if l == nil || len(b.sent(l)) == 0 {
					continue
				}
				n := b.sent(l)[0].GetDeposit().GetSealed()[0]
				if n > has[i] {
					t.Fatalf("seed %d: %s has %d and is asked for number %d", seed, l.Peer, has[i], n)
				}
				if at, open := asked[l]; len(b.sent(l)) > 1 || open && b.Now < at+depositTimeout {
					t.Fatalf("seed %d: %s is asked for more than the next", seed, l.Peer)
				}
				asked[l], question[l] = b.Now, n
			}
			b.checkOwn()
			b.out = base.Effects{}
		}
		answer := func(i int, kept bool) {
			l := links[i]
			id := pb.DepositID([]byte{question[l]})
			if delete(asked, l); kept {
				has[i] = max(has[i], question[l]+1)
			}
			b.ReceiveDepositAnswer(l, &pb.DepositAnswer{Deposit: id[:], Kept: kept})
			b.drain()
			look()
		}
		comes := func(i int) {
			if links[i] != nil {
				b.ends(links[i])
			}
			if links[i] == nil || rnd.IntN(2) == 0 { // a new run of it
				epochs[i]++
				has[i] = 0
			}
			links[i] = b.comes(string(rune('a'+i)), epochs[i])
			b.pass(0)
			look()
		}
		for range 150 {
			i := rnd.IntN(len(links))
			_, open := asked[links[i]]
			switch what := rnd.IntN(10); {
			case what == 0 && left < 20:
				b.leave(deposit("zoe", []byte{left}))
				left++
			case what == 1 || links[i] == nil:
				comes(i)
			case what == 2:
				b.pass(time.Duration(rnd.Int64N(int64(20 * time.Second))))
			case open:
				answer(i, rnd.IntN(5) > 0)
			}
			look()
		}
		for i := range links {
			comes(i)
		}
		for range 8 { // until all refusals are forgotten
			b.pass(10 * time.Second)
			look()
			for i, l := range links {
				for _, open := asked[l]; open; _, open = asked[l] {
					answer(i, true)
				}
			}
		}
		complete := 0
		for _, n := range has {
			if n == left {
				complete++
			}
		}
		if complete < WantHolders {
			t.Fatalf("seed %d: %d have all %d", seed, complete, left)
		}
	}
}
