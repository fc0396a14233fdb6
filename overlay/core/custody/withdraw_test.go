package custody

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// holds makes a peer come that takes back deposits.
func (b *box) holds(name string, epoch uint64) *link.Link {
	l := b.comes(name, epoch)
	l.Foreign.Name(pb.Features())
	return l
}

// answers lets a holder say that it keeps a deposit.
func (b *box) answers(l *link.Link, sealed []byte) {
	id := pb.DepositID(sealed)
	b.ReceiveDepositAnswer(l, &pb.DepositAnswer{Deposit: id[:], Kept: true})
	b.drain()
}

// asked returns what a holder is asked to drop.
func (b *box) asked(l *link.Link) *pb.Withdraw {
	b.t.Helper()
	for _, m := range b.sent(l) {
		if w := m.GetRouted().GetWithdraw(); w != nil {
			return w
		}
	}
	return nil
}

// withdrawnBy is the word of a depositor that it takes back these deposits.
func withdrawnBy(name string, sealed ...[]byte) *pb.Withdraw {
	key := identity(name).Key()
	content := &pb.WithdrawContent{Key: key[:]}
	for _, s := range sealed {
		id := pb.DepositID(s)
		content.Deposits = append(content.Deposits, id[:])
	}
	return &pb.Withdraw{Content: identity(name).SignWithdraw(content), Number: 7}
}

// TestWithdrawn: a holder drops what its depositor takes back, of whatever receiver, and nothing
// else; on the disk too, once. It answers in any case, also when it is asked again.
func TestWithdrawn(t *testing.T) {
	b := newBox(t, nil)
	ann, eve := b.comes("ann", 1), b.comes("eve", 1)
	anns, eves, other := sealedBytes(1, 100), sealedBytes(2, 100), sealedBytes(3, 100)
	for _, d := range []struct {
		from   *link.Link
		to     string
		sealed []byte
	}{{ann, "zoe", anns}, {ann, "yan", other}, {eve, "zoe", eves}} {
		if why := b.takes(d.from, deposit(d.to, d.sealed)); why != "" {
			t.Fatal(why)
		}
	}
	for range 2 {
		b.ReceiveWithdraw(1, "ann", withdrawnBy("ann", anns, eves, sealedBytes(9, 9)))
		b.drain()
		if frames := b.sent(ann); len(frames) != 1 || frames[0].GetRouted().GetWithdrawn().GetNumber() != 7 {
			t.Fatalf("the answer is %v", frames)
		}
		if n := len(b.out.Custody); n > 1 || n == 1 && b.out.Custody[0].ID != pb.DepositID(anns) {
			t.Fatalf("dropped: %v", b.out.Custody)
		}
	}
	zoe := b.comes("zoe", 1)
	b.pass(time.Second)
	if got := b.handed(zoe); len(got) != 1 || !slices.Equal(got[0], eves) {
		t.Errorf("%d are handed over", len(got))
	}
	yan := b.comes("yan", 1)
	b.pass(time.Second)
	if got := b.handed(yan); len(got) != 1 {
		t.Errorf("%d are handed over to another receiver", len(got))
	}
}

// TestWithdrawOfAnothers: nobody but the depositor takes back a deposit: neither under its own key,
// nor by the depositor's name without its signature, nor by a word of it about something else.
func TestWithdrawOfAnothers(t *testing.T) {
	for name, forge := range map[string]func(sealed []byte) *pb.Withdraw{
		"in one's own name": func(s []byte) *pb.Withdraw { return withdrawnBy("eve", s) },
		"another's signature": func(s []byte) *pb.Withdraw {
			w := withdrawnBy("ann", s)
			w.Content.Signature = withdrawnBy("eve", s).Content.Signature
			return w
		},
		"a word about another deposit": func(s []byte) *pb.Withdraw {
			w := withdrawnBy("ann", s)
			w.Content.Signature = withdrawnBy("ann", sealedBytes(5, 5)).Content.Signature
			return w
		},
		"a receiver's word": func(s []byte) *pb.Withdraw {
			key, id := identity("ann").Key(), pb.DepositID(s)
			signed := identity("ann").SignCollected(&pb.CollectedContent{Key: key[:], Deposits: [][]byte{id[:]}})
			return &pb.Withdraw{Content: signed}
		},
		"nothing": func([]byte) *pb.Withdraw { return &pb.Withdraw{} },
	} {
		b := newBox(t, nil)
		ann := b.comes("ann", 1)
		b.comes("eve", 1)
		sealed := sealedBytes(1, 100)
		b.takes(ann, deposit("zoe", sealed))
		b.ReceiveWithdraw(1, "eve", forge(sealed))
		if b.drain(); len(b.out.Custody) != 0 {
			t.Errorf("%s: dropped", name)
		}
		b.signs("zoe", sealed)
		if len(b.out.Custody) != 1 {
			t.Errorf("%s: it is not kept", name)
		}
	}
}

// TestReceiptsAreNotWithdrawn: receipts that wait for a depositor have none themselves, so nobody
// takes them back.
func TestReceiptsAreNotWithdrawn(t *testing.T) {
	b := newBox(t, nil)
	ann := b.comes("ann", 1)
	sealed, receipts := sealedBytes(1, 100), sealedBytes(2, 100)
	b.takes(ann, deposit("zoe", sealed))
	word := collectedBy("zoe", sealed)
	word.Receipts = receipts
	b.goes(ann)
	b.ReceiveCollected(word)
	b.drain()
	w := withdrawnBy("ann", receipts)
	content := new(pb.WithdrawContent)
	if err := proto.Unmarshal(w.Content.Payload, content); err != nil {
		t.Fatal(err)
	}
	content.Key = make([]byte, 32) // the key of a deposit without depositor
	b.ReceiveWithdraw(1, "eve", &pb.Withdraw{Content: identity("eve").SignWithdraw(content)})
	b.ReceiveWithdraw(1, "ann", w)
	if b.drain(); len(b.out.Custody) != 0 {
		t.Error("receipts are dropped")
	}
}

// TestTakenBack: when something of our deposits is withdrawn, all that is still wanted is left anew
// first, and then the holders are asked to drop the earlier ones, until they have answered.
func TestTakenBack(t *testing.T) {
	b := newBox(t, nil)
	a := b.holds("a", 1)
	b.leave(deposit("zoe", oneSealed))
	b.answers(a, oneSealed)
	b.leave(deposit("zoe", []byte("two")))
	b.answers(a, []byte("two"))
	b.Withdraw("zoe", true, false)
	if b.drain(); !b.DepositsPending() {
		t.Error("we would leave before it is taken back")
	}
	b.pass(withdrawPause)
	if len(b.out.Releave) != 1 {
		t.Fatal("the rest is not left anew")
	}
	b.leave(deposit("zoe", []byte("anew")))
	b.pass(leaveGrace + time.Millisecond)
	if b.asked(a) != nil {
		t.Fatal("taken back before the rest is kept")
	}
	b.answers(a, []byte("anew"))
	b.pass(time.Millisecond)
	w := b.asked(a)
	content, err := pb.ParseWithdraw(w.GetContent())
	if err != nil || len(content.GetDeposits()) != 2 {
		t.Fatalf("asked to drop %v, %v", content, err)
	}
	one := pb.DepositID(oneSealed)
	if !slices.Equal(content.GetDeposits()[0], one[:]) || !b.DepositsPending() {
		t.Error("another deposit, or nothing is pending")
	}
	if b.pass(handAgain); b.asked(a) == nil {
		t.Error("not asked again without an answer")
	}
	b.ReceiveWithdrawn("a", &pb.Withdrawn{Number: w.GetNumber()}) // of the first question: it is late
	b.ReceiveWithdrawn("b", &pb.Withdrawn{Number: b.copies[0].number})
	if len(b.copies) == 0 || len(b.copies[0].ids) != 2 {
		t.Fatal("another's answer counts, or another one")
	}
	b.ReceiveWithdrawn("a", &pb.Withdrawn{Number: b.copies[0].number})
	if b.pass(time.Millisecond); len(b.copies) != 0 || b.copied != 0 || b.DepositsPending() {
		t.Errorf("%d are remembered after the answer, counted %d", len(b.copies), b.copied)
	}
}

// TestTakenBackAtOnce: where nothing else waits for the receiver there is nothing to be left first.
func TestTakenBackAtOnce(t *testing.T) {
	b := newBox(t, nil)
	a, older := b.holds("a", 1), b.comes("older", 1)
	b.leave(deposit("zoe", oneSealed))
	b.answers(a, oneSealed)
	b.answers(older, oneSealed)
	b.Withdraw("zoe", false, false)
	b.pass(0)
	if b.asked(a) == nil || b.asked(older) != nil {
		t.Error("the holder is not asked, or an older one is")
	}
	for range 3 { // a silent holder holds up nobody's leaving
		b.pass(handAgainAtMost)
	}
	if b.DepositsPending() {
		t.Error("still pending")
	}
}

// TestTakenBackFromTheAbsent: a holder that is away is asked when it comes back, in another run too; one
// that does not count any more as well; and after a day there is nothing left to ask for.
func TestTakenBackFromTheAbsent(t *testing.T) {
	b := newBox(t, nil)
	a := b.holds("a", 1)
	b.leave(deposit("zoe", oneSealed))
	b.answers(a, oneSealed)
	b.goes(a)
	b.pass(time.Second) // it is not a holder any more
	c := b.holds("c", 1)
	b.pass(time.Second)
	b.answers(c, oneSealed)
	b.Withdraw("zoe", false, false)
	b.pass(time.Hour)
	if b.asked(c) == nil {
		t.Error("the holder that is here is not asked")
	}
	if b.DepositsPending() != true || len(b.copies) != 2 {
		t.Errorf("%d have copies", len(b.copies))
	}
	a = b.holds("a", 2)
	if b.pass(time.Millisecond); b.asked(a) == nil {
		t.Error("the one that has come back is not asked")
	}
	if b.pass(custodyFor); len(b.copies) != 0 || b.copied != 0 {
		t.Error("remembered for ever")
	}
}

// TestPastCopies: what was left earlier and given up since, because its receiver came, is taken back
// when a message of it is withdrawn.
func TestPastCopies(t *testing.T) {
	b := newBox(t, nil)
	a := b.holds("a", 1)
	b.leave(deposit("zoe", oneSealed))
	b.answers(a, oneSealed)
	b.comes("zoe", 1)
	if b.pass(time.Minute); len(b.Absentees) != 0 || b.asked(a) != nil {
		t.Fatal("taken back although nothing was withdrawn")
	}
	b.Withdraw("zoe", false, true)
	if b.pass(0); b.asked(a) == nil {
		t.Error("not taken back")
	}
}

// TestWithdrawBeforeItsDeposit: a question may overtake the deposit, which goes by another way; so an
// answer does not count while that may be.
func TestWithdrawBeforeItsDeposit(t *testing.T) {
	b := newBox(t, nil)
	a := b.holds("a", 1)
	b.leave(deposit("zoe", oneSealed)) // not answered
	b.Withdraw("zoe", false, false)
	b.pass(0)
	w := b.asked(a)
	if w == nil {
		t.Fatal("not asked")
	}
	b.ReceiveWithdrawn("a", &pb.Withdrawn{Number: w.GetNumber()})
	if b.pass(depositTimeout); b.asked(a) == nil {
		t.Error("not asked again when the deposit has come at the latest")
	}
	b.ReceiveWithdrawn("a", &pb.Withdrawn{Number: b.copies[0].number})
	if b.pass(0); len(b.copies) != 0 {
		t.Error("the second answer does not count")
	}
}

// TestCopiesAreBounded: what is remembered of earlier deposits is bounded, and what is to be taken
// back goes last.
func TestCopiesAreBounded(t *testing.T) {
	b := newBox(t, nil)
	a := b.holds("a", 1)
	leave := func(to string) {
		for i := range maxOwnForOne {
			sealed := fmt.Appendf(nil, "%s %d", to, i)
			b.leave(deposit(to, sealed))
			b.answers(a, sealed)
		}
	}
	leave("zoe")
	b.Withdraw("zoe", true, false)
	for i := range maxCopies/maxOwnForOne + 5 {
		to := fmt.Sprint("r", i)
		leave(to)
		l := b.comes(to, 1) // it comes, and is sent the rest by us
		b.pass(0)
		b.ends(l)
	}
	n := 0
	for _, c := range b.copies {
		n += len(c.ids)
	}
	if n > maxCopies || n != b.copied || b.copies[0].receiver != "zoe" {
		t.Errorf("%d are remembered, counted %d; first those for %s", n, b.copied, b.copies[0].receiver)
	}
}
