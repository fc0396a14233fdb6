// Package neighbours decides with whom we exchange announcements: HyParView's active view.
package neighbours

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Times of the search for neighbours, guesses.
const (
	seekEvery    = 500 * time.Millisecond // a dial for a neighbour, after the first ones
	refusedFor   = 30 * time.Second       // before a second request for neighbourhood
	refusedAlone = 2 * time.Second        // the same of a peer without any neighbour
	HealEvery    = 1 * time.Second        // between two dials of a lost peer by the network as a whole
)

// pickTries is how many peers are looked at for one of another host than our neighbours' (a guess).
const pickTries = 256

// keptNeighbours are not given up for others (a guess): as many as may accuse together.
const keptNeighbours = 3

// Neighbourhood decides with which peers we exchange announcements, the active view of HyParView.
type Neighbourhood struct {
	*base.Env
	table      *table.Table
	links      *link.Links
	routes     *route.Routes
	doubt      *link.Doubt
	gossip     *gossip.Gossip
	reach      *reach.Reach
	broadcasts *broadcast.Broadcasts
	sync       *reconcile.Syncer

	seeks    base.Limiter
	NextHeal time.Duration
}

// New returns the neighbourhood of a peer, which has no neighbours yet.
func New(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, db *link.Doubt, g *gossip.Gossip, re *reach.Reach, bc *broadcast.Broadcasts, sy *reconcile.Syncer) *Neighbourhood {
	return &Neighbourhood{Env: en, table: t, links: ls, routes: rt, doubt: db, gossip: g, reach: re, broadcasts: bc, sync: sy}
}

// SeekNeighbours asks random living peers for neighbourhood, for as many as we lack (see Short):
// over a link that stands, else over a new one. It dials several at once but then only two a
// second. One above the usual number that can spare us is given up.
func (nb *Neighbourhood) SeekNeighbours() {
	for nb.links.Degree() > table.MaxNeighbours && nb.giveUp(nb.Spare()) {
	}
	missing := Short(nb.links.Degree()) - nb.reach.Seeking
	for _, l := range nb.links.List { // links that stand cost nothing
		if e := l.Entry; missing > 0 && l.State == link.LinkUp && !l.Quiet && e != nil && nb.mayAsk(e) {
			nb.AskNeighbour(l)
			missing--
		}
	}
	for ; missing > 0; missing-- {
		e := nb.pick()
		if e == nil {
			return
		}
		if l := nb.links.LinkTo(e.Record.Key); l != nil {
			nb.AskNeighbour(l)
		} else if nb.seeks.Take(nb.Now, table.WantNeighbours, seekEvery) {
			nb.reach.DialFor(e, reach.ToSeek)
		}
	}
}

// pick is a random peer to ask, rather one of a host that has no place among our neighbours: a host
// can have as many keys as it likes.
func (nb *Neighbourhood) pick() *table.Entry {
	e := nb.table.Pick(nb.mayAsk)
	if e == nil || !nb.hasPlace(hostOf(e)) {
		return e
	}
	for range pickTries {
		f := nb.table.Entries[nb.Cfg.Rand.IntN(len(nb.table.Entries))]
		if nb.mayAsk(f) && !nb.hasPlace(hostOf(f)) {
			return f
		}
	}
	return e
}

// hasPlace reports whether a host has a place among our neighbours, or is asked for it.
func (nb *Neighbourhood) hasPlace(host netip.Prefix) bool {
	return slices.ContainsFunc(nb.links.List, func(l *link.Link) bool { return (l.Neighbour || l.Asked) && l.Host() == host })
}

// hostOf is the host at which a peer would be dialled, as a rule.
func hostOf(e *table.Entry) netip.Prefix {
	if d := e.Our(); d.LastAddress != "" {
		return base.HostOf(d.LastAddress)
	}
	for _, list := range [][]string{e.Record.Observed, e.Record.Addresses} {
		if len(list) > 0 {
			return base.HostOf(list[0])
		}
	}
	return netip.Prefix{}
}

// mayAsk reports whether the peer can be asked for neighbourhood. One that has refused is asked
// again after a while, and soon if nobody else is our neighbour.
func (nb *Neighbourhood) mayAsk(e *table.Entry) bool {
	d := e.Our()
	if e == nb.table.Self || e.IsGuest() || !e.Alive() && !e.Missing || d.Dialing != 0 || nb.Now < d.NextDial {
		return false
	}
	if nb.Now < d.MuteTill {
		return false
	}
	if nb.Now < d.RefusedTill && (nb.links.Neighbours() > 0 || nb.Now < d.RefusedTill-refusedFor+refusedAlone) {
		return false
	}
	l := nb.links.LinkTo(e.Record.Key)
	if l == nil {
		return nb.reach.CanDial(e)
	}
	return !l.Neighbour && !l.Asked
}

// AskNeighbour asks for neighbourhood: with priority if the peer has refused, and nobody else has
// become our neighbour.
func (nb *Neighbourhood) AskNeighbour(l *link.Link) {
	if !l.Neighbour && !l.Asked && !nb.Visiting && !l.LeadsToGuest() {
		l.Asked, l.EverAsked, l.AskedAt = true, true, nb.Now
		priority := l.Entry != nil && nb.Now < l.Entry.Our().RefusedTill && nb.links.Neighbours() == 0
		nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Priority: priority})
	}
}

func (nb *Neighbourhood) ReceiveNeighbour(l *link.Link, m *pb.Neighbour) {
	switch what := m.GetType(); {
	case what < pb.NeighbourType_REQUEST || what > pb.NeighbourType_END:
		nb.Note(base.Debug, "a step in becoming neighbours that is not known, ignored", "peer", string(l.Peer), "type", what.String())
	case what == pb.NeighbourType_REQUEST:
		nb.receiveRequest(l, m.GetPriority())
	case what == pb.NeighbourType_END:
		if l.Neighbour {
			nb.links.EndNeighbour(l)
		}
	case !l.EverAsked && !l.Neighbour:
		nb.links.Violation(l, "an answer to no request for neighbourhood")
	case !l.Asked && !l.Neighbour: // it has been ended meanwhile
		if what == pb.NeighbourType_ACCEPT {
			nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
		}
	case what == pb.NeighbourType_ACCEPT:
		nb.becomeNeighbour(l)
		nb.sync.CompareTables(l)
	case what == pb.NeighbourType_REFUSE:
		l.Asked = false
		if e := l.Entry; e != nil {
			e.With().RefusedTill = nb.Now + refusedFor
		}
	}
}

// receiveRequest grants neighbourhood, or refuses it. Two requests that cross are agreed. A peer
// that asks for neighbourhood it already has has lost sight of it.
func (nb *Neighbourhood) receiveRequest(l *link.Link, priority bool) {
	grants := l.Neighbour || l.Asked || Grants(nb.links.Degree(), false)
	if l.Entry != nil && nb.Now < l.Entry.Our().MuteTill {
		nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
		return
	}
	if !grants {
		nb.giveUp(cmp.Or(nb.crowder(l), nb.Spare()))
		grants = Grants(nb.links.Degree(), priority)
	}
	if !grants {
		nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
		return
	}
	nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	nb.becomeNeighbour(l)
}

// Spare is the neighbour that can spare us best, nil if none can (see Richest): of those without
// a slot, if there are such. The keptNeighbours that have been neighbours for longest are not given
// up for others: whoever comes in great numbers, and does nothing, does not get their places.
func (nb *Neighbourhood) Spare() *link.Link {
	var choice []*link.Link
	above := nb.links.Degree() > table.MaxNeighbours
	for _, l := range nb.links.List {
		if l.Neighbour && l.Slot < 0 == above && l.Entry != nil {
			choice = append(choice, l)
		}
	}
	if !above {
		slices.SortStableFunc(choice, func(a, b *link.Link) int { return cmp.Compare(a.Bonded, b.Bonded) })
		choice = choice[min(len(choice), keptNeighbours):]
	}
	degrees := make([]int, len(choice))
	for i, l := range choice {
		degrees[i] = len(l.Entry.Our().Neighbours) + 1
	}
	if i := Richest(degrees); i >= 0 {
		return choice[i]
	}
	return nil
}

// crowder is the neighbour to give up for one of another host, since its own has many of our
// places: the last that came; nil if there is none.
func (nb *Neighbourhood) crowder(asker *link.Link) *link.Link {
	var list []*link.Link
	for _, l := range nb.links.List {
		if l.Neighbour {
			list = append(list, l)
		}
	}
	any := func(*link.Link) bool { return true }
	return link.Crowder(list, asker.Host(), any, func(l, than *link.Link) bool { return l.Bonded > than.Bonded })
}

// giveUp ends the neighbourhood with a peer, over all its links; false without one.
func (nb *Neighbourhood) giveUp(one *link.Link) bool {
	for _, l := range nb.links.List {
		if one != nil && l.Neighbour && l.Key == one.Key {
			nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.EndNeighbour(l)
		}
	}
	return one != nil
}

// becomeNeighbour begins the exchange of announcements over the link, and tells the new neighbour
// our distances and how far we have come in the recent broadcasts.
func (nb *Neighbourhood) becomeNeighbour(l *link.Link) {
	l.Asked = false
	if l.Neighbour {
		return
	}
	l.Slot = nb.links.TakeSlot()
	l.Neighbour, l.Bonded = true, nb.Now
	l.Check = link.Check{Next: nb.Now + checkFirst}
	nb.links.Changed = true
	nb.routes.TellAllRoutes(l)
	nb.broadcasts.Greet(l)
}

// TellNeighbours tells the neighbours who the others are.
func (nb *Neighbourhood) TellNeighbours() {
	if !nb.links.Changed {
		return
	}
	nb.links.Changed = false
	list := &pb.NeighbourList{}
	for _, l := range nb.links.List {
		if l.Neighbour && len(list.Ids) < pb.MaxNeighbours {
			list.Ids = append(list.Ids, string(l.Peer))
		}
	}
	for _, l := range nb.links.List {
		if l.Neighbour {
			nb.links.Send(l, list)
		}
	}
}

func (nb *Neighbourhood) ReceiveNeighbourList(l *link.Link, m *pb.NeighbourList) {
	e := l.Entry
	if e == nil || !l.Neighbour {
		return
	}
	d := e.With()
	d.Neighbours = nil
	for _, id := range m.GetIds() {
		if certs.ID(id) != nb.Cfg.ID {
			d.Neighbours = append(d.Neighbours, certs.ID(id))
		}
	}
}

// Heal dials one lost peer now and then, so that the halves of a network that was cut meet again;
// a peer that reaches nobody dials several at once, and the addresses to join too. The network as
// a whole dials each lost peer about once in HealEvery, so a cut in halves ends within a second.
// A peer short of neighbours dials one each time, since it may be the only one on its side that
// can reach the other.
func (nb *Neighbourhood) Heal() {
	if nb.Now < nb.NextHeal {
		return
	}
	alone := nb.links.LinksUp() == 0
	nb.NextHeal = nb.Now + HealEvery
	if alone {
		nb.NextHeal = nb.Now + base.FirstBackoff
	}
	living := nb.table.Living()
	eager := alone || nb.links.Degree() < table.WantNeighbours
	if !eager && nb.Cfg.Rand.IntN(max(living, len(nb.table.Lost), 1)) >= len(nb.table.Lost) {
		return
	}
	if lost := nb.redialable(); len(lost) > 0 {
		nb.reach.DialEntry(lost[nb.Cfg.Rand.IntN(len(lost))])
	}
}

// redialable returns the lost and missing peers that may be dialled now.
func (nb *Neighbourhood) redialable() []*table.Entry {
	var list []*table.Entry
	nb.table.Lost = slices.DeleteFunc(nb.table.Lost, func(e *table.Entry) bool { return e.State != pb.AnnouncementType_LOST && !e.Missing })
	for _, e := range nb.table.Lost {
		l := nb.links.LinkTo(e.Record.Key)
		heard := e.Missing && l != nil && !l.Quiet // CheckLinks will find it by that link
		if nb.reach.CanDial(e) && !heard {
			list = append(list, e)
		}
	}
	return list
}

// Told ends the neighbourhood with a run that is over, or with a peer that is called lost. A
// silent link to such a peer stays until QUIC's idle timeout, but not as a neighbour's: should
// the peer live after all, having been stopped for a while, it hears the LOST over this very link
// and needs no new one.
func (nb *Neighbourhood) Told(ch link.Change) {
	e := ch.Entry
	if ch.Old != nil && ch.Begins() {
		e.With().Neighbours = nil
	}
	if ch.Old == nil || ch.News.State != pb.AnnouncementType_LOST {
		return
	}
	for _, l := range nb.links.List {
		if l.Neighbour && l.Key == e.Record.Key && nb.Now-l.Heard > link.FreshWithin {
			nb.gossip.AnnounceTo(l, e)
			nb.links.Send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			nb.links.EndNeighbour(l)
		}
	}
}
