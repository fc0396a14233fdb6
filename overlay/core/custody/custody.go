// Package custody is mailboxes: what we keep for peers that are away, and what others keep for us
// to hand over.
package custody

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Custody for others: a peer with a link to us leaves something sealed for a peer that is away
// (Deposit). We send it to the receiver as an envelope when that is here, again and again until
// the receiver has signed that it has it (Collected). The receipts that come with that signature
// go back to the depositor in the same way. own.go is the other side: our own deposits
// with others.
//
// The deposits of one depositor for one receiver are ordered, and the receiver waits long for a
// missing one. So they must not expire one by one: all are dropped together, a day after the last
// was taken. The depositor starts over before that can happen, and need not know which ones are
// still there.

// Bounds of custody, all guesses.
const (
	custodyFor      = 24 * time.Hour // after the last that one depositor has left for a receiver
	custodyBehind   = 7 * custodyFor // after the first, nothing more is taken behind it: no message waits longer at its author
	maxKept         = 4096           // deposits
	maxKeptB        = 32 << 20
	maxKeptOfOne    = 1024 // left by one key
	maxKeptOfOneB   = 8 << 20
	maxKeptForOne   = 2048 // for one key
	maxKeptForOneB  = 16 << 20
	handWindow      = 256 << 10       // bytes of one depositor on their way to one receiver
	handMost        = 1 << 20         // of all, handed over within handAgain
	handAgain       = 2 * time.Second // pause before an uncollected deposit is sent again; doubles each time
	handAgainAtMost = 30 * time.Second
)

// EnvelopeNumber is the number of the envelope in which a deposit is handed over: the
// first 8 bytes of its ID.
func EnvelopeNumber(deposit [pb.DepositIDSize]byte) uint64 {
	return binary.BigEndian.Uint64(deposit[:8])
}

// Custody is the mailbox: it keeps deposits for others, and leaves ours with others.
type Custody struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	relay  *route.Relay

	Shelves   []*shelf
	Absentees []*absentee
	Own       int // deposits of the absentees
	ownBytes  int
	copies    []*copies // of our earlier deposits
	copied    int       // deposits in these
}

// New returns the mailbox, with the deposits of the last run.
func New(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, rl *route.Relay) *Custody {
	cu := &Custody{Env: en, table: t, links: ls, routes: rt, relay: rl}
	cu.load()
	return cu
}

// shelf holds the deposits for one receiver, in the order in which they were taken.
type shelf struct {
	receiver certs.ID
	key      certs.PublicKey
	Deposits []*kept
	epoch    uint64 // the run of the receiver that is here; 0: none
}

type kept struct {
	base.Kept
	ID    [pb.DepositIDSize]byte
	since time.Duration
	left  time.Duration // when it was left, or left again
	next  time.Duration // when it is handed over, while the receiver is here
	pause time.Duration
	tries int // in vain
}

// size is how much it counts while it is on its way.
func (k *kept) size() int { return route.CarryBase + len(k.Deposit.GetSealed()) }

// load takes over the deposits of the last run.
func (cu *Custody) load() {
	list := slices.Clone(cu.Cfg.Custody)
	cu.Cfg.Custody = nil
	slices.SortStableFunc(list, func(a, b base.Kept) int { return cmp.Compare(b.Age, a.Age) })
	for _, was := range list {
		k := &kept{Kept: was, ID: pb.DepositID(was.Deposit.GetSealed()), since: cu.Now - max(was.Age, 0)}
		if cu.Cfg.NoCustody || pb.Check(pb.Wrap(was.Deposit)) != nil {
			cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID})
			continue
		}
		cu.shelve(k)
	}
	cu.expireKept()
}

func (cu *Custody) shelve(k *kept) {
	k.left = k.since
	receiver, key := certs.ID(k.Deposit.GetReceiver()), certs.PublicKey(k.Deposit.GetReceiverKey())
	i := slices.IndexFunc(cu.Shelves, func(s *shelf) bool { return s.key == key && s.receiver == receiver })
	if i < 0 {
		i = len(cu.Shelves)
		cu.Shelves = append(cu.Shelves, &shelf{receiver: receiver, key: key})
	}
	cu.Shelves[i].Deposits = append(cu.Shelves[i].Deposits, k)
}

// Holding is how many deposits are kept for others, and the size of what was sealed in them.
func (cu *Custody) Holding() (letters, bytes int) {
	for _, s := range cu.Shelves {
		letters += len(s.Deposits)
		for _, k := range s.Deposits {
			bytes += len(k.Deposit.GetSealed())
		}
	}
	return letters, bytes
}

// WakeCustody asks for a tick, since a peer has come for which something may wait.
func (cu *Custody) WakeCustody() {
	if len(cu.Shelves)+len(cu.Absentees)+len(cu.copies) > 0 {
		cu.Wake(cu.Now)
	}
}

// ReceiveDeposit takes what a peer leaves with us, or refuses it with a reason.
func (cu *Custody) ReceiveDeposit(l *link.Link, d *pb.Deposit) {
	l.Used = cu.Now
	k := &kept{Kept: base.Kept{Deposit: d, Depositor: l.Peer, DepositorKey: l.Key}, ID: pb.DepositID(d.GetSealed()), since: cu.Now}
	reason := "takes no more at once"
	if cu.relay.MayCarry(l, route.CarryBase+len(d.GetSealed())) {
		reason = cu.keep(k)
	}
	cu.links.Send(l, &pb.DepositAnswer{Deposit: k.ID[:], Kept: reason == "", Reason: reason})
}

// keep stores a deposit, or returns the reason why not. A deposit that we already have is
// accepted again, for a day from now on. Receipts, which have no depositor, count for their
// receiver only.
func (cu *Custody) keep(k *kept) (reason string) {
	own, d := cu.Cfg.Identity.Key(), k.Deposit
	if cu.Cfg.NoCustody {
		return "keeps nothing for others"
	}
	if d.GetReceiver() == string(cu.Cfg.ID) || bytes.Equal(d.GetReceiverKey(), own[:]) {
		return "is the receiver itself"
	}
	if cu.isOut(certs.ID(d.GetReceiver()), certs.PublicKey(d.GetReceiverKey())) {
		return "knows that the receiver is out of this network"
	}
	cu.expireKept()
	var all, ofOne, forOne tally
	old := false
	size := len(d.GetSealed())
	all.add(size)
	ofOne.add(size)
	forOne.add(size)
	for _, s := range cu.Shelves {
		mine := bytes.Equal(s.key[:], d.GetReceiverKey())
		for _, other := range s.Deposits {
			if other.ID == k.ID && mine && string(s.receiver) == d.GetReceiver() {
				if k.follows(other) {
					other.left = cu.Now
				}
				return ""
			}
			if other.ID == k.ID {
				return "keeps it for somebody else"
			}
			old = old || mine && k.follows(other) && cu.Now >= other.since+custodyBehind
			n := len(other.Deposit.GetSealed())
			all.add(n)
			if mine {
				forOne.add(n)
			}
			if k.follows(other) {
				ofOne.add(n)
			}
		}
	}
	switch {
	case old:
		return "has kept what is before it for a week"
	case all.above(maxKept, maxKeptB):
		return "keeps no more"
	case ofOne.above(maxKeptOfOne, maxKeptOfOneB):
		return "keeps no more of this peer"
	case forOne.above(maxKeptForOne, maxKeptForOneB):
		return "keeps no more for that peer"
	}
	cu.shelve(k)
	cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID, Kept: &k.Kept})
	cu.Wake(cu.Now) // the receiver may be here
	return ""
}

// follows reports whether two deposits are of one depositor. Receipts have none.
func (k *kept) follows(other *kept) bool {
	return k.Depositor != "" && other.Depositor != "" && k.DepositorKey == other.DepositorKey
}

// tally counts deposits and their bytes.
type tally struct{ number, bytes int }

func (t *tally) add(bytes int) { t.number, t.bytes = t.number+1, t.bytes+bytes }

func (t *tally) above(number, bytes int) bool { return t.number > number || t.bytes > bytes }

// HandOver sends to each receiver that is here the deposits kept for it.
func (cu *Custody) HandOver() {
	cu.expireKept()
	for _, s := range cu.Shelves {
		epoch := cu.table.ShownEpoch(s.receiver, s.key)
		if epoch != s.epoch { // another run of it, or it has gone
			for _, k := range s.Deposits {
				k.next, k.pause, k.tries = 0, 0, 0
			}
		}
		if s.epoch = epoch; epoch != 0 {
			cu.handOverTo(s)
		}
	}
}

// expireKept drops old deposits: all of one depositor together, when the last is a day old, and
// receipts one by one.
func (cu *Custody) expireKept() {
	for _, s := range cu.Shelves {
		if cu.Now < s.Deposits[0].since+custodyFor {
			continue // it is the oldest
		}
		lives := make(map[certs.PublicKey]bool)
		for _, k := range s.Deposits {
			lives[k.DepositorKey] = lives[k.DepositorKey] || cu.Now < k.left+custodyFor
		}
		s.Deposits = slices.DeleteFunc(s.Deposits, func(k *kept) bool {
			if k.Depositor != "" && lives[k.DepositorKey] || cu.Now < k.left+custodyFor {
				return false
			}
			cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID})
			return true
		})
	}
	cu.clearShelves()
}

// Expel drops what is kept for a peer that is out of this private network, what it has left, and what
// we have left for it.
func (cu *Custody) Expel(key certs.PublicKey) {
	for _, s := range cu.Shelves {
		s.Deposits = slices.DeleteFunc(s.Deposits, func(k *kept) bool {
			if s.key != key && (k.Depositor == "" || k.DepositorKey != key) {
				return false
			}
			cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID})
			return true
		})
	}
	cu.clearShelves()
	cu.dropCopies(func(c *copies) bool { return c.key == key })
	cu.Absentees = slices.DeleteFunc(cu.Absentees, func(a *absentee) bool {
		if a.key != key {
			return false
		}
		cu.giveUp(a)
		cu.Out.Releave = append(cu.Out.Releave, a.receiver) // it may come back, if it has only fallen with its admin
		return true
	})
}

// isOut reports whether a peer was removed from this private network.
func (cu *Custody) isOut(id certs.ID, key certs.PublicKey) bool {
	e := cu.table.Get(id, key)
	return e != nil && e.Removed()
}

func (cu *Custody) clearShelves() {
	cu.Shelves = slices.DeleteFunc(cu.Shelves, func(s *shelf) bool { return len(s.Deposits) == 0 })
}

// handOverTo sends the deposits that are due, each depositor's oldest first, within a window per
// depositor: so uncollected ones delay only their own depositor's. Deposits never sent before
// come first, then those that have waited longest.
func (cu *Custody) handOverTo(s *shelf) {
	onTheWay := 0
	var due []*kept
	windows := make(map[certs.PublicKey]int) // bytes
	for _, k := range s.Deposits {
		if k.Depositor != "" {
			before := windows[k.DepositorKey]
			windows[k.DepositorKey] += k.size()
			if before > 0 && before+k.size() > handWindow {
				continue
			}
		}
		switch {
		case cu.Now >= k.next:
			due = append(due, k)
		case cu.Now < k.next-k.pause+handAgain:
			onTheWay += k.size()
		}
	}
	slices.SortStableFunc(due, func(a, b *kept) int { return cmp.Compare(a.next, b.next) })
	for _, k := range due {
		if onTheWay > 0 && onTheWay+k.size() > handMost {
			return
		}
		onTheWay += k.size()
		k.pause = min(max(2*k.pause, handAgain), handAgainAtMost)
		k.next = cu.Now + k.pause
		if !cu.relay.CanRoute(s.receiver, k.Deposit.GetSealed()) {
			continue
		}
		cu.Happen(base.Staying{})
		cu.relay.Route(s.receiver, EnvelopeNumber(k.ID), k.Deposit.GetSealed(), k.tries, 0)
		k.tries++
	}
}

// Collect handles Collect.
func (cu *Custody) Collect(holder certs.ID, over base.LinkID, collected *pb.Collected) {
	if holder != cu.Cfg.ID {
		cu.routes.SendBack(over, holder, &pb.Routed{Content: &pb.Routed_Collected{Collected: collected}})
	}
}

// ReceiveCollected takes a receiver's signed list of collected deposits. The signature is checked
// only if the list names something that we keep, so that the same list sent again costs little.
// The receipts go to the depositor of the first deposit named that has one.
func (cu *Custody) ReceiveCollected(m *pb.Collected) {
	content, err := pb.ParseCollected(m.GetContent())
	if err != nil {
		return // routed, so the culprit is not known
	}
	key := certs.PublicKey(content.GetKey())
	named := make(map[[pb.DepositIDSize]byte]int) // and at which place
	for i, id := range slices.Backward(content.GetDeposits()) {
		named[[pb.DepositIDSize]byte(id)] = i
	}
	known := false
	var first *kept
	for _, s := range cu.Shelves {
		for _, k := range s.Deposits {
			at, ok := named[k.ID]
			if !ok || s.key != key {
				continue
			}
			if known = true; k.Depositor != "" && (first == nil || at < named[first.ID]) {
				first = k
			}
		}
	}
	if !known || !certs.VerifyCollected(key, m.GetContent()) {
		return
	}
	for _, s := range cu.Shelves {
		s.Deposits = slices.DeleteFunc(s.Deposits, func(k *kept) bool {
			_, ok := named[k.ID]
			if ok = ok && s.key == key; ok {
				cu.Out.Custody = append(cu.Out.Custody, base.CustodyWrite{ID: k.ID})
			}
			return ok
		})
	}
	cu.clearShelves()
	cu.keepReceipts(first, m.GetReceipts())
	cu.Wake(cu.Now) // for those that wait behind
}

// keepReceipts stores what a receiver has sealed to the depositor of something collected.
func (cu *Custody) keepReceipts(of *kept, receipts []byte) {
	if of == nil || len(receipts) == 0 {
		return
	}
	d := &pb.Deposit{Receiver: string(of.Depositor), ReceiverKey: of.DepositorKey[:], Sealed: receipts}
	if why := cu.keep(&kept{Kept: base.Kept{Deposit: d}, ID: pb.DepositID(receipts), since: cu.Now}); why != "" {
		cu.Note(base.Debug, "receipts are not kept", "for", d.GetReceiver(), "why", why)
	}
}
