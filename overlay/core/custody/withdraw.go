package custody

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Taking back what others keep of ours. Deposits are opaque here, and one may hold several messages,
// of which one was withdrawn. So the rest is left anew first, in deposits of their own, and then
// every earlier deposit for that receiver is taken back: whenever the receiver comes, some holder has
// all that is still wanted. Messages that come from both are recognised by their positions.
//
// A holder may be away, or its answer get lost, so it is asked again while we run, until it has
// answered or has dropped the deposits anyway. Only the depositor can sign that: a holder goes by the
// key of the link over which the deposit came.

// Bounds of that, guesses.
const (
	maxCopies    = 16384            // deposits remembered that holders may have, each holder's for itself
	leaveGrace   = 1 * time.Second  // for the driver to seal the rest anew
	withdrawMost = 30 * time.Second // then deposits are taken back although the rest could not be left
	maxFormer    = 64               // holders of an absentee's deposits that are not counted on any more
)

// copies are deposits of ours that a holder may have, and that we leave with nobody any more.
type copies struct {
	holder   certs.ID
	key      certs.PublicKey // the holder's
	receiver certs.ID
	ids      [][pb.DepositIDSize]byte
	until    time.Duration // the holder drops them by itself
	due      bool          // to be taken back, since one of them may hold something withdrawn
	from     time.Duration // then: not before
	unsure   time.Duration // the last one may have been on its way until then, behind our question
	number   uint64        // of the question
	asked    int           // so many of the first ones
	next     time.Duration // no question before
	pause    time.Duration
	tries    int // in vain
}

// former is a holder that does not count any more, and may still have the first deposits.
type former struct {
	id     certs.ID
	key    certs.PublicKey
	has    int
	unsure time.Duration
}

// drop notes that a holder is not counted on any more.
func (a *absentee) drop(h *holder) {
	f := former{id: h.id, key: h.key, has: h.Has}
	if h.Asked != 0 || h.doubtful {
		f.has, f.unsure = min(f.has+1, len(a.Deposits)), h.askedAt+depositTimeout
	}
	if f.has > 0 && h.withdraws {
		a.former = append(a.former[max(0, len(a.former)+1-maxFormer):], f)
	}
}

// leaveBehind remembers which holders may have the deposits that are being given up.
func (cu *Custody) leaveBehind(a *absentee) {
	for _, h := range a.Holders {
		a.drop(h)
	}
	for _, f := range a.former {
		c := &copies{holder: f.id, key: f.key, receiver: a.receiver, until: cu.Now + custodyFor, unsure: f.unsure}
		for _, d := range a.Deposits[:min(f.has, len(a.Deposits))] {
			c.ids = append(c.ids, d.id)
		}
		cu.copies = append(cu.copies, c)
		cu.copied += len(c.ids)
	}
	a.former = nil
	for cu.copied > maxCopies {
		i := max(0, slices.IndexFunc(cu.copies, func(c *copies) bool { return !c.due }))
		cu.copied -= len(cu.copies[i].ids)
		cu.copies = slices.Delete(cu.copies, i, i+1)
	}
}

// takeBack has the holders drop all earlier deposits for a peer, when the rest is left anew.
func (cu *Custody) takeBack(receiver certs.ID, from time.Duration) {
	for _, c := range cu.copies {
		if c.receiver == receiver && !c.due {
			c.due, c.from = true, from
			cu.Wake(cu.Now)
		}
	}
}

// askBack asks the holders that are here and have not answered.
func (cu *Custody) askBack() {
	cu.dropCopies(func(c *copies) bool { return cu.Now >= c.until || len(c.ids) == 0 })
	for _, c := range cu.copies {
		switch waits := cu.isLeaving(c.receiver) && cu.Now < c.from+withdrawMost; {
		case !c.due || cu.Now < c.from || waits:
		case cu.table.ShownEpoch(c.holder, c.key) == 0:
			c.next, c.pause, c.tries = 0, 0, 0
		case cu.Now >= c.next:
			c.pause = min(max(2*c.pause, handAgain), handAgainAtMost)
			c.next = cu.Now + c.pause
			c.number, c.asked = cu.Cfg.Rand.Uint64(), min(len(c.ids), pb.MaxLetter)
			key := cu.Cfg.Identity.Key()
			content := &pb.WithdrawContent{Key: key[:]}
			for i := range c.asked {
				content.Deposits = append(content.Deposits, c.ids[i][:])
			}
			m := &pb.Withdraw{Content: cu.Cfg.Identity.SignWithdraw(content), Number: c.number}
			cu.routes.SendAround(c.holder, &pb.Routed{Content: &pb.Routed_Withdraw{Withdraw: m}}, c.tries)
			c.tries++
		}
	}
}

func (cu *Custody) dropCopies(gone func(*copies) bool) {
	cu.copies = slices.DeleteFunc(cu.copies, func(c *copies) bool {
		if !gone(c) {
			return false
		}
		cu.copied -= len(c.ids)
		return true
	})
}

// takesBack reports whether a holder that is here has still to answer; one that stays silent is not
// waited for.
func (cu *Custody) takesBack() bool {
	return slices.ContainsFunc(cu.copies, func(c *copies) bool {
		return c.due && c.pause <= 2*handAgain && cu.table.ShownEpoch(c.holder, c.key) != 0
	})
}

// ReceiveWithdrawn takes the answer of a holder.
func (cu *Custody) ReceiveWithdrawn(from certs.ID, m *pb.Withdrawn) {
	for _, c := range cu.copies {
		if c.asked == 0 || c.number != m.GetNumber() || c.holder != from {
			continue
		}
		if cu.Now < c.unsure { // the deposit may come behind it
			c.next = c.unsure
			return
		}
		cu.copied -= c.asked
		c.ids, c.asked, c.next, c.pause, c.tries = c.ids[c.asked:], 0, 0, 0, 0
		cu.Wake(cu.Now)
		return
	}
}

// ReceiveWithdraw drops deposits that their depositor takes back. The signature is checked only if
// the list names something that we keep of that key, so that others can't make us work.
func (cu *Custody) ReceiveWithdraw(over base.LinkID, from certs.ID, m *pb.Withdraw) {
	content, err := pb.ParseWithdraw(m.GetContent())
	if err != nil {
		return // routed, so the culprit is not known
	}
	key := certs.PublicKey(content.GetKey())
	named := make(map[[pb.DepositIDSize]byte]bool)
	for _, id := range content.GetDeposits() {
		named[[pb.DepositIDSize]byte(id)] = true
	}
	theirs := func(k *kept) bool { return named[k.ID] && k.Depositor != "" && k.DepositorKey == key }
	known := slices.ContainsFunc(cu.Shelves, func(s *shelf) bool { return slices.ContainsFunc(s.Deposits, theirs) })
	if known && !certs.VerifyWithdraw(key, m.GetContent()) {
		return
	}
	for _, s := range cu.Shelves {
		s.Deposits = slices.DeleteFunc(s.Deposits, func(k *kept) bool {
			if !theirs(k) {
				return false
			}
			cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID})
			return true
		})
	}
	cu.clearShelves()
	cu.routes.SendBack(over, from, &pb.Routed{Content: &pb.Routed_Withdrawn{Withdrawn: &pb.Withdrawn{Number: m.GetNumber()}}})
}
