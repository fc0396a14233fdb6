package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// What we leave with others: up to three holders among the peers that we have a link to
// keep it for a peer that is not here. A holder gets the deposits for one receiver in
// their order and without a hole, so that whoever comes first to the receiver with
// something brings what belongs before it as well: there is one question at a time, and
// who refuses one, or does not answer, gets none behind it. Nor do we take anything behind
// what we have refused ourselves. All is given up when the receiver is here: then the
// driver sends it what it has not confirmed. And all is given up when the first is old,
// before any holder can drop it: then the driver leaves what is not confirmed anew.

// Bounds of what is left with others, all guesses.
const (
	wantHolders    = 3
	leftFor        = custodyFor - time.Hour // counted from the first; no link is slower, and no clock so wrong
	depositTimeout = 5 * time.Second        // for an answer
	refusesFor     = time.Minute            // a holder that has refused, for the same receiver
	offerWindow    = 256 << 10              // bytes of deposits on a link that are not answered
	maxAbsentees   = 1024
	maxRefusals    = 256 // remembered for a receiver
	maxOwnForOne   = 1024
	maxOwnForOneB  = 2 << 20
	maxOwn         = 4096
	withdrawPause  = time.Second // until the rest is left anew: withdrawals come in numbers
	maxOwnB        = 16 << 20
)

// absentee is a peer that is not here, and what we leave for it.
type absentee struct {
	receiver certs.ID
	key      certs.PublicKey
	deposits []ownDeposit
	bytes    int
	full     bool          // something was not taken, and so nothing is that follows it
	anew     time.Duration // when what remains after a withdrawal is to be left anew; 0: there was none
	holders  []*holder
	refusals []holderRefusal
}

type ownDeposit struct {
	what  *pb.Deposit
	id    [pb.DepositIDSize]byte
	since time.Duration
}

// holder is a peer that keeps deposits for an absentee: the first few.
type holder struct {
	id      certs.ID
	key     certs.PublicKey
	epoch   uint64
	has     int
	asked   LinkID // over which it was asked to keep the next; 0: it was not
	askedAt time.Duration
	size    int // of that
}

type holderRefusal struct {
	key   certs.PublicKey
	until time.Duration
}

// deposit is Deposit.
func (c *Core) deposit(d *pb.Deposit) bool {
	if c.cfg.NoCustody || c.leaving || c.ended || pb.Check(pb.Wrap(d)) != nil {
		return false
	}
	c.stay()
	receiver, key := certs.ID(d.GetReceiver()), certs.PublicKey(d.GetReceiverKey())
	if c.isHere(receiver, key) || key == c.cfg.Identity.Key() {
		return false
	}
	a := c.absentee(receiver, key)
	if a == nil {
		c.note(Debug, "nothing is left with others, for too many are away", "for", d.GetReceiver())
		return false
	}
	size, id := len(d.GetSealed()), DepositID(d.GetSealed())
	if slices.ContainsFunc(a.deposits, func(other ownDeposit) bool { return other.id == id }) {
		return true
	}
	a.full = a.full || len(a.deposits) >= maxOwnForOne || a.bytes+size > maxOwnForOneB ||
		c.custody.own >= maxOwn || c.custody.ownBytes+size > maxOwnB
	if a.full {
		c.note(Debug, "no more is left with others", "for", d.GetReceiver())
		return false
	}
	a.deposits = append(a.deposits, ownDeposit{d, id, c.now})
	a.bytes += size
	c.custody.own++
	c.custody.ownBytes += size
	c.leaveFor(a)
	return true
}

// withdraw is Withdraw.
func (c *Core) withdraw(receiver certs.ID, rest bool) {
	found := false
	c.custody.absentees = slices.DeleteFunc(c.custody.absentees, func(a *absentee) bool {
		if a.receiver != receiver {
			return false
		}
		found = true
		c.giveUp(a)
		a.full = true
		if a.anew == 0 {
			a.anew = c.now + withdrawPause
		}
		return !rest
	})
	if rest && !found {
		c.out.Withdrawn = append(c.out.Withdrawn, receiver)
	}
}

// absentee finds what is left for a peer, or begins with it; nil if there is no room.
func (c *Core) absentee(receiver certs.ID, key certs.PublicKey) *absentee {
	for _, a := range c.custody.absentees {
		if a.key == key && a.receiver == receiver {
			return a
		}
	}
	if len(c.custody.absentees) >= maxAbsentees {
		return nil
	}
	a := &absentee{receiver: receiver, key: key}
	c.custody.absentees = append(c.custody.absentees, a)
	return a
}

// depositsPending is DepositsPending.
func (c *Core) depositsPending() bool {
	if c.leaving || !c.ready {
		return false
	}
	for _, a := range c.custody.absentees {
		if c.isHere(a.receiver, a.key) {
			continue
		}
		complete, waits := 0, len(c.possibleHolders(a)) > 0
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

// leaveDeposits does for all absentees what is due.
func (c *Core) leaveDeposits() {
	c.custody.absentees = slices.DeleteFunc(c.custody.absentees, func(a *absentee) bool {
		switch {
		case c.isHere(a.receiver, a.key):
		case c.now < a.anew:
			return false
		case a.anew > 0:
			c.out.Withdrawn = append(c.out.Withdrawn, a.receiver)
		case len(a.deposits) > 0 && c.now < a.deposits[0].since+leftFor:
			c.leaveFor(a)
			return false
		case len(a.deposits) > 0:
			c.out.Releave = append(c.out.Releave, a.receiver)
		}
		c.giveUp(a)
		return true
	})
}

// giveUp forgets what is left for a peer.
func (c *Core) giveUp(a *absentee) {
	c.dismissHolders(a)
	c.custody.own -= len(a.deposits)
	c.custody.ownBytes -= a.bytes
	a.deposits, a.bytes = nil, 0
}

func (c *Core) dismissHolders(a *absentee) {
	for _, h := range a.holders {
		c.settle(h)
	}
	a.holders = nil
}

// leaveAnew leaves all once more, since we have been asleep, nobody knows for how long:
// it is kept for a day from now on.
func (c *Core) leaveAnew() {
	for _, a := range c.custody.absentees {
		c.dismissHolders(a)
	}
	c.wakeCustody()
}

// leaveFor looks after the holders of what is left for a peer, chooses new ones, and
// offers each what it lacks.
func (c *Core) leaveFor(a *absentee) {
	a.holders = slices.DeleteFunc(a.holders, func(h *holder) bool { return !c.holds(a, h) })
	if missing := wantHolders - len(a.holders); missing > 0 && len(a.deposits) > 0 {
		list := c.possibleHolders(a)
		c.cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortStableFunc(list, func(l, m *link) int { return rank(l) - rank(m) })
		for _, l := range list[:min(len(list), missing)] {
			a.holders = append(a.holders, &holder{id: l.peer, key: l.key, epoch: l.entry.shown.Epoch})
		}
	}
	for _, h := range a.holders {
		c.offer(a, h)
	}
}

// rank has neighbours chosen first, whose links last.
func rank(l *link) int {
	if l.neighbour {
		return 0
	}
	return 1
}

// holds says that a holder still counts: the run of it that was chosen is here, answers,
// and has everything or a link over which it gets the rest. Who has lost its link keeps
// what it has, but another is chosen for what comes after that.
func (c *Core) holds(a *absentee, h *holder) bool {
	switch l := c.link(h.asked); {
	case h.asked == 0:
	case l == nil || l.state != linkUp:
		c.settle(h)
	case c.now >= h.askedAt+depositTimeout:
		c.note(Debug, "no answer to a deposit", "peer", string(h.id), "for", string(a.receiver))
		c.settle(h)
		a.refused(h.key, c.now)
		return false
	}
	if c.shownEpoch(h.id, h.key) != h.epoch {
		c.settle(h)
		return false
	}
	return h.asked != 0 || h.has == len(a.deposits) || usable(c.linkTo(h.key))
}

func usable(l *link) bool { return l != nil && !l.quiet }

// possibleHolders are links to peers that may keep something for the absentee.
func (c *Core) possibleHolders(a *absentee) []*link {
	var list []*link
	for _, l := range c.links {
		if l.state != linkUp || l.quiet || l.key == a.key || l.entry == nil || l.entry.shown == nil || l.isGuest() || c.linkTo(l.key) != l {
			continue
		}
		if !a.hasRefused(l.key, c.now) && !slices.ContainsFunc(a.holders, func(h *holder) bool { return h.key == l.key }) {
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
func (c *Core) offer(a *absentee, h *holder) {
	l := c.linkTo(h.key)
	if h.asked != 0 || h.has == len(a.deposits) || !usable(l) {
		return
	}
	d := a.deposits[h.has].what
	size := carryBase + len(d.GetSealed())
	if l.offered > 0 && l.offered+size > offerWindow {
		return
	}
	h.asked, h.askedAt, h.size = l.id, c.now, size
	l.offered += size
	l.used = c.now
	c.send(l, d)
}

// settle ends a question, answered or not.
func (c *Core) settle(h *holder) {
	if l := c.link(h.asked); h.asked != 0 && l != nil {
		l.offered -= h.size
	}
	h.asked = 0
}

// receiveDepositAnswer takes the word of a holder. One that was not asked for, or comes
// too late, is nothing.
func (c *Core) receiveDepositAnswer(l *link, m *pb.DepositAnswer) {
	if l.offered == 0 {
		return
	}
	id := [pb.DepositIDSize]byte(m.GetDeposit())
	for _, a := range c.custody.absentees {
		i := slices.IndexFunc(a.holders, func(h *holder) bool { return h.asked == l.id && a.deposits[h.has].id == id })
		if i < 0 {
			continue
		}
		h := a.holders[i]
		c.settle(h)
		if m.GetKept() {
			h.has++
		} else {
			c.note(Debug, "a deposit is refused", "peer", string(l.peer), "for", string(a.receiver), "why", m.GetReason())
			a.refused(h.key, c.now)
			a.holders = slices.Delete(a.holders, i, i+1)
		}
		c.leaveFor(a)
		return
	}
}
