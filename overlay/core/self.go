package core

import (
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// setOwnRecord signs a new statement about ourselves and puts it into the table.
func (c *Core) setOwnRecord(state pb.AnnouncementType, seq uint32) {
	key := c.cfg.Identity.Key()
	record := &pb.Record{
		Type: state, Id: string(c.cfg.ID), Key: key[:], Network: c.cfg.Network,
		Epoch: c.cfg.Epoch, Nonce: c.cfg.Nonce, Seq: seq, Visitor: c.visit.self,
	}
	if state == pb.AnnouncementType_JOIN {
		addresses, observed := c.reachable()
		record.Addresses, record.Observed = texts(addresses), texts(observed)
		sealing := c.cfg.Identity.SealingKey()
		record.SealingKey = sealing[:]
	}
	if c.cfg.invent != nil {
		c.cfg.invent(record)
	}
	r := newRecord(record, c.cfg.Identity.SignRecord(record))
	if c.self == nil {
		c.self = newEntry(r, state, c.now)
		c.table.insert(c.self)
	}
	c.table.set(c.self, r, state)
	c.self.said = c.now
}

// learnOfSelf takes a statement about ourselves that we have not made, or not in
// this run, and that is greater than ours. Said to be lost, we raise our seq. A later
// epoch is a newer run, to a member; else one of before the clock went back. Who said
// it is answered even if it is no neighbour.
func (c *Core) learnOfSelf(from *link, n news) {
	if c.leaving {
		return
	}
	epoch := n.record.Epoch
	later := epoch > c.cfg.Epoch || n.state == pb.AnnouncementType_JOIN || // of this epoch, and not by us
		c.home.untried && n.record.Nonce != c.cfg.Nonce
	switch {
	case later && c.accepted && !c.home.untried:
		c.fail(&StartedElsewhereError{})
	case later:
		c.raiseEpoch(epoch) // others know of us before a door has let us in
		c.flood(from, c.self)
		if from != nil {
			c.announceTo(from, c.self)
		}
	default:
		c.refuteAbove = max(c.refuteAbove, n.record.Seq)
		c.refuting = true
		if from != nil {
			c.refuteTo = from.id
		}
		c.refute()
	}
}

// accusation is a LOST that the accused may not hear by the flood. It is told until
// it refutes.
type accusation struct {
	entry *entry
	about version // the version of the entry that we hold
	what  *pb.Announcement
	next  time.Duration
}

// warn has a peer told that it is called lost: by a LOST that we don't take, or that
// we don't pass on yet.
func (c *Core) warn(e *entry, n news) {
	for _, a := range c.accusations {
		if a.entry == e && a.about == e.version() {
			return
		}
	}
	if len(c.accusations) < maxAccusations {
		what := &pb.Announcement{Type: n.state, Record: n.record.Signed, Testimonies: n.proof}
		c.accusations = append(c.accusations, &accusation{e, e.version(), what, c.now})
		c.passAccusations()
	}
}

// passAccusations tells the accused.
func (c *Core) passAccusations() {
	c.accusations = slices.DeleteFunc(c.accusations, func(a *accusation) bool {
		if a.entry.version() != a.about {
			return true
		}
		if c.now >= a.next {
			a.next = c.now + warnEvery
			c.sendRouted(a.entry.record.ID, &pb.Routed{Content: &pb.Routed_Accusation{Accusation: a.what}})
		}
		return false
	})
}

// receiveAccusation takes what passAccusations sends.
func (c *Core) receiveAccusation(a *pb.Announcement) {
	n, ok := c.open(nil, a)
	if ok && n.record != nil && n.record.Key == c.cfg.Identity.Key() && n.record.ID == c.cfg.ID &&
		n.version().compare(c.self.version()) > 0 && c.signed(n) {
		c.learnOfSelf(nil, n)
	}
}

// refute says that we are here after all, at most once in refuteEvery: who says
// LOST without end must not make us flood without end.
func (c *Core) refute() {
	if !c.refuting || c.leaving {
		return
	}
	if c.now < c.nextRefute {
		c.wake(c.nextRefute)
		return
	}
	c.tell(Debug, Refutation, "refuting")
	c.nextRefute = c.now + refuteEvery
	c.setOwnRecord(pb.AnnouncementType_JOIN, max(c.refuteAbove, c.self.record.Seq)+1)
	from := c.link(c.refuteTo)
	c.refuting, c.refuteTo = false, 0
	c.flood(from, c.self)
	if from != nil && from.state == linkUp {
		c.announceTo(from, c.self)
	}
}

// raiseEpoch makes this run a later one than that of the epoch.
func (c *Core) raiseEpoch(above uint64) {
	c.cfg.Epoch = above + 1
	c.out.Epoch = c.cfg.Epoch
	c.setOwnRecord(pb.AnnouncementType_JOIN, 0)
}

// checkOwnID stops this peer if another living key owns its ID, and tells the
// other if we do.
func (c *Core) checkOwnID(e *entry) {
	if e.record.ID != c.cfg.ID || !e.alive() || c.leaving {
		return
	}
	owner := c.table.owner(c.cfg.ID, c.now)
	if owner != c.self {
		c.note(Warn, "another peer owns this ID", "id", string(e.record.ID), "key", owner.record.Key.String())
		c.fail(&DuplicateIDError{Holder: owner.record.Key})
		return
	}
	c.flood(nil, c.self)
}

// Leave says goodbye: LEAVE goes out on every link, behind what was broadcast last
// so that it overtakes none of that, then each is closed. The driver may stop once
// they are.
func (c *Core) Leave(now time.Duration) {
	c.begin(now)
	if c.leaving || c.ended {
		return
	}
	c.setOwnRecord(pb.AnnouncementType_LEAVE, c.self.record.Seq+1)
	c.closeAll()
}

// closeAll ends all links, with our last word.
func (c *Core) closeAll() {
	c.leaving = true
	for _, l := range c.links {
		if l.state == linkUp {
			if !l.neighbour {
				c.repeatBroadcasts(l)
			}
			c.announceTo(l, c.self)
		}
		c.close(l, CloseBye, "leaving")
	}
}

// fail ends the core: the driver sends what is queued, closes and reports err.
func (c *Core) fail(err error) {
	if c.ended {
		return
	}
	switch _, elsewhere := err.(*StartedElsewhereError); {
	case elsewhere:
		c.closeAll() // it is not this identity that leaves
	case c.accepted:
		c.Leave(c.now)
	}
	c.ended = true
	c.out.Err = err
}

// StartedElsewhereError: a newer run of this very identity is in the network, or what was to
// be joined is another run of it and nobody else.
type StartedElsewhereError struct{}

func (*StartedElsewhereError) Error() string { return "this identity has been started elsewhere" }

// DuplicateIDError: another key holds our ID.
type DuplicateIDError struct{ Holder certs.PublicKey }

func (e *DuplicateIDError) Error() string {
	return fmt.Sprintf("the ID is in use by the peer with key %v", e.Holder)
}
