package core

import (
	"slices"

	"quicpeer/certs"
	"quicpeer/pb"
)

// neighbours counts the links over which announcements flow.
func (c *Core) neighbours() int {
	n := 0
	for _, l := range c.links {
		if l.neighbour {
			n++
		}
	}
	return n
}

// degree counts the neighbours and those who may grant what we have asked for.
// A peer with two links counts once.
func (c *Core) degree() int {
	var keys []certs.PublicKey
	for _, l := range c.links {
		if (l.neighbour || l.asked) && !slices.Contains(keys, l.key) {
			keys = append(keys, l.key)
		}
	}
	return len(keys)
}

// seekNeighbours asks for neighbours until there are enough, of the living at
// random: over a link that stands, else over a new one. Without any it has
// several dials under way at once.
func (c *Core) seekNeighbours() {
	missing := wantNeighbours - c.degree() - c.seeking
	if missing <= 0 {
		return
	}
	var open []*entry
	for _, e := range c.table.entries {
		if e == c.self || !e.alive() || e.dialing != 0 || c.now < e.refusedTill || c.now < e.nextDial {
			continue
		}
		if l := c.linkTo(e.key); l != nil && (l.neighbour || l.asked) {
			continue
		}
		open = append(open, e)
	}
	c.cfg.Rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	for _, e := range open[:min(len(open), missing)] {
		if l := c.linkTo(e.key); l != nil {
			c.askNeighbour(l)
		} else {
			c.dialFor(e, true)
		}
	}
}

func (c *Core) askNeighbour(l *link) {
	if !l.neighbour && !l.asked {
		l.asked, l.askedAt = true, c.now
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	}
}

func (c *Core) receiveNeighbour(l *link, what pb.NeighbourType) {
	switch {
	case what == pb.NeighbourType_REQUEST && (l.neighbour || l.asked || c.degree() < maxNeighbours):
		// Two requests that cross are an agreement of their own, and the one who
		// has asked for what stands has lost sight of it.
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		c.becomeNeighbour(l)
	case what == pb.NeighbourType_REQUEST:
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
	case !l.asked && !l.neighbour:
		c.violation(l, "an answer to no request for neighbourhood")
	case what == pb.NeighbourType_ACCEPT:
		c.becomeNeighbour(l)
	case what == pb.NeighbourType_REFUSE:
		l.asked = false
		if e := c.table.get(l.peer, l.key); e != nil {
			e.refusedTill = c.now + refusedFor
		}
	}
}

// becomeNeighbour opens the link to announcements. Both sides compare their
// tables, and what was broadcast while the link was being made is sent again.
func (c *Core) becomeNeighbour(l *link) {
	l.asked = false
	if l.neighbour {
		return
	}
	l.neighbour = true
	c.requestSync(l)
	c.repeatBroadcasts(l)
}

// unlinked lists the living without a link, those just dialled excepted.
func (c *Core) unlinked() []*entry {
	return slices.DeleteFunc(slices.Clone(c.table.entries), func(e *entry) bool {
		return e == c.self || !e.alive() || e.dialing != 0 || c.now < e.nextDial || c.linkTo(e.key) != nil
	})
}

// probe dials one random living entry without a link now and then, so that an
// entry whose neighbours have all gone is found out.
func (c *Core) probe() {
	if c.now < c.nextProbe {
		return
	}
	c.nextProbe = c.now + probeEvery
	if c.now < c.alarmTill {
		c.nextProbe = c.now + probeAlarmed
	}
	if list := c.unlinked(); len(list) > 0 {
		c.dialEntry(list[c.cfg.Rand.IntN(len(list))])
	}
}

// heal dials one lost entry now and then, so that the halves of a network that
// was cut meet again; without links at once and the addresses of the join too.
// Each lost peer is dialled by the network as a whole about once in healEvery; who
// is short of neighbours dials one each time, since it may be the only one on its
// side that can reach the other.
func (c *Core) heal() {
	c.dialTargets()
	alone := c.linksUp() == 0
	if c.now < c.nextHeal && !alone {
		return
	}
	c.nextHeal = c.now + healEvery
	var lost []*entry
	living := 0
	for _, e := range c.table.entries {
		if e.alive() {
			living++
		}
		if e.state == pb.AnnouncementType_LOST && e.dialing == 0 && c.now >= e.nextDial {
			lost = append(lost, e)
		}
	}
	eager := alone || c.degree() < wantNeighbours
	if len(lost) > 0 && (eager || c.cfg.Rand.IntN(max(living, len(lost))) < len(lost)) {
		c.dialEntry(lost[c.cfg.Rand.IntN(len(lost))])
	}
}
