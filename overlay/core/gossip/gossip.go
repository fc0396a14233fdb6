// Package gossip floods announcements: which are news, whom they are passed on to, and how often.
package gossip

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// How often the news of one peer is passed on, guesses.
const (
	ChangeEvery   = 10 * time.Second // six announcements a minute of one peer
	ChangesAtOnce = 6
)

// Announcements returns announcements of the entries, as we hold them.
func (g *Gossip) Announcements(list []*table.Entry) []*pb.Announcement {
	out := make([]*pb.Announcement, 0, len(list))
	for _, e := range list {
		out = append(out, g.Announcement(e))
	}
	return out
}

// Gossip handles announcements: it opens and judges those that come, and queues those that go
// out.
type Gossip struct {
	*base.Env
	table    *table.Table
	links    *link.Links
	routes   *route.Routes
	doubt    *link.Doubt
	heldBack []*table.Entry // entries that change too often to be announced at once
}

// New returns the gossip over these links.
func New(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, db *link.Doubt) *Gossip {
	return &Gossip{Env: en, table: t, links: ls, routes: rt, doubt: db}
}

// Open checks an announcement by itself. One that can't be read is dropped: n.record is nil. ok
// is false if the link had to be closed for it. Signatures are checked later, and only if it is
// news.
func (g *Gossip) Open(from *link.Link, a *pb.Announcement) (n link.News, ok bool) {
	err := pb.CheckAnnouncement(a)
	var r *base.Record
	switch removal := a.GetType() == pb.AnnouncementType_REMOVED; {
	case err != nil:
	case removal && !g.Passes.Private():
		err = fmt.Errorf("%w: a removal in an open network", pb.ErrMalformed)
	case removal:
		r, err = base.OpenRemoval(a.GetRecord(), a.GetIssuer())
	default:
		r, err = g.Cfg.Open(a.GetRecord())
	}
	if _, pass := errors.AsType[*base.PassError](err); pass {
		g.links.Violation(from, err.Error())
		return n, false
	}
	if err != nil {
		return n, g.links.Skip(from, err)
	}
	n = link.News{Record: r, State: a.GetType(), Hops: a.GetHops(), Said: g.Now - base.FromAge(a.GetAge()), Broadcasts: a.GetBroadcasts(), Later: a.GetLater() && !g.Ready}
	for _, id := range a.GetAccusers() {
		n.Accusers = append(n.Accusers, certs.ID(id))
	}
	if n.State != r.Type && (n.State != pb.AnnouncementType_LOST || r.Type != pb.AnnouncementType_JOIN) {
		g.links.Violation(from, "an announcement that its record does not bear out")
		return n, false
	}
	if r.Network != g.Cfg.InRecords() {
		g.links.Violation(from, "an announcement of another network")
		return n, false
	}
	barred, err := g.Passes.PassOf(r)
	if err != nil {
		g.links.Violation(from, err.Error())
		return n, false
	}
	if barred != nil {
		g.TellRemoved(from, barred)
		return link.News{}, true
	}
	return n, true
}

// TellRemoved answers news of a peer that is out of this private network with the proof.
func (g *Gossip) TellRemoved(to *link.Link, removal *base.Record) {
	if e := g.table.Get(removal.ID, removal.Key); e != nil && e.Removed() && to != nil {
		g.AnnounceTo(to, e)
	}
}

// Signed reports whether the subject has signed its record: the very same record may be in the
// table, verified.
func (g *Gossip) Signed(n link.News) bool {
	held := g.table.Lookup(n.Record.Tag, n.Record.ID, n.Record.Key)
	return held != nil && held.Record.IsSame(n.Record) || g.Cfg.Verify(g.Passes.Claim(n.Record))
}

// IsNews compares an announcement with what we hold.
func (g *Gossip) IsNews(from *link.Link, n link.News) bool {
	held := g.table.Lookup(n.Record.Tag, n.Record.ID, n.Record.Key)
	removal := n.State == pb.AnnouncementType_REMOVED // which holds for ever
	if !n.Credible(from) || !removal && g.expired(n, held != nil) || !removal && n.State != pb.AnnouncementType_LOST && g.table.Tombstones.Covers(n.Record) {
		return false
	}
	if held == nil {
		return true
	}
	order := n.Version().Compare(held.Version())
	switch {
	case order == 0 && held.Missing:
		g.table.Found(held)
		fallthrough
	case order == 0:
		g.links.SetHops(held, from, n.Hops)
		g.Confirm(from, held, n.Accusers...)
	case order < 0 && !held.Missing:
		g.answerOlder(from, held)
	}
	return order > 0
}

// answerOlder sends what we hold to a peer that has announced something older.
func (g *Gossip) answerOlder(to *link.Link, held *table.Entry) {
	if to != nil && (held != g.table.Self || !g.Leaving) {
		g.AnnounceTo(to, held)
	}
}

// Flood queues an announcement for all neighbours and guests except the one that it came from.
func (g *Gossip) Flood(from *link.Link, e *table.Entry) {
	a := g.Announcement(e)
	for _, l := range g.links.List {
		if l != from && (l.Neighbour || l.LeadsToGuest()) {
			l.Pending = append(l.Pending, a)
		}
	}
}

// AnnounceTo queues an announcement for one link.
func (g *Gossip) AnnounceTo(l *link.Link, e *table.Entry) {
	l.Pending = append(l.Pending, g.Announcement(e))
}

// Announcement returns what we hold of a peer.
func (g *Gossip) Announcement(e *table.Entry) *pb.Announcement {
	a := &pb.Announcement{
		Type: e.State, Record: e.Record.Signed, Hops: uint32(g.links.Distance(e)),
		Age: base.ToAge(g.Now - e.Said), Broadcasts: table.BroadcastsOf(e),
		Later: e.Alive() && g.table.NameOf(e, g.Now) != e.Record.ID,
	}
	switch e.State {
	case pb.AnnouncementType_LOST:
		a.Accusers = names(e.Our().Accusers)
	case pb.AnnouncementType_REMOVED:
		a.Issuer = e.Record.Standing.Pass.GetIssuer()
	}
	return a
}

// expired reports whether an announcement is too old to be taken. A JOIN holds for a lease unless
// it is renewed; a lost peer is remembered for longer, so that no JOIN outlives the LOST that
// buries it. A LEAVE is remembered for minutes, and later taken only by a peer that still holds
// the JOIN it buries. Ages travel with announcements and grow by each peer's own clock; the time
// of day does not matter.
func (g *Gossip) expired(n link.News, held bool) bool {
	age := g.Now - n.Said
	switch {
	case n.State == pb.AnnouncementType_JOIN:
		return age >= table.Lease
	case n.State == pb.AnnouncementType_LEAVE && !held:
		return age >= table.RememberLeft
	}
	return age >= table.RememberFor
}

// mayFlood limits what is passed on of others: a peer that changes more than six times a minute
// is announced once in ten seconds, as it is then. So relaying a flood is bounded whatever its
// source does. Refutations are not held back, since there is at most one for each LOST.
func (g *Gossip) mayFlood(e *table.Entry) bool {
	if e.Side == nil && e.Record.Seq == 0 && !e.Buried() {
		return true // its first announcement
	}
	d := e.With()
	if g.changesTooOften(e) {
		if !d.HeldBack {
			d.HeldBack = true
			g.heldBack = append(g.heldBack, e)
		}
		return false
	}
	d.Pace = max(d.Pace, g.Now) + ChangeEvery
	return true
}

func (g *Gossip) changesTooOften(e *table.Entry) bool {
	d := e.Our()
	return d.HeldBack || d.Pace-g.Now > (ChangesAtOnce-1)*ChangeEvery
}

// FloodHeldBack announces the entries that had changed too often.
func (g *Gossip) FloodHeldBack() {
	g.heldBack = slices.DeleteFunc(g.heldBack, func(e *table.Entry) bool {
		d := e.With()
		if d.Pace-g.Now > (ChangesAtOnce-1)*ChangeEvery {
			return false
		}
		d.HeldBack = false
		if g.table.Lookup(e.Record.Tag, e.Record.ID, e.Record.Key) == e && !e.Missing && g.mayFlood(e) {
			g.Flood(nil, e)
		}
		return true
	})
}

// Told floods what has changed, except guests. An entry that changes too often is told only where
// its refutation is waited for; a loss that we have found out ourselves is flooded all the same
// and, since others may not have taken it, once more later.
func (g *Gossip) Told(ch link.Change) {
	e := ch.Entry
	if e.IsGuest() {
		return
	}
	if ch.Refutes() || e.Removed() || g.mayFlood(e) || ch.News.Ours {
		g.Flood(ch.From, e)
		return
	}
	for _, l := range g.links.List {
		if slices.Contains(ch.Waiting, l.ID) && l.State == link.LinkUp {
			g.AnnounceTo(l, e)
		}
	}
}

// TellAccused passes an accusation that does not count here to the accused, by the shortest way.
// Others may have taken it, and the refutation has to find back to them.
func (g *Gossip) TellAccused(from *link.Link, e *table.Entry, n link.News) {
	d := e.With()
	if from == nil || slices.Contains(d.Waiting, from.ID) || len(d.Waiting) >= link.MaxLinks {
		return
	}
	d.Waiting = append(d.Waiting, from.ID)
	if l := g.routes.NextHop(&pb.Routed{To: string(e.Record.ID), Passed: []string{string(g.Cfg.ID), string(from.Peer)}}); l != nil {
		l.Pending = append(l.Pending, &pb.Announcement{
			Type: n.State, Record: n.Record.Signed, Hops: uint32(g.links.Distance(e)), Age: base.ToAge(g.Now - n.Said), Accusers: names(n.Accusers),
		})
	}
}

// MayAccuse reports whether another accusation of a living peer may count: a peer that keeps
// refuting is left alone for a while, and a link has so many losses taken, and so many unknown
// peers.
func (g *Gossip) MayAccuse(from *link.Link, e *table.Entry) bool {
	return !g.changesTooOften(e) && (from == nil || from.MayIntroduce(g.Now))
}

// Members are the accusers of a peer that count.
func (g *Gossip) Members(accusers []certs.ID, of *table.Entry) (list []certs.ID) {
	for _, id := range accusers {
		if id != of.Record.ID && !slices.Contains(list, id) && slices.ContainsFunc(g.table.Of(id), func(e *table.Entry) bool { return !e.IsGuest() && !e.Removed() }) {
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

// Confirm takes the word of a second accuser of a suspect, and passes it on.
func (g *Gossip) Confirm(from *link.Link, e *table.Entry, accusers ...certs.ID) {
	if !e.Suspect(g.Now) {
		return
	}
	if from == nil { // we have found so ourselves: that we have heard it lately speaks for it no more
		g.doubt.GiveTime(e)
		g.Wake(e.Side.Until)
	}
	for i, id := range accusers {
		if len(e.Side.Accusers) >= pb.MaxAccusers || slices.Contains(e.Side.Accusers, id) || len(g.Members(accusers[i:i+1], e)) == 0 {
			continue
		}
		e.Side.Accusers = append(slices.Clone(e.Side.Accusers), id)
		g.doubt.GiveTime(e)
		g.Wake(e.Side.Until)
		if !e.Side.HeldBack {
			g.Flood(from, e)
		}
	}
}
