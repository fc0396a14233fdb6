package core

import (
	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// settle passes on what has happened until nothing more follows.
func (c *Core) settle() {
	for len(c.env.Events) > 0 {
		what := c.env.Events[0]
		c.env.Events = c.env.Events[1:]
		c.follow(what)
	}
	c.env.Events = nil
}

// follow lets the machines react to something that has happened.
func (c *Core) follow(what base.Happening) {
	switch what := what.(type) {
	case base.Staying:
		c.visit.stay()
	case reach.Relocated:
		c.own.renewChanged()
	case link.DoorLost:
		c.join.DoorEnded(what.Door, what.Did)
	case base.TableTaken:
		c.becomeReady()
		c.sync.CompareNow()
	case table.FoundAgain:
		if e := what.Entry; e.Shown == nil && e.Seen == e.Record.Epoch {
			c.env.Counts.FalseLost++
		}
		c.sync.CompareAll = true
		c.detect.Doubted = append(c.detect.Doubted, what.Entry)
		c.view.refresh(what.Entry.Record.ID)
		c.own.checkOwnID(what.Entry)
	case detect.Lives:
		c.hearsay.Lives(what.Entry)
	case hearsay.Believed:
		if c.env.Passes.Barred(what.News.Record) == nil && c.gossip.IsNews(what.By, what.News) {
			c.enter(what.By, what.News)
		}
		c.hearsay.Ended(what)
	case hearsay.Grown:
		c.sync.CompareTables(what.Link)
	case detect.Missed:
		c.hearsay.Lied(what.Entry)
		c.view.miss(what.Entry)
	case detect.Accused:
		c.hearsay.Lied(what.Entry)
		if !what.Entry.Alive() {
			c.gossip.Confirm(nil, what.Entry, c.env.Cfg.ID)
			break
		}
		c.detect.Alarm()
		n := link.News{Record: what.Entry.Record, State: pb.AnnouncementType_LOST, Said: c.env.Now, Accusers: []certs.ID{c.env.Cfg.ID}, Ours: true}
		if ch, ok := c.roll.merge(nil, n); ok {
			c.inform(ch)
		}
	case outdated:
		c.detect.Check(what.entry)
	case departed:
		c.dropped(what.entry)
		c.view.refresh(what.entry.Record.ID)
	case base.Failed:
		c.fail(what.Why)
	case reach.TargetEnded:
		c.join.TargetEnded(what)
	case reconcile.Judged:
		c.merge(what.Batch, what.Valid)
	case detect.Isolated:
		c.view.isolate()
	case detect.AwayLong:
		c.view.unsure()
		c.sync.CompareAll = true
	}
}

// learn takes a flooded announcement. News goes to all other neighbours; a peer that sends
// something older is sent what we hold. It returns false if the link had to be closed for it.
func (c *Core) learn(from *link.Link, a *pb.Announcement) bool {
	n, ok := c.gossip.Open(from, a)
	if n.Record == nil || !ok || !c.gossip.IsNews(from, n) || c.sync.IsJudged(n) || c.hearsay.Refuses(from, n) {
		return ok
	}
	if !c.gossip.Signed(n) {
		c.links.Violation(from, "an announcement that its subject has not signed")
		return false
	}
	c.accept(from, n)
	c.settle()
	return !c.env.Ended
}

// accept merges verified news into the table, passes them on, and shows what they change.
func (c *Core) accept(from *link.Link, n link.News) {
	r := n.Record
	e := c.table.Lookup(r.Tag, r.ID, r.Key)
	if e == c.table.Self {
		c.own.learnOfSelf(from, n)
		return
	}
	if n.State == pb.AnnouncementType_LOST && e != nil && (e.Alive() || e.Suspect(c.env.Now)) {
		members := c.gossip.Members(n.Accusers, e)
		if len(members) == 0 || !c.gossip.MayAccuse(from, e) {
			c.env.Note(base.Debug, "an accusation that does not count", "peer", string(r.ID))
			c.gossip.TellAccused(from, e, n)
			return
		}
		n.Accusers = members
	}
	if c.hearsay.Believes(from, n) {
		c.enter(from, n)
	}
}

// enter merges news that is believed.
func (c *Core) enter(from *link.Link, n link.News) {
	if ch, ok := c.roll.merge(from, n); ok {
		c.inform(ch)
		if n.State == pb.AnnouncementType_REMOVED {
			c.members.expel(ch.Entry)
		}
	}
}

// inform tells each machine about an update of the table, in this order.
func (c *Core) inform(ch link.Change) {
	if out := ch.Evicted; out != nil {
		c.dropped(out)
		if !out.Alive() {
			c.join.Remember(out)
		}
	}
	if ch.Refutes() && ch.Entry.Our().Ours {
		c.doubt.AtLeast(c.doubt.Score + 1)
	}
	if ch.Refutes() && !ch.Begins() {
		c.env.Counts.FalseLost++
	}
	ch.SuspectFrom(c.doubt)
	c.broadcasts.Told(ch)
	c.probes.Told(ch)
	c.neighbourhood.Told(ch)
	c.reach.Told(ch)
	c.join.Told(ch)
	c.links.Told(ch)
	c.hearsay.Told(ch)
	c.carried.told(ch)
	c.visit.told(ch)
	c.gossip.Told(ch)
	c.view.told(ch)
	c.own.checkOwnID(ch.Entry)
}

// dropped tells the machines that an entry has left the table.
func (c *Core) dropped(e *table.Entry) {
	c.links.Detach(e)
	if e.Shown != nil {
		c.broadcasts.ShowGone(e)
	}
}

// forget drops expired entries.
func (c *Core) forget() {
	for _, e := range c.roll.expire() {
		shown := e.Shown != nil
		c.dropped(e)
		c.join.Remember(e)
		if shown {
			c.view.refresh(e.Record.ID) // another key of the ID may live
		}
	}
}

// merge takes a batch whose signatures have been judged, even if its link has ended meanwhile: a
// signed statement is true whoever brought it.
func (c *Core) merge(b *reconcile.Batch, valid []bool) {
	l := c.links.Link(b.Link)
	if l != nil && l.State != link.LinkUp {
		l = nil
	}
	if l != nil {
		l.Verifying--
	}
	for i, n := range b.News {
		if !valid[i] && l != nil {
			c.links.Violation(l, "an announcement that its subject has not signed")
			l = nil
		}
		if valid[i] && !c.env.Ended && c.env.Passes.Barred(n.Record) == nil && c.gossip.IsNews(l, n) { // it may be out since then
			c.accept(l, n)
			c.settle()
		}
	}
	if l != nil && l.State == link.LinkUp && !c.env.Ended {
		c.sync.ContinueSync(l)
	}
}

// becomeReady ends the joining: the user is shown who is here.
func (c *Core) becomeReady() {
	if c.env.Ready {
		return
	}
	c.env.Ready, c.env.ReadyAt = true, c.env.Now
	c.own.accepted()
	c.doubt.LastHeard = c.env.Now
	c.visit.until = c.env.Now + visitFor
	c.env.Out.Events = append(c.env.Out.Events, base.Ready{})
	defer c.past.Pursue()
	if len(c.env.Cfg.Members) > 0 {
		return // they have been there for long
	}
	for _, e := range sortedByID(c.table.Entries) {
		c.view.refresh(e.Record.ID)
	}
	c.join.TellMet()
}

// leave says goodbye.
func (c *Core) leave() {
	if c.env.Leaving || c.env.Ended {
		return
	}
	c.own.setOwnRecord(pb.AnnouncementType_LEAVE, c.table.Self.Record.Seq+1)
	c.closeAll()
}

// closeAll ends all links, each with our last announcement.
func (c *Core) closeAll() {
	c.env.Leaving = true
	for _, l := range c.links.List {
		if l.State == link.LinkUp {
			if !l.Neighbour {
				c.broadcasts.RepeatBroadcasts(l)
			}
			c.gossip.AnnounceTo(l, c.table.Self)
		}
		c.links.Close(l, base.CloseBye, "leaving")
	}
}

// fail ends the core: the driver sends what is queued, closes and reports err.
func (c *Core) fail(err error) {
	if c.env.Ended {
		return
	}
	_, elsewhere := err.(*base.StartedElsewhereError)
	_, removed := err.(*base.RemovedError)
	switch {
	case elsewhere, removed:
		c.closeAll() // it is not this identity that leaves, or nobody takes its word any more
	case c.env.Accepted:
		c.leave()
	}
	c.env.Ended = true
	c.env.Out.Err = err
}

// Drain returns what the core wants since the last call and forgets it. Call it after each input.
func (c *Core) Drain() base.Effects {
	c.settle()
	c.links.FlushAnnouncements()
	out := c.env.Out
	c.env.Out = base.Effects{}
	return out
}
