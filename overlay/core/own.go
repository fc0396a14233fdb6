package core

import (
	"quicpeer/pb"
	"slices"
	"time"
)

// Bounds of what we say of ourselves, guesses unless said otherwise.
const (
	refuteEvery = 200 * time.Millisecond // well below suspectFor
	renewEvery  = 8 * time.Hour
)

// own handles what we announce about ourselves.
type own struct {
	*env
	table  *table
	links  *links
	routes *routes
	where  *whereabouts
	gossip *gossip

	refuting    bool
	refuteTo    LinkID // the link that last brought a LOST of us; 0: none in particular
	refuteAbove uint32 // the seq that it named
	nextRefute  time.Duration
	renewAt     time.Duration
}

// setOwnRecord signs a new statement about ourselves and puts it into the table.
func (ow *own) setOwnRecord(state pb.AnnouncementType, seq uint32) {
	key := ow.cfg.Identity.Key()
	record := &pb.Record{
		Type: state, Id: string(ow.cfg.ID), Key: key[:], Network: ow.cfg.Network,
		Epoch: ow.cfg.Epoch, Nonce: ow.cfg.Nonce, Seq: seq, Visitor: ow.visiting,
	}
	if state == pb.AnnouncementType_JOIN {
		addresses, observed := ow.where.reachable()
		record.Addresses, record.Observed = texts(addresses), texts(observed)
		sealing := ow.cfg.Identity.SealingKey()
		record.SealingKey = sealing[:]
	}
	if ow.cfg.invent != nil {
		ow.cfg.invent(record)
	}
	r := newRecord(record, ow.cfg.Identity.SignRecord(record))
	if ow.table.self == nil {
		ow.table.self = newEntry(r, state, ow.now)
		ow.table.insert(ow.table.self)
	}
	ow.table.set(ow.table.self, r, state)
	ow.table.self.said = ow.now
}

// learnOfSelf takes a statement about ourselves that is greater than ours, and not ours or not of
// this run. To a LOST we answer by a higher seq, SWIM's incarnation. A later epoch is a newer run
// if we are a member already; else a run from before the clock went back. The sender is answered
// even if it is not a neighbour.
func (ow *own) learnOfSelf(from *link, n news) {
	if ow.leaving {
		return
	}
	epoch := n.record.Epoch
	later := epoch > ow.cfg.Epoch || n.state == pb.AnnouncementType_JOIN || // of this epoch, and not by us
		ow.untried && n.record.Nonce != ow.cfg.Nonce
	switch {
	case later && ow.accepted && !ow.untried:
		ow.happen(failed{&StartedElsewhereError{}})
	case later:
		ow.raiseEpoch(epoch) // others know of us before a door has let us in
		ow.gossip.flood(from, ow.table.self)
		if from != nil {
			ow.gossip.announceTo(from, ow.table.self)
		}
	default:
		ow.refuteAbove = max(ow.refuteAbove, n.record.Seq)
		ow.refuting = true
		if from != nil {
			ow.refuteTo = from.id
		}
		ow.refute()
	}
}

// refute announces that we are alive, at most once in refuteEvery: a peer that says LOST without
// end must not make us flood without end.
func (ow *own) refute() {
	if !ow.refuting || ow.leaving {
		return
	}
	if ow.now < ow.nextRefute {
		ow.wake(ow.nextRefute)
		return
	}
	ow.tell(Debug, Refutation, "refuting")
	ow.nextRefute = ow.now + refuteEvery
	ow.setOwnRecord(pb.AnnouncementType_JOIN, max(ow.refuteAbove, ow.table.self.record.Seq)+1)
	from := ow.links.link(ow.refuteTo)
	ow.refuting, ow.refuteTo = false, 0
	ow.gossip.flood(from, ow.table.self)
	if from != nil && from.state == linkUp {
		ow.gossip.announceTo(from, ow.table.self)
	}
}

// raiseEpoch makes this run later than the given epoch.
func (ow *own) raiseEpoch(above uint64) {
	ow.cfg.Epoch = above + 1
	ow.out.Epoch = ow.cfg.Epoch
	ow.setOwnRecord(pb.AnnouncementType_JOIN, 0)
}

// checkOwnID stops this peer if another living key owns its ID, and warns the other if we own it.
func (ow *own) checkOwnID(e *entry) {
	if e.record.ID != ow.cfg.ID || !e.alive() || ow.leaving {
		return
	}
	owner := ow.table.owner(ow.cfg.ID, ow.now)
	if owner != ow.table.self {
		ow.note(Warn, "another peer owns this ID", "id", string(e.record.ID), "key", owner.record.Key.String())
		ow.happen(failed{&DuplicateIDError{Holder: owner.record.Key}})
		return
	}
	ow.gossip.flood(nil, ow.table.self)
}

// renewAddresses announces our addresses if they have changed.
func (ow *own) renewAddresses() {
	ow.where.pending = !ow.accepted
	if ow.table.self == nil || ow.ended || ow.leaving || !ow.accepted {
		return
	}
	addresses, observed := ow.where.reachable()
	if slices.Equal(texts(addresses), ow.table.self.record.Addresses) && slices.Equal(texts(observed), ow.table.self.record.Observed) {
		return
	}
	if ow.now < ow.where.nextRenew {
		ow.where.pending = true
		ow.wake(ow.where.nextRenew)
		return
	}
	ow.where.nextRenew = ow.now + renewPause
	ow.setOwnRecord(pb.AnnouncementType_JOIN, ow.table.self.record.Seq+1)
	for _, l := range ow.links.list { // peers that are not neighbours dial us as well
		if l.state == linkUp {
			ow.gossip.announceTo(l, ow.table.self)
		}
	}
}

// renew prolongs the lease of our JOIN.
func (ow *own) renew() {
	if ow.now >= ow.renewAt && !ow.leaving {
		ow.renewAt = ow.now + renewEvery
		ow.setOwnRecord(pb.AnnouncementType_JOIN, ow.table.self.record.Seq+1)
		ow.gossip.flood(nil, ow.table.self)
	}
}
