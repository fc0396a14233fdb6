package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Custody of ours: up to three holders, peers that we have a link to, keep our deposits for a
// peer that is away. A holder gets the deposits for one receiver in order and without a gap, so
// that the holder that meets the receiver first brings everything that belongs before. There is
// one question at a time, and a holder that refuses a deposit, or does not answer, gets none
// behind it. Nor do we take anything behind one that we have refused ourselves. Everything is
// dropped when the receiver is here: the driver then sends it what it has not confirmed. And
// everything is dropped after a while, before any holder can drop it, and when something is
// withdrawn: then the driver deposits the rest anew.

// Bounds of our deposits with others, all guesses.
const (
	wantHolders    = 3
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
	deposits []ownDeposit
	bytes    int
	full     bool          // a deposit was refused, so those that follow it are too
	anew     time.Duration // when all is to be deposited anew
	holders  []*holder
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
	has     int
	asked   LinkID // over which it was asked to keep the next; 0: no question is open
	askedAt time.Duration
	size    int // of that
}

type holderRefusal struct {
	key   certs.PublicKey
	until time.Duration
}

// canLeave reports whether anything can be left with others.
func (cu *custody) canLeave(d *pb.Deposit) bool {
	return !cu.cfg.NoCustody && !cu.leaving && !cu.ended && pb.Check(pb.Wrap(d)) == nil
}

// deposit leaves with others something that canLeave has allowed.
func (cu *custody) deposit(d *pb.Deposit) bool {
	receiver, key := certs.ID(d.GetReceiver()), certs.PublicKey(d.GetReceiverKey())
	if cu.table.isHere(receiver, key) || key == cu.cfg.Identity.Key() {
		return false
	}
	a := cu.absentee(receiver, key)
	if a == nil {
		cu.note(Debug, "nothing is left with others, for too many are away", "for", d.GetReceiver())
		return false
	}
	size, id := len(d.GetSealed()), DepositID(d.GetSealed())
	if slices.ContainsFunc(a.deposits, func(other ownDeposit) bool { return other.id == id }) {
		return true
	}
	a.full = a.full || len(a.deposits) >= maxOwnForOne || a.bytes+size > maxOwnForOneB ||
		cu.own >= maxOwn || cu.ownBytes+size > maxOwnB
	if a.full {
		cu.note(Debug, "no more is left with others", "for", d.GetReceiver())
		return false
	}
	a.deposits = append(a.deposits, ownDeposit{d, id})
	a.bytes += size
	cu.own++
	cu.ownBytes += size
	cu.leaveFor(a)
	return true
}

// withdraw handles Withdraw.
func (cu *custody) withdraw(receiver certs.ID, rest bool) {
	found := false
	cu.absentees = slices.DeleteFunc(cu.absentees, func(a *absentee) bool {
		if a.receiver != receiver {
			return false
		}
		found = true
		cu.giveUp(a)
		a.full = true
		a.anew = min(a.anew, cu.now+withdrawPause)
		return !rest
	})
	if rest && !found {
		cu.out.Releave = append(cu.out.Releave, receiver)
	}
}

// absentee finds the deposits for a peer, or begins with them; nil if too many peers are away.
func (cu *custody) absentee(receiver certs.ID, key certs.PublicKey) *absentee {
	for _, a := range cu.absentees {
		if a.key == key && a.receiver == receiver {
			return a
		}
	}
	if len(cu.absentees) >= maxAbsentees {
		return nil
	}
	a := &absentee{receiver: receiver, key: key, anew: cu.now + leftFor}
	cu.absentees = append(cu.absentees, a)
	return a
}

// depositsPending answers DepositsPending.
func (cu *custody) depositsPending() bool {
	if cu.leaving || !cu.ready {
		return false
	}
	for _, a := range cu.absentees {
		if cu.table.isHere(a.receiver, a.key) || len(a.deposits) == 0 && cu.now+withdrawPause < a.anew {
			continue
		}
		complete, waits := 0, len(cu.possibleHolders(a)) > 0
		for _, h := range a.holders {
			if h.has == len(a.deposits) {
				complete++
			} else {
				waits = true
			}
		}
		if complete < wantHolders && waits {
			return true
		}
	}
	return false
}

// leaveDeposits does what is due for each absentee.
func (cu *custody) leaveDeposits() {
	cu.absentees = slices.DeleteFunc(cu.absentees, func(a *absentee) bool {
		here := cu.table.isHere(a.receiver, a.key)
		if !here && cu.now < a.anew {
			cu.leaveFor(a)
			return false
		}
		if !here {
			cu.out.Releave = append(cu.out.Releave, a.receiver)
		}
		cu.giveUp(a)
		return true
	})
}

// slept counts the time for which we were asleep, since the holders were not.
func (cu *custody) slept(d time.Duration) {
	for _, a := range cu.absentees {
		a.anew -= d
	}
	cu.wakeCustody()
}

// giveUp drops our deposits for a peer.
func (cu *custody) giveUp(a *absentee) {
	for _, h := range a.holders {
		cu.settle(h)
	}
	cu.own -= len(a.deposits)
	cu.ownBytes -= a.bytes
	a.holders, a.deposits, a.bytes = nil, nil, 0
}

// leaveFor checks the holders of an absentee's deposits, chooses new ones, and offers each what
// it lacks.
func (cu *custody) leaveFor(a *absentee) {
	a.holders = slices.DeleteFunc(a.holders, func(h *holder) bool { return !cu.holds(a, h) })
	if missing := wantHolders - len(a.holders); missing > 0 && len(a.deposits) > 0 {
		list := cu.possibleHolders(a)
		cu.cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortStableFunc(list, func(l, m *link) int { return rank(l) - rank(m) })
		for _, l := range list[:min(len(list), missing)] {
			a.holders = append(a.holders, &holder{id: l.peer, key: l.key, epoch: l.entry.shown.Epoch})
		}
	}
	for _, h := range a.holders {
		cu.offer(a, h)
	}
}

// rank prefers neighbours as holders, since their links last.
func rank(l *link) int {
	if l.neighbour {
		return 0
	}
	return 1
}

// holds reports whether a holder still counts: the chosen run of it is here, answers, and has
// everything or a link over which it gets the rest. A holder without a link keeps what it has,
// but another is chosen for what follows.
func (cu *custody) holds(a *absentee, h *holder) bool {
	switch l := cu.links.link(h.asked); {
	case h.asked == 0:
	case l == nil || l.state != linkUp:
		cu.settle(h)
	case cu.now >= h.askedAt+depositTimeout:
		cu.note(Debug, "no answer to a deposit", "peer", string(h.id), "for", string(a.receiver))
		cu.settle(h)
		a.refused(h.key, cu.now)
		return false
	}
	if cu.table.shownEpoch(h.id, h.key) != h.epoch {
		cu.settle(h)
		return false
	}
	return h.asked != 0 || h.has == len(a.deposits) || usable(cu.links.linkTo(h.key))
}

func usable(l *link) bool { return l != nil && !l.quiet }

// possibleHolders returns links to peers that may keep something for the absentee.
func (cu *custody) possibleHolders(a *absentee) []*link {
	var list []*link
	for _, l := range cu.links.list {
		if l.state != linkUp || l.quiet || l.key == a.key || l.entry == nil || l.entry.shown == nil || l.leadsToGuest() || cu.links.linkTo(l.key) != l {
			continue
		}
		if !a.hasRefused(l.key, cu.now) && !slices.ContainsFunc(a.holders, func(h *holder) bool { return h.key == l.key }) {
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
func (cu *custody) offer(a *absentee, h *holder) {
	l := cu.links.linkTo(h.key)
	if h.asked != 0 || h.has == len(a.deposits) || !usable(l) {
		return
	}
	d := a.deposits[h.has].what
	size := carryBase + len(d.GetSealed())
	if l.offered > 0 && l.offered+size > offerWindow {
		return
	}
	h.asked, h.askedAt, h.size = l.id, cu.now, size
	l.offered += size
	l.used = cu.now
	cu.links.send(l, d)
}

// settle closes a question, answered or not.
func (cu *custody) settle(h *holder) {
	if l := cu.links.link(h.asked); h.asked != 0 && l != nil {
		l.offered -= h.size
	}
	h.asked = 0
}

// receiveDepositAnswer takes a holder's answer. It ignores one that was not asked for, or comes
// too late.
func (cu *custody) receiveDepositAnswer(l *link, m *pb.DepositAnswer) {
	if l.offered == 0 {
		return
	}
	id := [pb.DepositIDSize]byte(m.GetDeposit())
	for _, a := range cu.absentees {
		i := slices.IndexFunc(a.holders, func(h *holder) bool { return h.asked == l.id && a.deposits[h.has].id == id })
		if i < 0 {
			continue
		}
		h := a.holders[i]
		cu.settle(h)
		if m.GetKept() {
			h.has++
		} else {
			cu.note(Debug, "a deposit is refused", "peer", string(l.peer), "for", string(a.receiver), "why", m.GetReason())
			a.refused(h.key, cu.now)
			a.holders = slices.Delete(a.holders, i, i+1)
		}
		cu.leaveFor(a)
		return
	}
}
