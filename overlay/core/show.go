package core

import (
	"slices"

	"quicpeer/certs"
	"quicpeer/pb"
)

// refresh tells the user what has changed about an ID.
func (c *Core) refresh(id certs.ID) {
	if !c.ready || id == c.cfg.ID {
		return
	}
	was := c.table.shown(id)
	owner := c.table.owner(id, c.now)
	if was != nil && was == owner && was.shown.Epoch == owner.record.Epoch {
		return
	}
	if was != nil {
		c.showGone(was)
	}
	if owner != nil {
		owner.shown, owner.seen = owner.record, owner.record.Epoch
		c.out.Events = append(c.out.Events, Joined{id, owner.record.Key, c.toldBy(owner)})
		c.releaseEarly(id)
		c.wakeCustody()
	}
}

// toldBy is the neighbour that an event names: the nearest, or, for a newcomer that
// has the table of a door which is no neighbour of its yet, that door.
func (c *Core) toldBy(e *entry) certs.ID {
	via := c.via(e)
	for _, l := range c.links {
		if via == "" && l.state == linkUp && !l.quiet && c.linkTo(e.record.Key) == nil {
			via = l.peer
		}
	}
	return via
}

// showGone tells the user that the run of a peer that was shown is over.
func (c *Core) showGone(e *entry) {
	farewell := e.state == pb.AnnouncementType_LEAVE && e.record.Epoch == e.shown.Epoch
	if farewell {
		c.lastWords(e)
	}
	e.shown = nil
	c.out.Events = append(c.out.Events, Left{e.record.ID, farewell})
}

// showLost shows those whose time to refute is over.
func (c *Core) showLost() {
	c.doomed = slices.DeleteFunc(c.doomed, func(e *entry) bool {
		if e.suspect(c.now) {
			c.wake(e.side.doomed)
			return false
		}
		if e.shown != nil {
			c.refresh(e.record.ID)
		}
		return true
	})
}

// becomeReady ends the joining: the user sees who is there.
func (c *Core) becomeReady() {
	if c.ready {
		return
	}
	c.ready, c.accepted = true, true
	c.lastHeard = c.now
	c.visit.until = c.now + visitFor
	c.out.Events = append(c.out.Events, Ready{})
	if len(c.cfg.Members) > 0 {
		return // they have been there for long
	}
	for _, e := range sortedByID(c.table.entries) {
		c.refresh(e.record.ID)
	}
}

// isolate is what follows when nobody is reached any more: to our user all are
// lost. It may as well be us, so nobody is accused: the table keeps them, and who
// is found again is shown again.
func (c *Core) isolate() {
	first := true
	for _, e := range c.table.entries {
		if e == c.self || !e.alive() {
			continue
		}
		if first {
			c.note(Info, "nobody is reached any more")
			first = false
		}
		e.missing = true
		c.addGone(e)
		c.table.changed()
	}
	if !first {
		c.missingSince = c.now
		c.showMissing()
	}
}

// miss hides a peer that we alone know and don't reach.
func (c *Core) miss(e *entry) {
	e.missing = true
	c.addGone(e)
	c.table.changed()
	c.refresh(e.record.ID)
}

// found ends that a peer was missing. Neighbours may miss it too.
func (c *Core) found(e *entry) {
	if e.missing {
		e.missing, c.compareAll = false, true
		c.doubted = append(c.doubted, e)
		c.table.changed()
		c.refresh(e.record.ID)
		c.checkOwnID(e)
	}
}

// sortedByID lists entries in the order that users see.
func sortedByID(entries []*entry) []*entry {
	list := slices.Clone(entries)
	slices.SortStableFunc(list, func(a, b *entry) int {
		switch {
		case a.record.ID < b.record.ID:
			return -1
		case a.record.ID > b.record.ID:
			return 1
		}
		return 0
	})
	return list
}
