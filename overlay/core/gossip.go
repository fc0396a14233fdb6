package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// How often the news of one peer is passed on, guesses.
const (
	changeEvery   = 10 * time.Second // six announcements a minute of one peer
	changesAtOnce = 6
)

// announcements returns announcements of the entries, as we hold them.
func (g *gossip) announcements(list []*entry) []*pb.Announcement {
	out := make([]*pb.Announcement, 0, len(list))
	for _, e := range list {
		out = append(out, g.announcement(e))
	}
	return out
}

// gossip handles announcements: it opens and judges those that come, and queues those that go
// out.
type gossip struct {
	*env
	table    *table
	links    *links
	routes   *routes
	doubt    *doubt
	heldBack []*entry // entries that change too often to be announced at once
}

// open checks an announcement by itself. One that can't be read is dropped: n.record is nil. ok
// is false if the link had to be closed for it. Signatures are checked later, and only if it is
// news.
func (g *gossip) open(from *link, a *pb.Announcement) (n news, ok bool) {
	err := pb.CheckAnnouncement(a)
	var r *Record
	if err == nil {
		r, err = g.cfg.Open(a.GetRecord())
	}
	if err != nil {
		return n, g.links.skip(from, err)
	}
	n = news{record: r, state: a.GetType(), hops: a.GetHops(), said: g.now - fromAge(a.GetAge()), broadcasts: a.GetBroadcasts()}
	for _, id := range a.GetAccusers() {
		n.accusers = append(n.accusers, certs.ID(id))
	}
	if n.state != r.Type && (n.state != pb.AnnouncementType_LOST || r.Type != pb.AnnouncementType_JOIN) {
		g.links.violation(from, "an announcement that its record does not bear out")
		return n, false
	}
	if r.Network != g.cfg.Network {
		g.links.violation(from, "an announcement of another network")
		return n, false
	}
	return n, true
}

// signed reports whether the subject has signed its record: the very same record may be in the
// table, verified.
func (g *gossip) signed(n news) bool {
	held := g.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	return held != nil && (held.record == n.record || proto.Equal(held.record.Signed, n.record.Signed)) || g.cfg.Verify(n.claim())
}

// isNews compares an announcement with what we hold.
func (g *gossip) isNews(from *link, n news) bool {
	held := g.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	if !n.credible(from) || g.expired(n, held != nil) || n.state != pb.AnnouncementType_LOST && g.table.tombstones.covers(n.record) {
		return false
	}
	if held == nil {
		return true
	}
	order := n.version().compare(held.version())
	switch {
	case order == 0 && held.missing:
		g.table.found(held)
		fallthrough
	case order == 0:
		g.links.setHops(held, from, n.hops)
		g.confirm(from, held, n.accusers...)
	case order < 0 && !held.missing:
		g.answerOlder(from, held)
	}
	return order > 0
}

// answerOlder sends what we hold to a peer that has announced something older.
func (g *gossip) answerOlder(to *link, held *entry) {
	if to != nil && (held != g.table.self || !g.leaving) {
		g.announceTo(to, held)
	}
}

// flood queues an announcement for all neighbours and guests except the one that it came from.
func (g *gossip) flood(from *link, e *entry) {
	a := g.announcement(e)
	for _, l := range g.links.list {
		if l != from && (l.neighbour || l.leadsToGuest()) {
			l.pending = append(l.pending, a)
		}
	}
}

// announceTo queues an announcement for one link.
func (g *gossip) announceTo(l *link, e *entry) {
	l.pending = append(l.pending, g.announcement(e))
}

// announcement returns what we hold of a peer.
func (g *gossip) announcement(e *entry) *pb.Announcement {
	a := &pb.Announcement{
		Type: e.state, Record: e.record.Signed, Hops: uint32(g.links.distance(e)),
		Age: toAge(g.now - e.said), Broadcasts: broadcastsOf(e),
	}
	if e.state == pb.AnnouncementType_LOST {
		a.Accusers = names(e.our().accusers)
	}
	return a
}

// expired reports whether an announcement is too old to be taken. A JOIN holds for a lease unless
// it is renewed; a lost peer is remembered for longer, so that no JOIN outlives the LOST that
// buries it. A LEAVE is remembered for minutes, and later taken only by a peer that still holds
// the JOIN it buries. Ages travel with announcements and grow by each peer's own clock; the time
// of day does not matter.
func (g *gossip) expired(n news, held bool) bool {
	age := g.now - n.said
	switch {
	case n.state == pb.AnnouncementType_JOIN:
		return age >= lease
	case n.state == pb.AnnouncementType_LEAVE && !held:
		return age >= rememberLeft
	}
	return age >= rememberFor
}

// mayFlood limits what is passed on of others: a peer that changes more than six times a minute
// is announced once in ten seconds, as it is then. So relaying a flood is bounded whatever its
// source does. Refutations are not held back, since there is at most one for each LOST.
func (g *gossip) mayFlood(e *entry) bool {
	if e.side == nil && e.record.Seq == 0 && !e.buried() {
		return true // its first announcement
	}
	d := e.with()
	if g.changesTooOften(e) {
		if !d.heldBack {
			d.heldBack = true
			g.heldBack = append(g.heldBack, e)
		}
		return false
	}
	d.pace = max(d.pace, g.now) + changeEvery
	return true
}

func (g *gossip) changesTooOften(e *entry) bool {
	d := e.our()
	return d.heldBack || d.pace-g.now > (changesAtOnce-1)*changeEvery
}

// floodHeldBack announces the entries that had changed too often.
func (g *gossip) floodHeldBack() {
	g.heldBack = slices.DeleteFunc(g.heldBack, func(e *entry) bool {
		d := e.with()
		if d.pace-g.now > (changesAtOnce-1)*changeEvery {
			return false
		}
		d.heldBack = false
		if g.table.lookup(e.record.tag, e.record.ID, e.record.Key) == e && !e.missing && g.mayFlood(e) {
			g.flood(nil, e)
		}
		return true
	})
}

// told floods what has changed, except guests. An entry that changes too often is told only where
// its refutation is waited for; a loss that we have found out ourselves is flooded all the same
// and, since others may not have taken it, once more later.
func (g *gossip) told(ch change) {
	e := ch.entry
	if e.isGuest() {
		return
	}
	if ch.refutes() || g.mayFlood(e) || ch.news.ours {
		g.flood(ch.from, e)
		return
	}
	for _, l := range g.links.list {
		if slices.Contains(ch.waiting, l.id) && l.state == linkUp {
			g.announceTo(l, e)
		}
	}
}

// tellAccused passes an accusation that does not count here to the accused, by the shortest way.
// Others may have taken it, and the refutation has to find back to them.
func (g *gossip) tellAccused(from *link, e *entry, n news) {
	d := e.with()
	if from == nil || slices.Contains(d.waiting, from.id) || len(d.waiting) >= maxLinks {
		return
	}
	d.waiting = append(d.waiting, from.id)
	if l := g.routes.nextHop(&pb.Routed{To: string(e.record.ID), Passed: []string{string(g.cfg.ID), string(from.peer)}}); l != nil {
		l.pending = append(l.pending, &pb.Announcement{
			Type: n.state, Record: n.record.Signed, Hops: uint32(g.links.distance(e)), Age: toAge(g.now - n.said), Accusers: names(n.accusers),
		})
	}
}

// mayAccuse reports whether another accusation of a living peer may count: a peer that keeps
// refuting is left alone for a while, and a link has so many losses taken, and so many unknown
// peers.
func (g *gossip) mayAccuse(from *link, e *entry) bool {
	return !g.changesTooOften(e) && (from == nil || from.mayIntroduce(g.now))
}

// members are the accusers of a peer that count.
func (g *gossip) members(accusers []certs.ID, of *entry) (list []certs.ID) {
	for _, id := range accusers {
		if id != of.record.ID && !slices.Contains(list, id) && slices.ContainsFunc(g.table.of(id), func(e *entry) bool { return !e.isGuest() }) {
			list = append(list, id)
		}
	}
	return list
}

func names(ids []certs.ID) []string {
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	return list
}

// confirm takes the word of a second accuser of a suspect, and passes it on.
func (g *gossip) confirm(from *link, e *entry, accusers ...certs.ID) {
	if !e.suspect(g.now) {
		return
	}
	for _, id := range g.members(accusers, e) {
		if len(e.side.accusers) >= pb.MaxAccusers || slices.Contains(e.side.accusers, id) {
			continue
		}
		e.side.accusers = append(slices.Clone(e.side.accusers), id)
		g.doubt.giveTime(e)
		g.wake(e.side.until)
		if !e.side.heldBack {
			g.flood(from, e)
		}
	}
}
