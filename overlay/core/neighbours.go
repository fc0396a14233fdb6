package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Times of the search for neighbours, guesses.
const (
	seekEvery  = 500 * time.Millisecond // a dial for a neighbour, after the first five
	extraEvery = 3 * time.Second        // a dial for a neighbour beyond the first five
	refusedFor = 30 * time.Second       // before a second request for neighbourhood
	aloneAfter = 2 * time.Second        // without a neighbour, before asking to be taken as a dependant
	healEvery  = 1 * time.Second        // between two dials of a lost peer by the network as a whole
)

// neighbourhood decides with which peers we exchange announcements, the active view of HyParView.
type neighbourhood struct {
	*env
	table      *table
	links      *links
	routes     *routes
	gossip     *gossip
	doubt      *doubt
	reach      *reach
	broadcasts *broadcasts
	sync       *syncer

	suggested  []certs.ID // named by peers that have no room
	seeks      limiter
	extras     limiter
	aloneSince time.Duration
	nextHeal   time.Duration
}

// seekNeighbours asks random living peers for neighbourhood, for as many as we lack (see
// Standing): over a link that stands, else over a new one. It dials several at once but then only
// two a second, since in a network that grows most peers are full. Without any neighbour for a
// while it asks to be taken above the usual number.
func (nb *neighbourhood) seekNeighbours() {
	nb.leanOnOthers()
	standing := nb.standing()
	missing := standing.Short() - nb.reach.seeking
	if standing.TakesMore() && nb.reach.seeking == 0 && nb.doubt.lag < doubtLate && nb.extras.take(nb.now, 1, extraEvery) {
		missing = 1
	}
	for _, l := range nb.links.list { // links that stand cost nothing
		if e := l.entry; missing > 0 && l.state == linkUp && !l.quiet && e != nil && nb.mayAsk(e) {
			nb.askNeighbour(l, false)
			missing--
		}
	}
	for ; missing > 0; missing-- {
		e := nb.pickNeighbour()
		if e == nil {
			return
		}
		if l := nb.links.linkTo(e.record.Key); l != nil {
			nb.askNeighbour(l, false)
		} else if nb.seeks.take(nb.now, wantNeighbours, seekEvery) {
			nb.reach.dialFor(e, toSeek)
		}
	}
}

func (nb *neighbourhood) standing() Standing {
	return Standing{nb.links.degree(), nb.links.gained()}
}

// pickNeighbour chooses a peer to ask: one that was suggested, else any.
func (nb *neighbourhood) pickNeighbour() *entry {
	for len(nb.suggested) > 0 {
		e := nb.table.owner(nb.suggested[0], nb.now)
		nb.suggested = nb.suggested[1:]
		if e != nil && nb.mayAsk(e) {
			return e
		}
	}
	return nb.table.pick(nb.mayAsk)
}

// mayAsk reports whether the peer can be asked for neighbourhood.
func (nb *neighbourhood) mayAsk(e *entry) bool {
	d := e.our()
	if e == nb.table.self || e.isGuest() || !e.alive() && !e.missing || d.dialing != 0 || nb.now < d.refusedTill || nb.now < d.nextDial {
		return false
	}
	l := nb.links.linkTo(e.record.Key)
	return l == nil || !l.neighbour && !l.asked
}

// leanOnOthers asks to be taken as a dependant when no peer has been our neighbour for a while,
// and ends that when some are.
func (nb *neighbourhood) leanOnOthers() {
	switch n := nb.links.neighbours(); {
	case n > 0:
		nb.aloneSince = nb.now
	case nb.now >= nb.aloneSince+aloneAfter:
		for _, l := range slices.Backward(nb.links.list) {
			if l.state == linkUp && !l.asked && !l.quiet && !l.leanRefused && !l.leadsToGuest() {
				nb.askNeighbour(l, true)
				return
			}
		}
	}
	if nb.links.neighbours() <= 2 {
		return
	}
	for _, l := range nb.links.list {
		if l.neighbour && l.leaning {
			nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.endNeighbour(l)
			return
		}
	}
}

func (nb *neighbourhood) askNeighbour(l *link, alone bool) {
	if !l.neighbour && !l.asked && !nb.visiting && !l.leadsToGuest() {
		l.asked, l.everAsked, l.askedAt, l.leaning = true, true, nb.now, alone
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Alone: alone, Have: uint32(nb.links.neighbours())})
	}
}

func (nb *neighbourhood) receiveNeighbour(l *link, m *pb.Neighbour) {
	switch what := m.GetType(); {
	case what < pb.NeighbourType_REQUEST || what > pb.NeighbourType_END:
		nb.note(Debug, "a step in becoming neighbours that is not known, ignored", "peer", string(l.peer), "type", what.String())
	case what == pb.NeighbourType_REQUEST:
		nb.receiveRequest(l, m)
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
		l.gained = l.gained || l.asked
		nb.becomeNeighbour(l, false)
		nb.sync.compareTables(l)
	case what == pb.NeighbourType_REFUSE:
		l.asked, l.leanRefused, l.leaning = false, l.leaning, false
		if e := l.entry; e != nil {
			e.with().refusedTill = nb.now + refusedFor
		}
		for _, id := range m.GetCandidates() {
			if len(nb.suggested) < pb.MaxCandidates {
				nb.suggested = append(nb.suggested, certs.ID(id))
			}
		}
	}
}

// receiveRequest grants neighbourhood, or refuses it and names others. Two requests that cross
// are agreed. A peer that asks for neighbourhood it already has has lost sight of it.
func (nb *neighbourhood) receiveRequest(l *link, m *pb.Neighbour) {
	switch {
	case l.neighbour || l.asked || nb.standing().HasRoom() || MakesRoom(int(m.GetHave())) && nb.giveUpOne():
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		nb.becomeNeighbour(l, false)
	case m.GetAlone() && nb.links.dependants() < maxDependants:
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		nb.becomeNeighbour(l, true)
	default:
		nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE, Candidates: nb.withRoom(l)})
	}
}

// giveUpOne makes room: it drops the neighbour that has the most neighbours, as it has told us,
// if that is more than enough.
func (nb *neighbourhood) giveUpOne() bool {
	var choice []*link
	var degrees []int
	for _, l := range nb.links.list {
		if e := l.entry; l.neighbour && l.slot >= 0 && e != nil {
			choice, degrees = append(choice, l), append(degrees, len(e.our().neighbours)+1)
		}
	}
	richest := Richest(degrees)
	if richest < 0 {
		return false
	}
	for _, l := range nb.links.list {
		if l.neighbour && l.key == choice[richest].key {
			nb.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.endNeighbour(l)
		}
	}
	return nb.standing().HasRoom()
}

// withRoom names neighbours of ours that have room for another, as they have told us, those with
// the fewest first. In a network that grows the old peers are full and the young are not, so most
// who ask at random are refused once.
func (nb *neighbourhood) withRoom(asker *link) []string {
	var open []*entry
	for _, l := range nb.links.list {
		e := l.entry
		if l.neighbour && l.key != asker.key && e != nil && (Standing{Degree: len(e.our().neighbours) + 1}).HasRoom() {
			open = append(open, e)
		}
	}
	nb.cfg.Rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	slices.SortStableFunc(open, func(a, b *entry) int { return len(a.our().neighbours) - len(b.our().neighbours) })
	var ids []string
	for _, e := range open[:min(len(open), pb.MaxCandidates)] {
		ids = append(ids, string(e.record.ID))
	}
	return ids
}

// becomeNeighbour begins the exchange of announcements over the link, and tells the new neighbour
// our distances and which recent broadcasts it can have.
func (nb *neighbourhood) becomeNeighbour(l *link, dependant bool) {
	l.asked = false
	if l.neighbour {
		return
	}
	l.slot = -1
	if !dependant {
		l.slot = nb.links.takeSlot()
	}
	l.neighbour, l.dependant = true, dependant
	nb.links.changed = true
	nb.routes.tellAllRoutes(l)
	nb.broadcasts.offerBroadcasts(l, true)
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
