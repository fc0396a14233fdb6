package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
)

// settle passes on what has happened until nothing more follows.
func (c *Core) settle() {
	for len(c.events) > 0 {
		what := c.events[0]
		c.events = c.events[1:]
		c.follow(what)
	}
	c.events = nil
}

// follow lets the machines react to something that has happened.
func (c *Core) follow(what happening) {
	switch what := what.(type) {
	case staying:
		c.visit.stay()
	case relocated:
		c.own.renewAddresses()
	case doorLost:
		c.join.doorEnded(what.door, what.did)
	case tableTaken:
		c.becomeReady()
		c.sync.compareNow()
	case foundAgain:
		c.sync.compareAll = true
		c.detect.doubted = append(c.detect.doubted, what.entry)
		c.view.refresh(what.entry.record.ID)
		c.own.checkOwnID(what.entry)
	case missed:
		c.view.miss(what.entry)
	case accused:
		if !what.entry.alive() {
			c.gossip.confirm(nil, what.entry, c.cfg.ID)
			break
		}
		c.detect.alarm()
		n := news{record: what.entry.record, state: pb.AnnouncementType_LOST, said: c.now, accusers: []certs.ID{c.cfg.ID}, ours: true}
		if ch, ok := c.roll.merge(nil, n); ok {
			c.inform(ch)
		}
	case departed:
		c.dropped(what.entry)
		c.view.refresh(what.entry.record.ID)
	case failed:
		c.fail(what.why)
	case targetEnded:
		c.join.targetEnded(what.target, what.why)
	case judged:
		c.merge(what.batch, what.valid)
	case isolated:
		c.view.isolate()
	case awayLong:
		c.view.unsure()
		c.sync.compareAll = true
	}
}

// learn takes a flooded announcement. News goes to all other neighbours; a peer that sends
// something older is sent what we hold. It returns false if the link had to be closed for it.
func (c *Core) learn(from *link, a *pb.Announcement) bool {
	n, ok := c.gossip.open(from, a)
	if n.record == nil || !ok || !c.gossip.isNews(from, n) || c.sync.isJudged(n) {
		return ok
	}
	if !c.gossip.signed(n) {
		c.links.violation(from, "an announcement that its subject has not signed")
		return false
	}
	c.accept(from, n)
	c.settle()
	return !c.ended
}

// accept merges verified news into the table, passes them on, and shows what they change.
func (c *Core) accept(from *link, n news) {
	r := n.record
	e := c.table.lookup(r.tag, r.ID, r.Key)
	if e == c.table.self {
		c.own.learnOfSelf(from, n)
		return
	}
	if n.state == pb.AnnouncementType_LOST && e != nil && (e.alive() || e.suspect(c.now)) {
		members := c.gossip.members(n.accusers, e)
		if len(members) == 0 || !c.gossip.mayAccuse(from, e) {
			c.note(Debug, "an accusation that does not count", "peer", string(r.ID))
			c.gossip.tellAccused(from, e, n)
			return
		}
		n.accusers = members
	}
	if ch, ok := c.roll.merge(from, n); ok {
		c.inform(ch)
	}
}

// inform tells each machine about an update of the table, in this order.
func (c *Core) inform(ch change) {
	if out := ch.evicted; out != nil {
		c.dropped(out)
		if !out.alive() {
			c.join.remember(out)
		}
	}
	if ch.refutes() && ch.entry.our().ours {
		c.doubt.atLeast(c.doubt.score + 1)
	}
	ch.suspectFrom(c.doubt)
	c.broadcasts.told(ch)
	c.probes.told(ch)
	c.neighbourhood.told(ch)
	c.reach.told(ch)
	c.join.told(ch)
	c.links.told(ch)
	c.visit.told(ch)
	c.gossip.told(ch)
	c.view.told(ch)
	c.own.checkOwnID(ch.entry)
}

// dropped tells the machines that an entry has left the table.
func (c *Core) dropped(e *entry) {
	c.links.detach(e)
	if e.shown != nil {
		c.broadcasts.showGone(e)
	}
}

// forget drops expired entries.
func (c *Core) forget() {
	for _, e := range c.roll.expire() {
		shown := e.shown != nil
		c.dropped(e)
		c.join.remember(e)
		if shown {
			c.view.refresh(e.record.ID) // another key of the ID may live
		}
	}
}

// merge takes a batch whose signatures have been judged, even if its link has ended meanwhile: a
// signed statement is true whoever brought it.
func (c *Core) merge(b *batch, valid []bool) {
	l := c.links.link(b.link)
	if l != nil && l.state != linkUp {
		l = nil
	}
	if l != nil {
		l.verifying--
	}
	for i, n := range b.news {
		if !valid[i] && l != nil {
			c.links.violation(l, "an announcement that its subject has not signed")
			l = nil
		}
		if valid[i] && !c.ended && c.gossip.isNews(l, n) {
			c.accept(l, n)
			c.settle()
		}
	}
	if l != nil && l.state == linkUp && !c.ended {
		c.sync.continueSync(l)
	}
}

// becomeReady ends the joining: the user is shown who is here.
func (c *Core) becomeReady() {
	if c.ready {
		return
	}
	c.ready, c.accepted = true, true
	c.doubt.lastHeard = c.now
	c.visit.until = c.now + visitFor
	c.out.Events = append(c.out.Events, Ready{})
	if len(c.cfg.Members) > 0 {
		return // they have been there for long
	}
	for _, e := range sortedByID(c.table.entries) {
		c.view.refresh(e.record.ID)
	}
}

// leave says goodbye.
func (c *Core) leave() {
	if c.leaving || c.ended {
		return
	}
	c.own.setOwnRecord(pb.AnnouncementType_LEAVE, c.table.self.record.Seq+1)
	c.closeAll()
}

// closeAll ends all links, each with our last announcement.
func (c *Core) closeAll() {
	c.leaving = true
	for _, l := range c.links.list {
		if l.state == linkUp {
			if !l.neighbour {
				c.broadcasts.repeatBroadcasts(l)
			}
			c.gossip.announceTo(l, c.table.self)
		}
		c.links.close(l, CloseBye, "leaving")
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
		c.leave()
	}
	c.ended = true
	c.out.Err = err
}

// Drain returns what the core wants since the last call and forgets it. Call it after each input.
func (c *Core) Drain() Effects {
	c.settle()
	c.links.flushAnnouncements()
	out := c.out
	c.out = Effects{}
	return out
}
