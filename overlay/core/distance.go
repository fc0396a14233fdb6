package core

import "quicpeer/certs"

// via is the neighbour nearest to the peer; empty when there is a link to it or
// the way is not known.
func (ls *links) via(e *entry) certs.ID {
	if ls.linkTo(e.record.Key) != nil {
		return ""
	}
	var best *link
	for _, l := range ls.list {
		if l.neighbour && l.slot >= 0 && e.hops[l.slot] < noWay && (best == nil || e.hops[l.slot] < e.hops[best.slot]) {
			best = l
		}
	}
	if best == nil {
		return ""
	}
	return best.peer
}

// distance is how far the peer is, in links.
func (ls *links) distance(e *entry) uint8 {
	switch {
	case e == ls.table.self:
		return 0
	case e.buried():
		return noWay
	}
	for _, l := range ls.list {
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
func (ls *links) setHops(e *entry, from *link, hops uint32) {
	if from == nil || !from.neighbour || from.slot < 0 || e == ls.table.self {
		return
	}
	if h := uint8(min(hops, noWay)); e.hops[from.slot] != h {
		e.hops[from.slot] = h
		ls.reroute(e)
	}
}

// reroute has the neighbours told if the distance has changed.
func (ls *links) reroute(e *entry) {
	if !e.stale && e != ls.table.self && !e.isGuest() && !e.buried() && ls.distance(e) != e.told {
		e.stale = true
		ls.stale = append(ls.stale, e)
	}
}

// unroute forgets the ways to a peer that is gone.
func (ls *links) unroute(e *entry) { e.forgetRoutes() }

// takeSlot gives a new neighbour a place in the vectors, or -1 if there is none:
// a peer above the usual number depends on us and leads nowhere.
func (ls *links) takeSlot() int {
	var taken [maxNeighbours]bool
	for _, l := range ls.list {
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
func (ls *links) freeSlot(slot int) {
	if slot < 0 {
		return
	}
	for _, e := range ls.table.entries {
		if e.hops[slot] != noWay {
			e.hops[slot] = noWay
			ls.reroute(e)
		}
	}
}

// toldBy is the neighbour that an event names: the nearest, or, for a newcomer that
// has the table of a door which is no neighbour of its yet, that door.
func (ls *links) toldBy(e *entry) certs.ID {
	via := ls.via(e)
	for _, l := range ls.list {
		if via == "" && l.state == linkUp && !l.quiet && ls.linkTo(e.record.Key) == nil {
			via = l.peer
		}
	}
	return via
}
