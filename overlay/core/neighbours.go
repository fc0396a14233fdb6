package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Times of the search for neighbours, guesses.
const (
	seekEvery    = 500 * time.Millisecond // a dial for a neighbour, after the first ones
	refusedFor   = 30 * time.Second       // before a second request for neighbourhood
	refusedAlone = 2 * time.Second        // the same of a peer without any neighbour
	healEvery    = 1 * time.Second        // between two dials of a lost peer by the network as a whole
)

// neighbourhood decides with which peers we exchange announcements, the active view of HyParView.
type neighbourhood struct {
	*env
	table      *table
	links      *links
	routes     *routes
	gossip     *gossip
	reach      *reach
	broadcasts *broadcasts
	sync       *syncer

	seeks    limiter
	nextHeal time.Duration
}

// seekNeighbours asks random living peers for neighbourhood, for as many as we lack (see Short):
// over a link that stands, else over a new one. It dials several at once but then only two a
// second. One above the usual number that can spare us is given up.
func (nb *neighbourhood) seekNeighbours() {
	for nb.links.degree() > MaxNeighbours && nb.giveUp(nb.spare()) {
	}
	missing := Short(nb.links.degree()) - nb.reach.seeking
	for _, l := range nb.links.list { // links that stand cost nothing
		if e := l.entry; missing > 0 && l.state == linkUp && !l.quiet && e != nil && nb.mayAsk(e) {
			nb.askNeighbour(l)
			missing--
		}
	}
	for ; missing > 0; missing-- {
		e := nb.table.pick(nb.mayAsk)
		if e == nil {
			return
		}
		if l := nb.links.linkTo(e.record.Key); l != nil {
			nb.askNeighbour(l)
		} else if nb.seeks.take(nb.now, wantNeighbours, seekEvery) {
			nb.reach.dialFor(e, toSeek)
		}
	}
}

// mayAsk reports whether the peer can be asked for neighbourhood. One that has refused is asked
// again after a while, and soon if nobody else is our neighbour.
func (nb *neighbourhood) mayAsk(e *entry) bool {
	d := e.our()
	if e == nb.table.self || e.isGuest() || !e.alive() && !e.missing || d.dialing != 0 || nb.now < d.nextDial {
		return false
	}
	if nb.now < d.refusedTill && (nb.links.neighbours() > 0 || nb.now < d.refusedTill-refusedFor+refusedAlone) {
		return false
	}
	l := nb.links.linkTo(e.record.Key)
	return l == nil || !l.neighbour && !l.asked
}

// askNeighbour asks for neighbourhood: with priority if the peer has refused, and nobody else has
// become our neighbour.
func (nb *neighbourhood) askNeighbour(l *link) {
	if !l.neighbour && !l.asked && !nb.visiting && !l.leadsToGuest() {
		l.asked, l.everAsked, l.askedAt = true, true, nb.now
		priority := l.entry != nil && nb.now < l.entry.our().refusedTill && nb.links.neighbours() == 0
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Priority: priority})
	}
}

func (nb *neighbourhood) receiveNeighbour(l *link, m *pb.Neighbour) {
	switch what := m.GetType(); {
	case what < pb.NeighbourType_REQUEST || what > pb.NeighbourType_END:
		nb.note(Debug, "a step in becoming neighbours that is not known, ignored", "peer", string(l.peer), "type", what.String())
	case what == pb.NeighbourType_REQUEST:
		nb.receiveRequest(l, m.GetPriority())
	case what == pb.NeighbourType_END:
		if l.neighbour {
			nb.links.endNeighbour(l)
		}
	case !l.everAsked && !l.neighbour:
		nb.links.violation(l, "an answer to no request for neighbourhood")
	case !l.asked && !l.neighbour: // it has been ended meanwhile
		if what == pb.NeighbourType_ACCEPT {
			nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
		}
	case what == pb.NeighbourType_ACCEPT:
		nb.becomeNeighbour(l)
		nb.sync.compareTables(l)
	case what == pb.NeighbourType_REFUSE:
		l.asked = false
		if e := l.entry; e != nil {
			e.with().refusedTill = nb.now + refusedFor
		}
	}
}

// receiveRequest grants neighbourhood, or refuses it. Two requests that cross are agreed. A peer
// that asks for neighbourhood it already has has lost sight of it.
func (nb *neighbourhood) receiveRequest(l *link, priority bool) {
	grants := l.neighbour || l.asked || Grants(nb.links.degree(), false)
	if !grants {
		nb.giveUp(nb.spare())
		grants = Grants(nb.links.degree(), priority)
	}
	if !grants {
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
		return
	}
	nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	nb.becomeNeighbour(l)
}

// spare is the neighbour that can spare us best, nil if none can (see Richest): of those without
// a slot, if there are such.
func (nb *neighbourhood) spare() *link {
	var choice []*link
	var degrees []int
	above := nb.links.degree() > MaxNeighbours
	for _, l := range nb.links.list {
		if e := l.entry; l.neighbour && l.slot < 0 == above && e != nil {
			choice, degrees = append(choice, l), append(degrees, len(e.our().neighbours)+1)
		}
	}
	if i := Richest(degrees); i >= 0 {
		return choice[i]
	}
	return nil
}

// giveUp ends the neighbourhood with a peer, over all its links; false without one.
func (nb *neighbourhood) giveUp(one *link) bool {
	for _, l := range nb.links.list {
		if one != nil && l.neighbour && l.key == one.key {
			nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.endNeighbour(l)
		}
	}
	return one != nil
}

// becomeNeighbour begins the exchange of announcements over the link, and tells the new neighbour
// our distances and how far we have come in the recent broadcasts.
func (nb *neighbourhood) becomeNeighbour(l *link) {
	l.asked = false
	if l.neighbour {
		return
	}
	l.slot = nb.links.takeSlot()
	l.neighbour = true
	nb.links.changed = true
	nb.routes.tellAllRoutes(l)
	nb.broadcasts.greet(l)
}

// tellNeighbours tells the neighbours who the others are.
func (nb *neighbourhood) tellNeighbours() {
	if !nb.links.changed {
		return
	}
	nb.links.changed = false
	list := &pb.NeighbourList{}
	for _, l := range nb.links.list {
		if l.neighbour && len(list.Ids) < pb.MaxNeighbours {
			list.Ids = append(list.Ids, string(l.peer))
		}
	}
	for _, l := range nb.links.list {
		if l.neighbour {
			nb.links.send(l, list)
		}
	}
}

func (nb *neighbourhood) receiveNeighbourList(l *link, m *pb.NeighbourList) {
	e := l.entry
	if e == nil || !l.neighbour {
		return
	}
	d := e.with()
	d.neighbours = nil
	for _, id := range m.GetIds() {
		if certs.ID(id) != nb.cfg.ID {
			d.neighbours = append(d.neighbours, certs.ID(id))
		}
	}
}

// heal dials one lost peer now and then, so that the halves of a network that was cut meet again;
// a peer that reaches nobody dials several at once, and the addresses to join too. The network as
// a whole dials each lost peer about once in healEvery, so a cut in halves ends within a second.
// A peer short of neighbours dials one each time, since it may be the only one on its side that
// can reach the other.
func (nb *neighbourhood) heal() {
	if nb.now < nb.nextHeal {
		return
	}
	alone := nb.links.linksUp() == 0
	nb.nextHeal = nb.now + healEvery
	if alone {
		nb.nextHeal = nb.now + firstBackoff
	}
	living := len(nb.table.entries) - nb.table.gone
	eager := alone || nb.links.degree() < wantNeighbours
	if !eager && nb.cfg.Rand.IntN(max(living, len(nb.table.lost), 1)) >= len(nb.table.lost) {
		return
	}
	if lost := nb.redialable(); len(lost) > 0 {
		nb.reach.dialEntry(lost[nb.cfg.Rand.IntN(len(lost))])
	}
}

// redialable returns the lost and missing peers that may be dialled now.
func (nb *neighbourhood) redialable() []*entry {
	var list []*entry
	nb.table.lost = slices.DeleteFunc(nb.table.lost, func(e *entry) bool { return e.state != pb.AnnouncementType_LOST && !e.missing })
	for _, e := range nb.table.lost {
		l := nb.links.linkTo(e.record.Key)
		heard := e.missing && l != nil && !l.quiet // checkLinks will find it by that link
		if d := e.our(); d.dialing == 0 && nb.now >= d.nextDial && !heard {
			list = append(list, e)
		}
	}
	return list
}

// told ends the neighbourhood with a run that is over, or with a peer that is called lost. A
// silent link to such a peer stays until QUIC's idle timeout, but not as a neighbour's: should
// the peer live after all, having been stopped for a while, it hears the LOST over this very link
// and needs no new one.
func (nb *neighbourhood) told(ch change) {
	e := ch.entry
	if ch.old != nil && ch.begins() {
		e.with().neighbours = nil
	}
	if ch.old == nil || ch.news.state != pb.AnnouncementType_LOST {
		return
	}
	for _, l := range nb.links.list {
		if l.neighbour && l.key == e.record.Key && nb.now-l.heard > freshWithin {
			nb.gossip.announceTo(l, e)
			nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.endNeighbour(l)
		}
	}
}
