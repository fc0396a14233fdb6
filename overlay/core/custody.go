package core

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Custody for others: a peer with a link to us leaves something sealed for a peer that is away
// (Deposit). We send it to the receiver as an envelope when that is here, again and again until
// the receiver has signed that it has it (Collected). The receipts that come with that signature
// go back to the depositor in the same way. custody_own.go is the other side: our own deposits
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

// DepositID is pb.DepositID.
func DepositID(sealed []byte) [pb.DepositIDSize]byte {
	return pb.DepositID(sealed)
}

// EnvelopeNumber is the number of the envelope in which a deposit is handed over: the
// first 8 bytes of its ID.
func EnvelopeNumber(deposit [pb.DepositIDSize]byte) uint64 {
	return binary.BigEndian.Uint64(deposit[:8])
}

// custody is the mailbox: it keeps deposits for others, and leaves ours with others.
type custody struct {
	*env
	table  *table
	links  *links
	routes *routes
	relay  *relay

	shelves   []*shelf
	absentees []*absentee
	own       int // deposits of the absentees
	ownBytes  int
}

// shelf holds the deposits for one receiver, in the order in which they were taken.
type shelf struct {
	receiver certs.ID
	key      certs.PublicKey
	deposits []*kept
	epoch    uint64 // the run of the receiver that is here; 0: none
}

type kept struct {
	Kept
	id    [pb.DepositIDSize]byte
	since time.Duration
	left  time.Duration // when it was left, or left again
	next  time.Duration // when it is handed over, while the receiver is here
	pause time.Duration
}

// size is how much it counts while it is on its way.
func (k *kept) size() int { return carryBase + len(k.Deposit.GetSealed()) }

// loadCustody takes over the deposits of the last run.
func (cu *custody) loadCustody() {
	list := slices.Clone(cu.cfg.Custody)
	cu.cfg.Custody = nil
	slices.SortStableFunc(list, func(a, b Kept) int { return cmp.Compare(b.Age, a.Age) })
	for _, was := range list {
		k := &kept{Kept: was, id: DepositID(was.Deposit.GetSealed()), since: cu.now - max(was.Age, 0)}
		if cu.cfg.NoCustody || pb.Check(pb.Wrap(was.Deposit)) != nil {
			cu.out.Custody = append(cu.out.Custody, CustodyWrite{ID: k.id})
			continue
		}
		cu.shelve(k)
	}
	cu.expireKept()
}

func (cu *custody) shelve(k *kept) {
	k.left = k.since
	receiver, key := certs.ID(k.Deposit.GetReceiver()), certs.PublicKey(k.Deposit.GetReceiverKey())
	i := slices.IndexFunc(cu.shelves, func(s *shelf) bool { return s.key == key && s.receiver == receiver })
	if i < 0 {
		i = len(cu.shelves)
		cu.shelves = append(cu.shelves, &shelf{receiver: receiver, key: key})
	}
	cu.shelves[i].deposits = append(cu.shelves[i].deposits, k)
}

// wakeCustody asks for a tick, since a peer has come for which something may wait.
func (cu *custody) wakeCustody() {
	if len(cu.shelves)+len(cu.absentees) > 0 {
		cu.wake(cu.now)
	}
}

// receiveDeposit takes what a peer leaves with us, or refuses it with a reason.
func (cu *custody) receiveDeposit(l *link, d *pb.Deposit) {
	l.used = cu.now
	k := &kept{Kept: Kept{Deposit: d, Depositor: l.peer, DepositorKey: l.key}, id: DepositID(d.GetSealed()), since: cu.now}
	reason := "takes no more at once"
	if cu.relay.mayCarry(l, carryBase+len(d.GetSealed())) {
		reason = cu.keep(k)
	}
	cu.links.send(l, &pb.DepositAnswer{Deposit: k.id[:], Kept: reason == "", Reason: reason})
}

// keep stores a deposit, or returns the reason why not. A deposit that we already have is
// accepted again, for a day from now on. Receipts, which have no depositor, count for their
// receiver only.
func (cu *custody) keep(k *kept) (reason string) {
	own, d := cu.cfg.Identity.Key(), k.Deposit
	if cu.cfg.NoCustody {
		return "keeps nothing for others"
	}
	if d.GetReceiver() == string(cu.cfg.ID) || bytes.Equal(d.GetReceiverKey(), own[:]) {
		return "is the receiver itself"
	}
	cu.expireKept()
	var all, ofOne, forOne tally
	size := len(d.GetSealed())
	all.add(size)
	ofOne.add(size)
	forOne.add(size)
	for _, s := range cu.shelves {
		mine := bytes.Equal(s.key[:], d.GetReceiverKey())
		for _, other := range s.deposits {
			if other.id == k.id && mine && string(s.receiver) == d.GetReceiver() {
				if k.follows(other) {
					other.left = cu.now
				}
				return ""
			}
			if other.id == k.id {
				return "keeps it for somebody else"
			}
			if mine && k.follows(other) && cu.now >= other.since+custodyBehind {
				return "has kept what is before it for a week"
			}
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
	case all.above(maxKept, maxKeptB):
		return "keeps no more"
	case ofOne.above(maxKeptOfOne, maxKeptOfOneB):
		return "keeps no more of this peer"
	case forOne.above(maxKeptForOne, maxKeptForOneB):
		return "keeps no more for that peer"
	}
	cu.shelve(k)
	cu.out.Custody = append(cu.out.Custody, CustodyWrite{k.id, &k.Kept})
	cu.wake(cu.now) // the receiver may be here
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

// handOver sends to each receiver that is here the deposits kept for it.
func (cu *custody) handOver() {
	cu.expireKept()
	for _, s := range cu.shelves {
		epoch := cu.table.shownEpoch(s.receiver, s.key)
		if epoch != s.epoch { // another run of it, or it has gone
			for _, k := range s.deposits {
				k.next, k.pause = 0, 0
			}
		}
		if s.epoch = epoch; epoch != 0 {
			cu.handOverTo(s)
		}
	}
}

// expireKept drops old deposits: all of one depositor together, when the last is a day old, and
// receipts one by one.
func (cu *custody) expireKept() {
	for _, s := range cu.shelves {
		if cu.now < s.deposits[0].since+custodyFor {
			continue // it is the oldest
		}
		lives := make(map[certs.PublicKey]bool)
		for _, k := range s.deposits {
			lives[k.DepositorKey] = lives[k.DepositorKey] || cu.now < k.left+custodyFor
		}
		s.deposits = slices.DeleteFunc(s.deposits, func(k *kept) bool {
			if k.Depositor != "" && lives[k.DepositorKey] || cu.now < k.left+custodyFor {
				return false
			}
			cu.out.Custody = append(cu.out.Custody, CustodyWrite{ID: k.id})
			return true
		})
	}
	cu.clearShelves()
}

func (cu *custody) clearShelves() {
	cu.shelves = slices.DeleteFunc(cu.shelves, func(s *shelf) bool { return len(s.deposits) == 0 })
}

// handOverTo sends the deposits that are due, each depositor's oldest first, within a window per
// depositor: so uncollected ones delay only their own depositor's. Deposits never sent before
// come first, then those that have waited longest.
func (cu *custody) handOverTo(s *shelf) {
	onTheWay := 0
	var due []*kept
	windows := make(map[certs.PublicKey]int) // bytes
	for _, k := range s.deposits {
		if k.Depositor != "" {
			before := windows[k.DepositorKey]
			windows[k.DepositorKey] += k.size()
			if before > 0 && before+k.size() > handWindow {
				continue
			}
		}
		switch {
		case cu.now >= k.next:
			due = append(due, k)
		case cu.now < k.next-k.pause+handAgain:
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
		k.next = cu.now + k.pause
		if !cu.relay.canRoute(s.receiver, k.Deposit.GetSealed()) {
			continue
		}
		cu.happen(staying{})
		cu.relay.route(s.receiver, EnvelopeNumber(k.id), k.Deposit.GetSealed())
	}
}

// collect handles Collect.
func (cu *custody) collect(holder certs.ID, collected *pb.Collected) {
	if holder != cu.cfg.ID {
		cu.routes.sendRouted(holder, &pb.Routed{Content: &pb.Routed_Collected{Collected: collected}})
	}
}

// receiveCollected takes a receiver's signed list of collected deposits. The signature is checked
// only if the list names something that we keep, so that the same list sent again costs little.
// The receipts go to the depositor of the first deposit named that has one.
func (cu *custody) receiveCollected(m *pb.Collected) {
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
	for _, s := range cu.shelves {
		for _, k := range s.deposits {
			at, ok := named[k.id]
			if !ok || s.key != key {
				continue
			}
			if known = true; k.Depositor != "" && (first == nil || at < named[first.id]) {
				first = k
			}
		}
	}
	if !known || !certs.VerifyCollected(key, m.GetContent()) {
		return
	}
	for _, s := range cu.shelves {
		s.deposits = slices.DeleteFunc(s.deposits, func(k *kept) bool {
			_, ok := named[k.id]
			if ok = ok && s.key == key; ok {
				cu.out.Custody = append(cu.out.Custody, CustodyWrite{ID: k.id})
			}
			return ok
		})
	}
	cu.clearShelves()
	cu.keepReceipts(first, m.GetReceipts())
	cu.wake(cu.now) // for those that wait behind
}

// keepReceipts stores what a receiver has sealed to the depositor of something collected.
func (cu *custody) keepReceipts(of *kept, receipts []byte) {
	if of == nil || len(receipts) == 0 {
		return
	}
	d := &pb.Deposit{Receiver: string(of.Depositor), ReceiverKey: of.DepositorKey[:], Sealed: receipts}
	if why := cu.keep(&kept{Kept: Kept{Deposit: d}, id: DepositID(receipts), since: cu.now}); why != "" {
		cu.note(Debug, "receipts are not kept", "for", d.GetReceiver(), "why", why)
	}
}
