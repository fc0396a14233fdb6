package core

import "quicpeer/pb"

// The rule: a link that is silent for quietAfter, or breaks, makes its owner
// dial the peer anew; if that fails the peer is lost. A peer without a link is
// lost when two dials in a row fail. When a link falls silent there may be others
// who died with its peer and had links to nobody else: for alarmFor its owner
// dials more of those without a link, and one dial that fails is enough. The
// accused has suspectFor to refute before users see anything, and who has refuted
// us once is not accused by us again for accuseAgainAfter unless a link to it
// breaks: it may just be out of our reach.

// checkLinks looks for links that are silent, or serve nothing.
func (c *Core) checkLinks() {
	for _, l := range c.links {
		if l.state != linkUp {
			continue
		}
		silent := c.now-l.heard > quietAfter
		if !silent {
			l.quiet = false
		}
		if silent && !l.quiet {
			l.quiet = true
			if e := c.table.get(l.peer, l.key); e != nil && e.alive() && c.linkTo(l.key) == l {
				c.note(Debug, "link silent", "peer", string(l.peer), "address", l.address)
				c.suspectEnd(e)
			}
		}
		if l.syncing && c.now > l.synced+syncTimeout {
			c.note(Warn, "table did not come", "peer", string(l.peer), "address", l.address)
			c.close(l, CloseTimeout, "the table did not come in time")
			continue
		}
		if l.asked && c.now > l.askedAt+askTimeout {
			c.close(l, CloseTimeout, "a request for neighbourhood was not answered")
			continue
		}
		if !l.neighbour && !l.asked && !l.syncing && c.now-max(l.used, l.opened) > idleAfter {
			c.close(l, CloseIdle, "not used")
		}
	}
}

// suspectEnd has a link to the peer that is silent or broken looked into.
func (c *Core) suspectEnd(e *entry) {
	e.confirm = true
	c.dialEntry(e)
	if c.now >= c.alarmTill {
		c.nextProbe = c.now
	}
	c.alarmTill = c.now + alarmFor
}

// forgiveSilence is for a peer that was stopped itself: nobody was silent, it was deaf.
func (c *Core) forgiveSilence() {
	c.note(Debug, "this process was stopped for a while")
	for _, l := range c.links {
		l.heard, l.opened = c.now, max(l.opened, c.now-handshakeTimeout/2)
		l.synced, l.askedAt = c.now, c.now
	}
}

// dialFailed judges an entry that a dial has just not reached.
func (c *Core) dialFailed(e *entry) {
	if e.wanted && e.state != pb.AnnouncementType_LEAVE {
		c.out.Unreachable = append(c.out.Unreachable, e.id)
	}
	l := c.linkTo(e.key)
	if l != nil && !l.quiet {
		e.confirm = false // it has been heard meanwhile
		return
	}
	enough := 2
	if c.now < c.alarmTill {
		enough = 1
	}
	if !e.confirm && (e.failures < enough || c.now < e.quarrelTill) {
		return
	}
	e.confirm = false
	if l != nil {
		c.close(l, CloseDead, "silent, and not to be dialled")
	}
	c.accuse(e)
}

// accuse says that the peer is lost.
func (c *Core) accuse(e *entry) {
	if !e.alive() || c.leaving || c.ended {
		return
	}
	c.note(Debug, "lost", "peer", string(e.id), "key", e.key.String())
	e.state, e.doomed, e.accused = pb.AnnouncementType_LOST, c.now+suspectFor, true
	e.failures, e.nextDial = 0, c.now+firstBackoff
	e.paths, e.buried = nil, c.now
	c.table.changed()
	c.flood(nil, e, 0)
	c.refresh(e.id)
}
