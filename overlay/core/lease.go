package core

import (
	"slices"
	"time"

	"quicpeer/pb"
)

// expired says that an announcement is too old to be taken: a JOIN holds for a
// lease unless it is renewed, and who is lost is remembered for longer, so that no
// JOIN that it buries outlives it. A LEAVE is remembered for minutes, and taken later
// only by somebody who still holds what it buries. Ages travel with announcements and run
// on each peer's own clock; no clock on the wall matters.
func (c *Core) expired(n news, held bool) bool {
	age := c.now - n.said
	switch {
	case n.state == pb.AnnouncementType_JOIN:
		return age >= lease
	case n.state == pb.AnnouncementType_LEAVE && !held:
		return age >= rememberLeft
	}
	return age >= rememberFor
}

// forget drops what has expired, and renews our own lease.
func (c *Core) forget() {
	if c.now >= c.renewAt && !c.leaving {
		c.renewAt = c.now + renewEvery
		c.setOwnRecord(pb.AnnouncementType_JOIN, c.self.record.Seq+1)
		c.flood(nil, c.self)
	}
	c.forgetLeft()
	if c.now < c.nextForget {
		return
	}
	c.nextForget = c.now + time.Minute
	for _, e := range slices.Clone(c.table.entries) {
		old := c.now - e.said
		if e == c.self || old < lease || e.buried() && old < rememberFor {
			continue
		}
		c.rememberGone(e.record, e.our().lastAddress)
		c.table.remove(e)
		c.detach(e)
		if e.shown != nil {
			c.showGone(e)
			c.refresh(e.record.ID) // another key of the ID may live
		}
	}
	c.gone = slices.DeleteFunc(c.gone, func(e *entry) bool {
		return e.alive() || c.table.lookup(e.record.tag, e.record.ID, e.record.Key) != e
	})
}

// mayFlood paces what is passed on of others: a peer that changes more than six
// times a minute is announced once in ten seconds, as it is then. Who relays a flood
// so is bounded whatever its source does. Refutations are not held back: there is one
// for each LOST at most.
func (c *Core) mayFlood(e *entry) bool {
	if e.side == nil && e.record.Seq == 0 && !e.buried() {
		return true // its first word
	}
	d := e.with()
	d.pace = max(d.pace, c.now)
	if d.heldBack || d.pace-c.now > (changesAtOnce-1)*changeEvery {
		if !d.heldBack {
			d.heldBack = true
			c.heldBack = append(c.heldBack, e)
		}
		return false
	}
	d.pace += changeEvery
	return true
}

// floodHeldBack announces those that had changed too often.
func (c *Core) floodHeldBack() {
	c.heldBack = slices.DeleteFunc(c.heldBack, func(e *entry) bool {
		d := e.with()
		if d.pace-c.now > (changesAtOnce-1)*changeEvery {
			return false
		}
		d.heldBack = false
		if c.table.lookup(e.record.tag, e.record.ID, e.record.Key) == e && !e.missing && c.mayFlood(e) {
			c.flood(nil, e)
		}
		return true
	})
}
