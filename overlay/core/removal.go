package core

import (
	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// members handles what follows when a peer does not belong to a private network any more; that is
// judged in overlay/core/base/passes.go.
type members struct {
	*base.Env
	table   *table.Table
	links   *link.Links
	gossip  *gossip.Gossip
	custody *custody.Custody
	join    *join.Joiner
	roll    *roll
}

// expel acts on a removal that the table has taken: links to the removed are closed, nothing is kept
// for it, and the user is told.
func (ms *members) expel(removal *table.Entry) {
	r := removal.Record
	ms.Note(base.Debug, "a peer was removed from the network", "id", string(r.ID), "key", r.Key.String(), "by", string(r.Standing.By))
	if ms.Ready {
		ms.Out.Events = append(ms.Out.Events, base.Removed{ID: r.ID, Key: r.Key, By: r.Standing.By})
	}
	ms.shutOut(r.Key, removal)
}

// sweep puts out of the table what counts no more after removals have come: what the same key has
// said under another ID, and what a removed admin has signed. So the table does not depend on the
// order in which statements come. A peer that is out itself stops, unless it has a ticket for another
// pass.
func (ms *members) sweep() {
	if !ms.roll.unswept || ms.Ended {
		return
	}
	ms.roll.unswept = false
	for _, e := range ms.roll.fallen() {
		out := ms.Passes.Barred(e.Record)
		ms.shutOut(e.Record.Key, ms.table.Get(out.ID, out.Key))
		ms.Happen(departed{e})
	}
	switch out := ms.Passes.Barred(ms.table.Self.Record); {
	case out == nil || ms.Leaving || ms.Cfg.Redemption != nil:
	case out.Key == ms.Cfg.Identity.Key():
		ms.Happen(base.Failed{Why: &base.RemovedError{By: out.Standing.By}})
	default:
		ms.Happen(base.Failed{Why: &base.RemovedError{Issuer: out.ID}})
	}
}

// shutOut ends all dealings with a key. Its holder learns why, should it listen.
func (ms *members) shutOut(key certs.PublicKey, removal *table.Entry) {
	for _, l := range ms.links.List {
		if l.Key == key && l.State != link.LinkClosing {
			if l.State == link.LinkUp && removal != nil {
				ms.gossip.AnnounceTo(l, removal)
			}
			ms.links.Close(l, base.CloseRefused, "removed from the network")
		}
	}
	ms.custody.Expel(key)
	ms.join.Expel(key)
}

// loadRemovals takes the removals of earlier runs.
func (ms *members) loadRemovals() {
	var stale []base.RemovalWrite
	for _, a := range ms.Cfg.Removals {
		r, err := base.OpenRemoval(a.GetRecord(), a.GetIssuer())
		if err != nil || !ms.Passes.Private() || r.Key == ms.Cfg.Identity.Key() {
			continue // ours: others will tell us, if it still counts
		}
		barred, err := ms.Passes.PassOf(r)
		switch {
		case err != nil:
		case barred != nil:
			stale = append(stale, base.RemovalWrite{ID: r.ID, Key: r.Key, Lifted: true})
		default:
			ms.roll.merge(nil, link.News{Record: r, State: r.Type, Said: ms.Now})
		}
	}
	ms.Cfg.Removals, ms.Out.Removals = nil, stale
	ms.sweep()
}

// Remove takes a key out of this private network for good: the announcement is signed already. The
// reply is not OK if it is not news, does not count, or the table has no room.
type Remove struct{ Proof *pb.Announcement }

func (in Remove) apply(c *Core) (r Reply) {
	record, err := base.OpenRemoval(in.Proof.GetRecord(), in.Proof.GetIssuer())
	if err != nil || !c.env.Passes.Private() || c.env.Ended {
		return r
	}
	n := link.News{Record: record, State: record.Type, Said: c.env.Now}
	barred, err := c.env.Passes.PassOf(record)
	if barred != nil || err != nil || !c.gossip.Signed(n) || !c.gossip.IsNews(nil, n) {
		return r
	}
	c.accept(nil, n)
	e := c.table.Get(record.ID, record.Key)
	return Reply{OK: e != nil && e.Removed()} // or the table is full of them
}

// Roster is what a peer knows of the members of its private network. It is good until the next input.
type Roster struct{ core *Core }

// Roster is this peer's.
func (c *Core) Roster() Roster { return Roster{c} }

// Member is a peer that has, or had, a pass.
type Member struct {
	ID    certs.ID
	Key   certs.PublicKey
	Admin bool // or was one, until the network's key removed it
	Out   bool // it was removed
}

// Of lists the keys that have, or had, an ID, as far as the table knows.
func (r Roster) Of(id certs.ID) (list []Member) {
	for _, e := range r.core.table.Of(id) {
		if s := e.Record.Standing; s != nil {
			list = append(list, Member{ID: e.Record.ID, Key: e.Record.Key, Admin: s.Rank == base.RankAdmin || s.Rank == base.RankRemovedByNetwork, Out: e.Removed()})
		}
	}
	return list
}

// Removal reports whether a key was removed, and whether by the network's key.
func (r Roster) Removal(key certs.PublicKey) (byNetwork, out bool) {
	removal := r.core.env.Passes.Removal(key)
	return removal != nil && removal.Standing.Rank == base.RankRemovedByNetwork, removal != nil
}

// SignedBy lists what an admin has signed that the table has, as names for Removal.keep, up to as
// many as a removal may have.
func (r Roster) SignedBy(admin certs.PublicKey) (names [][]byte) {
	for _, e := range r.core.table.Entries {
		if s := e.Record.Standing; s != nil && s.Issuer == admin && len(names) < pb.MaxKeep {
			names = append(names, s.Name[:])
		}
	}
	return names
}

// Admins lists the admins that are here.
func (r Roster) Admins() (list []certs.ID) {
	for _, e := range sortedByID(r.core.table.Entries) {
		if e.Alive() && e.Record.Rank() == base.RankAdmin {
			list = append(list, e.Record.ID)
		}
	}
	return list
}

// DialedAt is where a peer can be dialled by a newcomer.
type DialedAt struct {
	Address string
	Key     certs.PublicKey
}

// Doors lists where newcomers may dial: first us, then members that we have a link to and that are
// not behind a NAT.
func (r Roster) Doors() (list []DialedAt) {
	add := func(r *base.Record) {
		for _, a := range r.Addresses {
			list = append(list, DialedAt{a, r.Key})
		}
	}
	add(r.core.table.Self.Record)
	for _, l := range r.core.links.List {
		if e := l.Entry; l.State == link.LinkUp && e != nil && e.Alive() && !e.IsGuest() && len(e.Record.Observed) == 0 {
			add(e.Record)
		}
	}
	return list
}
