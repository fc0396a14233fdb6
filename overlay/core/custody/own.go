package custody

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/pb"
)

// Custody of ours: up to three holders, peers that we have a link to, keep our deposits for a
// peer that is away. A holder gets the deposits for one receiver in order and without a gap, so
// that the holder that meets the receiver first brings everything that belongs before. There is
// one question at a time, and a holder that refuses a deposit, or does not answer, gets none
// behind it. Nor do we take anything behind one that we have refused ourselves. Everything is
// dropped when the receiver is here: the driver then sends it what it has not confirmed. And
// everything is dropped after a while, before any holder can drop it, and when something is
// withdrawn: then the driver deposits the rest anew, and withdraw.go has the holders drop it too.

// Bounds of our deposits with others, all guesses.
const (
	WantHolders    = 3
	leftFor        = custodyFor - time.Hour // then all is deposited anew; the hour covers any slow link and any wrong clock
	depositTimeout = 5 * time.Second        // for an answer
	refusesFor     = time.Minute            // before a holder that has refused is asked again for the same receiver
	offerWindow    = 256 << 10              // bytes of unanswered deposits on a link
	maxAbsentees   = 1024
	maxRefusals    = 256 // remembered for each receiver
	maxOwnForOne   = 1024
	maxOwnForOneB  = 2 << 20
	maxOwn         = 4096
	withdrawPause  = time.Second // before the rest is deposited anew, since withdrawals come several at a time
	maxOwnB        = 16 << 20
)

// absentee is a peer that is away, with our deposits for it.
type absentee struct {
	receiver certs.ID
	key      certs.PublicKey
	Deposits []ownDeposit
	Bytes    int
	full     bool          // a deposit was refused, so those that follow it are too
	anew     time.Duration // when all is to be deposited anew
	Holders  []*holder
	former   []former
	refusals []holderRefusal
}

type ownDeposit struct {
	what *pb.Deposit
	id   [pb.DepositIDSize]byte
}

// holder is a peer that keeps the first few deposits for an absentee.
type holder struct {
	id      certs.ID
	key     certs.PublicKey
	epoch   uint64
	Has     int
	Asked   base.LinkID // over which it was asked to keep the next; 0: no question is open
	askedAt time.Duration
	Size    int // of that
	// withdraws: it drops what we take back. doubtful: the last question has had no answer.
	withdraws, doubtful bool
}

type holderRefusal struct {
	key   certs.PublicKey
	until time.Duration
}

// CanLeave reports whether anything can be left with others.
func (cu *Custody) CanLeave(d *pb.Deposit) bool {
	return !cu.Cfg.NoCustody && !cu.Leaving && !cu.Ended && pb.Check(pb.Wrap(d)) == nil
}

// Deposit leaves with others something that CanLeave has allowed.
func (cu *Custody) Deposit(d *pb.Deposit) bool {
	receiver, key := certs.ID(d.GetReceiver()), certs.PublicKey(d.GetReceiverKey())
	if cu.table.IsHere(receiver, key) || cu.isOut(receiver, key) || key == cu.Cfg.Identity.Key() {
		return false
	}
	a := cu.absentee(receiver, key)
	if a == nil {
		cu.Note(base.Debug, "nothing is left with others, for too many are away", "for", d.GetReceiver())
		return false
	}
	size, id := len(d.GetSealed()), pb.DepositID(d.GetSealed())
	if slices.ContainsFunc(a.Deposits, func(other ownDeposit) bool { return other.id == id }) {
		return true
	}
	a.full = a.full || len(a.Deposits) >= maxOwnForOne || a.Bytes+size > maxOwnForOneB ||
		cu.Own >= maxOwn || cu.ownBytes+size > maxOwnB
	if a.full {
		cu.Note(base.Debug, "no more is left with others", "for", d.GetReceiver())
		return false
	}
	a.Deposits = append(a.Deposits, ownDeposit{d, id})
	a.Bytes += size
	cu.Own++
	cu.ownBytes += size
	cu.leaveFor(a)
	return true
}

// Withdraw handles Withdraw.
func (cu *Custody) Withdraw(receiver certs.ID, rest, past bool) {
	if past {
		cu.takeBack(receiver, cu.Now)
		return
	}
	found, from := false, cu.Now
	if rest {
		from += withdrawPause + leaveGrace
	}
	cu.Absentees = slices.DeleteFunc(cu.Absentees, func(a *absentee) bool {
		if a.receiver != receiver {
			return false
		}
		found = true
		cu.giveUp(a)
		a.full = true
		a.anew = min(a.anew, cu.Now+withdrawPause)
		return !rest
	})
	cu.takeBack(receiver, from)
	if rest && !found {
		cu.Out.Releave = append(cu.Out.Releave, receiver)
	}
}

// absentee finds the deposits for a peer, or begins with them; nil if too many peers are away.
func (cu *Custody) absentee(receiver certs.ID, key certs.PublicKey) *absentee {
	for _, a := range cu.Absentees {
		if a.key == key && a.receiver == receiver {
			return a
		}
	}
	if len(cu.Absentees) >= maxAbsentees {
		return nil
	}
	a := &absentee{receiver: receiver, key: key, anew: cu.Now + leftFor}
	cu.Absentees = append(cu.Absentees, a)
	return a
}

// DepositsPending answers DepositsPending.
func (cu *Custody) DepositsPending() bool {
	if cu.Leaving || !cu.Ready {
		return false
	}
	return slices.ContainsFunc(cu.Absentees, cu.isPending) || cu.takesBack()
}

// isPending reports whether a deposit for a peer may still reach a holder.
func (cu *Custody) isPending(a *absentee) bool {
	if cu.table.IsHere(a.receiver, a.key) || len(a.Deposits) == 0 && cu.Now+withdrawPause < a.anew {
		return false
	}
	complete, waits := 0, len(cu.possibleHolders(a)) > 0
	for _, h := range a.Holders {
		if h.Has == len(a.Deposits) {
			complete++
		} else {
			waits = true
		}
	}
	return complete < WantHolders && waits
}

// isLeaving reports whether deposits for a peer of that ID are on their way to holders.
func (cu *Custody) isLeaving(receiver certs.ID) bool {
	return slices.ContainsFunc(cu.Absentees, func(a *absentee) bool { return a.receiver == receiver && cu.isPending(a) })
}

// LeaveDeposits does what is due for each absentee.
func (cu *Custody) LeaveDeposits() {
	cu.Absentees = slices.DeleteFunc(cu.Absentees, func(a *absentee) bool {
		here := cu.table.IsHere(a.receiver, a.key)
		if !here && cu.Now < a.anew {
			cu.leaveFor(a)
			return false
		}
		if !here {
			cu.Out.Releave = append(cu.Out.Releave, a.receiver)
		}
		cu.giveUp(a)
		return true
	})
	cu.askBack()
}

// Slept counts the time for which we were asleep, since the holders were not.
func (cu *Custody) Slept(d time.Duration) {
	for _, a := range cu.Absentees {
		a.anew -= d
	}
	cu.WakeCustody()
}

// giveUp drops our deposits for a peer.
func (cu *Custody) giveUp(a *absentee) {
	cu.leaveBehind(a)
	for _, h := range a.Holders {
		cu.settle(h)
	}
	cu.Own -= len(a.Deposits)
	cu.ownBytes -= a.Bytes
	a.Holders, a.Deposits, a.Bytes = nil, nil, 0
}

// leaveFor checks the holders of an absentee's deposits, chooses new ones, and offers each what
// it lacks.
func (cu *Custody) leaveFor(a *absentee) {
	a.Holders = slices.DeleteFunc(a.Holders, func(h *holder) bool {
		if cu.holds(a, h) {
			return false
		}
		a.drop(h)
		return true
	})
	if missing := WantHolders - len(a.Holders); missing > 0 && len(a.Deposits) > 0 {
		list := cu.possibleHolders(a)
		cu.Cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortStableFunc(list, func(l, m *link.Link) int { return rank(l) - rank(m) })
		for _, l := range list[:min(len(list), missing)] {
			a.Holders = append(a.Holders, &holder{id: l.Peer, key: l.Key, epoch: l.Entry.Shown.Epoch, withdraws: l.Foreign.Knows(pb.FeatureWithdraw)})
		}
	}
	for _, h := range a.Holders {
		cu.offer(a, h)
	}
}

// rank prefers neighbours as holders, since their links last.
func rank(l *link.Link) int {
	if l.Neighbour {
		return 0
	}
	return 1
}

// holds reports whether a holder still counts: the chosen run of it is here, answers, and has
// everything or a link over which it gets the rest. A holder without a link keeps what it has,
// but another is chosen for what follows.
func (cu *Custody) holds(a *absentee, h *holder) bool {
	switch l := cu.links.Link(h.Asked); {
	case h.Asked == 0:
	case l == nil || l.State != link.LinkUp:
		cu.unanswered(h)
	case cu.Now >= h.askedAt+depositTimeout:
		cu.Note(base.Debug, "no answer to a deposit", "peer", string(h.id), "for", string(a.receiver))
		cu.unanswered(h)
		a.refused(h.key, cu.Now)
		return false
	}
	if cu.table.ShownEpoch(h.id, h.key) != h.epoch {
		cu.unanswered(h)
		return false
	}
	return h.Asked != 0 || h.Has == len(a.Deposits) || usable(cu.links.LinkTo(h.key))
}

func usable(l *link.Link) bool { return l != nil && !l.Quiet }

// possibleHolders returns links to peers that may keep something for the absentee.
func (cu *Custody) possibleHolders(a *absentee) []*link.Link {
	var list []*link.Link
	for _, l := range cu.links.List {
		if l.State != link.LinkUp || l.Quiet || l.Key == a.key || l.Entry == nil || l.Entry.Shown == nil || l.LeadsToGuest() || cu.links.LinkTo(l.Key) != l {
			continue
		}
		if !a.hasRefused(l.Key, cu.Now) && !slices.ContainsFunc(a.Holders, func(h *holder) bool { return h.key == l.Key }) {
			list = append(list, l)
		}
	}
	return list
}

func (a *absentee) refused(key certs.PublicKey, now time.Duration) {
	a.refusals = slices.DeleteFunc(a.refusals, func(r holderRefusal) bool { return now >= r.until })
	if len(a.refusals) == maxRefusals {
		a.refusals = slices.Delete(a.refusals, 0, 1)
	}
	a.refusals = append(a.refusals, holderRefusal{key, now + refusesFor})
}

func (a *absentee) hasRefused(key certs.PublicKey, now time.Duration) bool {
	return slices.ContainsFunc(a.refusals, func(r holderRefusal) bool { return r.key == key && now < r.until })
}

// offer asks a holder to keep the next deposit that it lacks.
func (cu *Custody) offer(a *absentee, h *holder) {
	l := cu.links.LinkTo(h.key)
	if h.Asked != 0 || h.Has == len(a.Deposits) || !usable(l) {
		return
	}
	d := a.Deposits[h.Has].what
	size := route.CarryBase + len(d.GetSealed())
	if l.Offered > 0 && l.Offered+size > offerWindow {
		return
	}
	h.Asked, h.askedAt, h.Size, h.doubtful = l.ID, cu.Now, size, false
	l.Offered += size
	l.Used = cu.Now
	cu.links.Send(l, d)
}

// unanswered closes a question whose answer is not waited for any more.
func (cu *Custody) unanswered(h *holder) {
	h.doubtful = h.doubtful || h.Asked != 0
	cu.settle(h)
}

// settle closes a question, answered or not.
func (cu *Custody) settle(h *holder) {
	if l := cu.links.Link(h.Asked); h.Asked != 0 && l != nil {
		l.Offered -= h.Size
	}
	h.Asked = 0
}

// ReceiveDepositAnswer takes a holder's answer. It ignores one that was not asked for, or comes
// too late.
func (cu *Custody) ReceiveDepositAnswer(l *link.Link, m *pb.DepositAnswer) {
	if l.Offered == 0 {
		return
	}
	id := [pb.DepositIDSize]byte(m.GetDeposit())
	for _, a := range cu.Absentees {
		i := slices.IndexFunc(a.Holders, func(h *holder) bool { return h.Asked == l.ID && a.Deposits[h.Has].id == id })
		if i < 0 {
			continue
		}
		h := a.Holders[i]
		cu.settle(h)
		if m.GetKept() {
			h.Has++
		} else {
			cu.Note(base.Debug, "a deposit is refused", "peer", string(l.Peer), "for", string(a.receiver), "why", m.GetReason())
			a.refused(h.key, cu.Now)
			a.drop(h)
			a.Holders = slices.Delete(a.Holders, i, i+1)
		}
		cu.leaveFor(a)
		return
	}
}
