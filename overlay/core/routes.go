package core

import (
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Routes are distance vectors, as in RIP: each peer tells its neighbours how far
// it is from every other, and takes the neighbour that is nearest. An announcement
// carries the distance of whoever sends it, so a flood lays the first routes; what
// changes afterwards, since a shorter way was found or a link came or went, is told
// once a second. Who dies is buried within seconds, so nobody counts to infinity
// for long; and a routed frame never passes a peer twice, whatever the tables say.

const (
	noWay      = pb.MaxPassed // a distance that no routed frame can go
	routeEvery = time.Second  // between two updates: a guess, a link lives for minutes
)

func (e *entry) forgetRoutes() {
	for i := range e.hops {
		e.hops[i] = noWay
	}
	e.told = noWay
}

// distance is how far the peer is, in links.
func (c *Core) distance(e *entry) uint8 {
	switch {
	case e == c.self:
		return 0
	case e.buried():
		return noWay
	}
	for _, l := range c.links {
		if l.entry == e && l.state == linkUp {
			return 1
		}
	}
	best := uint8(noWay)
	for _, h := range e.hops {
		best = min(best, h+1)
	}
	return best
}

// setHops notes how far a neighbour is from a peer.
func (c *Core) setHops(e *entry, from *link, hops uint32) {
	if from == nil || !from.neighbour || from.slot < 0 || e == c.self {
		return
	}
	if h := uint8(min(hops, noWay)); e.hops[from.slot] != h {
		e.hops[from.slot] = h
		c.reroute(e)
	}
}

// reroute has the neighbours told if the distance has changed.
func (c *Core) reroute(e *entry) {
	if !e.stale && e != c.self && !e.isGuest() && !e.buried() && c.distance(e) != e.told {
		e.stale = true
		c.stale = append(c.stale, e)
	}
}

// unroute forgets the ways to a peer that is gone.
func (c *Core) unroute(e *entry) { e.forgetRoutes() }

// tellRoutes sends the neighbours what has changed.
func (c *Core) tellRoutes() {
	if len(c.stale) == 0 || c.now < c.nextRoutes {
		return
	}
	c.nextRoutes = c.now + routeEvery
	update := &pb.Routes{}
	for _, e := range c.stale {
		e.stale = false
		if d := c.distance(e); d != e.told && !e.buried() {
			e.told = d
			update.Peers, update.Hops = append(update.Peers, shortTag(e.record.tag)), append(update.Hops, d)
		}
	}
	c.stale = c.stale[:0]
	for _, l := range c.links {
		if l.neighbour && len(update.Peers) > 0 {
			c.sendRoutes(l, update)
		}
	}
}

// tellAllRoutes is what a new neighbour hears first.
func (c *Core) tellAllRoutes(l *link) {
	all := &pb.Routes{}
	for _, e := range c.table.entries {
		d := e.told
		if e == c.self {
			d = 0
		}
		if d < noWay && e.record.Key != l.key {
			all.Peers, all.Hops = append(all.Peers, shortTag(e.record.tag)), append(all.Hops, d)
		}
	}
	c.sendRoutes(l, all)
}

func (c *Core) sendRoutes(l *link, r *pb.Routes) {
	for len(r.Peers) > pb.MaxRoutes {
		c.send(l, &pb.Routes{Peers: r.Peers[:pb.MaxRoutes], Hops: r.Hops[:pb.MaxRoutes]})
		r = &pb.Routes{Peers: r.Peers[pb.MaxRoutes:], Hops: r.Hops[pb.MaxRoutes:]}
	}
	c.send(l, r)
}

// receiveRoutes takes what a neighbour says of its distances.
func (c *Core) receiveRoutes(l *link, m *pb.Routes) {
	for i, short := range m.GetPeers() {
		for _, e := range c.table.named(short) {
			c.setHops(e, l, uint32(m.GetHops()[i]))
		}
	}
}

// takeSlot gives a new neighbour a place in the vectors, or -1 if there is none:
// a peer above the usual number depends on us and leads nowhere.
func (c *Core) takeSlot() int {
	var taken [maxNeighbours]bool
	for _, l := range c.links {
		if l.neighbour && l.slot >= 0 {
			taken[l.slot] = true
		}
	}
	for i, t := range taken {
		if !t {
			return i
		}
	}
	return -1
}

// freeSlot forgets the distances of a neighbour that is one no more.
func (c *Core) freeSlot(slot int) {
	if slot < 0 {
		return
	}
	for _, e := range c.table.entries {
		if e.hops[slot] != noWay {
			e.hops[slot] = noWay
			c.reroute(e)
		}
	}
}

// via is the neighbour nearest to the peer; empty when there is a link to it or
// the way is not known.
func (c *Core) via(e *entry) certs.ID {
	if c.linkTo(e.record.Key) != nil {
		return ""
	}
	var best *link
	for _, l := range c.links {
		if l.neighbour && l.slot >= 0 && e.hops[l.slot] < noWay && (best == nil || e.hops[l.slot] < e.hops[best.slot]) {
			best = l
		}
	}
	if best == nil {
		return ""
	}
	return best.peer
}
