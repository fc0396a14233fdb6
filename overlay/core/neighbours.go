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
// A peer with two links counts once, one that depends on us not at all.
func (c *Core) degree() int {
	var keys []certs.PublicKey
	for _, l := range c.links {
		if (l.neighbour || l.asked) && !l.dependant && !slices.Contains(keys, l.key) {
			keys = append(keys, l.key)
		}
	}
	return len(keys)
}

func (c *Core) dependants() int {
	n := 0
	for _, l := range c.links {
		if l.neighbour && l.dependant {
			n++
		}
	}
	return n
}

// seekNeighbours asks for neighbours, of the living at random, until it has five; and
// then, in no hurry, until it has eight or has gained five by asking, or those who
// come and go would leave all with five. It asks over a link that stands, else over a
// new one, several at once but then two a second: in a network that grows most are
// full. Without any neighbour for a while it asks to be taken above the usual number.
func (c *Core) seekNeighbours() {
	c.leanOnOthers()
	degree := c.degree()
	missing := wantNeighbours - degree - c.seeking
	if degree >= wantNeighbours && degree < enoughNeighbours && c.gained() < wantNeighbours && c.seeking == 0 &&
		c.lag < doubtLate && c.extras.take(c.now, 1, extraEvery) {
		missing = 1
	}
	for _, l := range c.links { // those that stand cost nothing
		if e := l.entry; missing > 0 && l.state == linkUp && !l.quiet && e != nil && c.mayAsk(e) {
			c.askNeighbour(l, false)
			missing--
		}
	}
	for ; missing > 0; missing-- {
		e := c.pickNeighbour()
		if e == nil {
			return
		}
		if l := c.linkTo(e.record.Key); l != nil {
			c.askNeighbour(l, false)
		} else if c.seeks.take(c.now, wantNeighbours, seekEvery) {
			c.dialFor(e, toSeek)
		}
	}
}

// gained counts the neighbours that we have asked for.
func (c *Core) gained() int {
	n := 0
	for _, l := range c.links {
		if l.neighbour && l.gained {
			n++
		}
	}
	return n
}

// pickNeighbour chooses whom to ask: who has been suggested, else anybody.
func (c *Core) pickNeighbour() *entry {
	for len(c.suggested) > 0 {
		e := c.table.owner(c.suggested[0], c.now)
		c.suggested = c.suggested[1:]
		if e != nil && c.mayAsk(e) {
			return e
		}
	}
	return c.pick(c.mayAsk)
}

// mayAsk says that the peer can be asked for neighbourhood.
func (c *Core) mayAsk(e *entry) bool {
	d := e.our()
	if e == c.self || e.isGuest() || !e.alive() && !e.missing || d.dialing != 0 || c.now < d.refusedTill || c.now < d.nextDial {
		return false
	}
	l := c.linkTo(e.record.Key)
	return l == nil || !l.neighbour && !l.asked
}

// leanOnOthers asks to be taken as a dependant when nobody has taken us as a
// neighbour for a while, and ends that when others have.
func (c *Core) leanOnOthers() {
	switch n := c.neighbours(); {
	case n > 0:
		c.aloneSince = c.now
	case c.now >= c.aloneSince+aloneAfter:
		for _, l := range slices.Backward(c.links) {
			if l.state == linkUp && !l.asked && !l.quiet && !l.leanRefused && !l.isGuest() {
				c.askNeighbour(l, true)
				return
			}
		}
	}
	if c.neighbours() <= 2 {
		return
	}
	for _, l := range c.links {
		if l.neighbour && l.leaning {
			c.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			c.endNeighbour(l)
			return
		}
	}
}

func (c *Core) askNeighbour(l *link, alone bool) {
	if !l.neighbour && !l.asked && !c.visit.self && !l.isGuest() {
		l.asked, l.everAsked, l.askedAt, l.leaning = true, true, c.now, alone
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Alone: alone, Have: uint32(c.neighbours())})
	}
}

func (c *Core) receiveNeighbour(l *link, m *pb.Neighbour) {
	switch what := m.GetType(); {
	case what < pb.NeighbourType_REQUEST || what > pb.NeighbourType_END:
		c.note(Debug, "a step in becoming neighbours that is not known, ignored", "peer", string(l.peer), "type", what.String())
	case what == pb.NeighbourType_REQUEST:
		c.receiveRequest(l, m)
	case what == pb.NeighbourType_END:
		if l.neighbour {
			c.endNeighbour(l)
		}
	case !l.everAsked && !l.neighbour:
		c.violation(l, "an answer to no request for neighbourhood")
	case !l.asked && !l.neighbour: // it has been ended meanwhile
		if what == pb.NeighbourType_ACCEPT {
			c.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
		}
	case what == pb.NeighbourType_ACCEPT:
		l.gained = l.gained || l.asked
		c.becomeNeighbour(l, false)
		c.compareTables(l)
	case what == pb.NeighbourType_REFUSE:
		l.asked, l.leanRefused, l.leaning = false, l.leaning, false
		if e := l.entry; e != nil {
			e.with().refusedTill = c.now + refusedFor
		}
		for _, id := range m.GetCandidates() {
			if len(c.suggested) < pb.MaxCandidates {
				c.suggested = append(c.suggested, certs.ID(id))
			}
		}
	}
}

// receiveRequest grants neighbourhood or refuses it and names others. Two requests
// that cross are an agreement of their own, and the one who asks for what stands
// has lost sight of it.
func (c *Core) receiveRequest(l *link, m *pb.Neighbour) {
	c.stay()
	switch {
	case l.neighbour || l.asked || c.degree() < maxNeighbours || m.GetHave() < wantNeighbours && c.giveUpOne():
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		c.becomeNeighbour(l, false)
	case m.GetAlone() && c.dependants() < maxDependants:
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		c.becomeNeighbour(l, true)
	default:
		c.send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE, Candidates: c.withRoom(l)})
	}
}

// giveUpOne makes room by ending with the neighbour that, by what it has said, has
// most, if that is more than enough.
func (c *Core) giveUpOne() bool {
	var richest *link
	most := enoughNeighbours
	for _, l := range c.links {
		if e := l.entry; l.neighbour && l.slot >= 0 && e != nil && len(e.our().neighbours)+1 > most {
			richest, most = l, len(e.our().neighbours)+1
		}
	}
	if richest == nil {
		return false
	}
	for _, l := range c.links {
		if l.neighbour && l.key == richest.key {
			c.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			c.endNeighbour(l)
		}
	}
	return c.degree() < maxNeighbours
}

// withRoom names neighbours of ours that, by what they have said, have room for
// another, those with the fewest neighbours first. In a network that grows the old
// are full and the young are not, so most who ask at random are refused once.
func (c *Core) withRoom(asker *link) []string {
	var open []*entry
	for _, l := range c.links {
		e := l.entry
		if l.neighbour && l.key != asker.key && e != nil && len(e.our().neighbours)+1 < maxNeighbours {
			open = append(open, e)
		}
	}
	c.cfg.Rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	slices.SortStableFunc(open, func(a, b *entry) int { return len(a.our().neighbours) - len(b.our().neighbours) })
	var ids []string
	for _, e := range open[:min(len(open), pb.MaxCandidates)] {
		ids = append(ids, string(e.record.ID))
	}
	return ids
}

// becomeNeighbour opens the link to announcements, and tells the new neighbour
// how far others are and what it can have of the last minutes' broadcasts.
func (c *Core) becomeNeighbour(l *link, dependant bool) {
	l.asked = false
	if l.neighbour {
		return
	}
	l.slot = -1
	if !dependant {
		l.slot = c.takeSlot()
	}
	l.neighbour, l.dependant = true, dependant
	c.neighboursChanged = true
	c.tellAllRoutes(l)
	c.offerBroadcasts(l, true)
}

// endNeighbour closes the link to announcements.
func (c *Core) endNeighbour(l *link) {
	if l.neighbour {
		l.neighbour, l.dependant, l.leaning, l.gained = false, false, false, false
		c.freeSlot(l.slot)
		l.slot = -1
		c.neighboursChanged = true
	}
}

// tellNeighbours lets the neighbours know who else is one.
func (c *Core) tellNeighbours() {
	if !c.neighboursChanged {
		return
	}
	c.neighboursChanged = false
	list := &pb.NeighbourList{}
	for _, l := range c.links {
		if l.neighbour && len(list.Ids) < pb.MaxNeighbours {
			list.Ids = append(list.Ids, string(l.peer))
		}
	}
	for _, l := range c.links {
		if l.neighbour {
			c.send(l, list)
		}
	}
}

func (c *Core) receiveNeighbourList(l *link, m *pb.NeighbourList) {
	e := l.entry
	if e == nil || !l.neighbour {
		return
	}
	d := e.with()
	d.neighbours = nil
	for _, id := range m.GetIds() {
		if certs.ID(id) != c.cfg.ID {
			d.neighbours = append(d.neighbours, certs.ID(id))
		}
	}
}

// heal dials one lost entry now and then, so that the halves of a network that
// was cut meet again; who reaches nobody dials several at once, and the addresses
// of the join too. Each lost peer is dialled by the network as a whole about once
// in healEvery, so that a partition of half of the network ends within a second.
// Who is short of neighbours dials one each time, since it may be the only one on
// its side that can reach the other.
func (c *Core) heal() {
	c.dialTargets()
	c.seekAbsent()
	if c.now < c.nextHeal {
		return
	}
	alone := c.linksUp() == 0
	c.nextHeal = c.now + healEvery
	if alone {
		c.nextHeal = c.now + firstBackoff
	}
	living := len(c.table.entries) - c.table.gone
	eager := alone || c.degree() < wantNeighbours
	if !eager && c.cfg.Rand.IntN(max(living, len(c.gone), 1)) >= len(c.gone) {
		return
	}
	if lost := c.redialable(); len(lost) > 0 {
		c.dialEntry(lost[c.cfg.Rand.IntN(len(lost))])
	}
}

// addGone notes somebody lost or missing.
func (c *Core) addGone(e *entry) {
	if (e.state == pb.AnnouncementType_LOST || e.missing) && !slices.Contains(c.gone, e) {
		c.gone = append(c.gone, e)
	}
}

// redialable lists the lost and the missing that may be dialled now.
func (c *Core) redialable() []*entry {
	var list []*entry
	c.gone = slices.DeleteFunc(c.gone, func(e *entry) bool { return e.state != pb.AnnouncementType_LOST && !e.missing })
	for _, e := range c.gone {
		l := c.linkTo(e.record.Key)
		heard := e.missing && l != nil && !l.quiet // it will be found by that link, see checkLinks
		if d := e.our(); d.dialing == 0 && c.now >= d.nextDial && !heard {
			list = append(list, e)
		}
	}
	return list
}
