package core

import (
	"cmp"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Who belongs to a private network is judged in overlay/core/base/passes.go. Here is what follows
// when somebody does not any more.

// expulsion ends all dealings with those that are out.
type expulsion struct {
	*base.Env
	table   *table.Table
	links   *link.Links
	gossip  *gossip.Gossip
	custody *custody.Custody
	join    *join.Joiner
	roll    *roll
}

// load takes the removals of earlier runs.
func (ex *expulsion) load(list []*pb.Announcement) {
	var stale []base.RemovalWrite
	for _, a := range list {
		r, err := base.OpenRemoval(a.GetRecord(), a.GetIssuer(), ex.Cfg.Network)
		if err != nil || !ex.Passes.Private() || ex.isOurs(r) {
			continue
		}
		barred, err := ex.Passes.PassOf(r)
		switch {
		case err != nil:
		case barred != nil:
			stale = append(stale, base.RemovalWrite{ID: r.ID, Key: r.Key, Lifted: true})
		default:
			ex.roll.merge(nil, link.News{Record: r, State: r.Type, Said: ex.Now})
		}
	}
	ex.Out.Removals = stale
}

// isOurs reports whether a removal would put us out. Others will tell us, if it still counts.
func (ex *expulsion) isOurs(r *base.Record) bool {
	own := ex.table.Self.Record
	return r.Key == own.Key || own.Standing != nil && own.Standing.Issuer == r.Key
}

// expel acts on a removal that the table has taken: links to the removed are closed, nothing is kept
// for it, and the user is told.
func (ex *expulsion) expel(removal *table.Entry) {
	r := removal.Record
	ex.Note(base.Info, "a peer was removed from the network", "id", string(r.ID), "key", r.Key.String(), "by", string(r.Standing.By))
	if ex.Ready {
		ex.Out.Events = append(ex.Out.Events, base.Removed{ID: r.ID, Key: r.Key, By: r.Standing.By})
	}
	ex.shutOut(r.Key, removal)
}

// sweep puts out of the table what counts no more after removals have come: what the same key has
// said under another ID, and whom a removed admin has let in or removed. So the table does not depend
// on the order in which statements come.
func (ex *expulsion) sweep() {
	if !ex.roll.unswept || ex.Ended {
		return
	}
	ex.roll.unswept = false
	for _, e := range ex.roll.fallen() {
		out := ex.Passes.Barred(e.Record)
		ex.shutOut(e.Record.Key, ex.table.Get(out.ID, out.Key))
		ex.Happen(departed{e})
	}
	switch out := ex.Passes.Barred(ex.table.Self.Record); {
	case out == nil || ex.Leaving:
	case out.Key == ex.Cfg.Identity.Key():
		ex.Happen(base.Failed{Why: &base.RemovedError{By: out.Standing.By}})
	default:
		ex.Happen(base.Failed{Why: &base.RemovedError{Issuer: out.ID}})
	}
}

// shutOut ends all dealings with a key. Whoever it is learns why, should it listen.
func (ex *expulsion) shutOut(key certs.PublicKey, removal *table.Entry) {
	for _, l := range ex.links.List {
		if l.Key == key && l.State != link.LinkClosing {
			if l.State == link.LinkUp && removal != nil {
				ex.gossip.AnnounceTo(l, removal)
			}
			ex.links.Close(l, base.CloseRefused, "removed from the network")
		}
	}
	ex.custody.Expel(key)
	ex.join.Expel(key)
}

// Remove takes a key out of this private network for good: the announcement is signed already. The
// reply is not OK if it is not news, does not count, or there is no room.
type Remove struct{ Proof *pb.Announcement }

func (in Remove) apply(c *Core) (r Reply) {
	record, err := base.OpenRemoval(in.Proof.GetRecord(), in.Proof.GetIssuer(), c.env.Cfg.Network)
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
	return Reply{OK: e != nil && e.Removed()} // or there is no room for it
}

// Member is what is known of a peer of a private network.
type Member struct {
	ID     certs.ID
	Key    certs.PublicKey
	Admin  bool
	Issuer certs.PublicKey
	Grant  base.StatementName
	Out    bool // it was removed
}

// Members lists all that the table knows of a private network, those that were removed included; the
// present come first.
func (c *Core) Members(id certs.ID) (list []Member) {
	for _, e := range c.table.Of(id) {
		if s := e.Record.Standing; s != nil {
			list = append(list, Member{ID: e.Record.ID, Key: e.Record.Key, Admin: s.Rank == base.RankAdmin, Issuer: s.Issuer, Grant: s.Name, Out: e.Removed()})
		}
	}
	return list
}

// SignedBy lists what an admin has signed that the table has, as names for Removal.keep, up to as
// many as a removal may have.
func (c *Core) SignedBy(admin certs.PublicKey) (names [][]byte) {
	for _, e := range c.table.Entries {
		if s := e.Record.Standing; s != nil && s.Issuer == admin && len(names) < pb.MaxKeep {
			names = append(names, s.Name[:])
		}
	}
	return names
}

// admits judges a record shown by a peer: barred says that it is out, by that removal.
func (do *door) admits(r *base.Record) (barred *base.Record, err error) {
	barred, err = do.Passes.PassOf(r)
	if barred == nil && err == nil && !do.Cfg.Verify(do.Passes.Claim(r)) {
		err = errNotSigned
	}
	if barred == nil && err == nil {
		do.Passes.Learn(r)
	}
	return barred, err
}

// proves reports whether a record that somebody else shows is valid, and of a member.
func (do *door) proves(r *base.Record) bool {
	barred, err := do.admits(r)
	return barred == nil && err == nil
}

// removedRefusal tells a peer, with the proof, that it is out.
func (do *door) removedRefusal(barred *base.Record) *pb.HandshakeResponse {
	return &pb.HandshakeResponse{
		Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Reason: clip(cmp.Or(string(barred.Standing.By), "the network") + " has removed " + string(barred.ID)),
		Removal: &pb.Announcement{Type: barred.Type, Record: barred.Signed, Issuer: barred.Standing.Pass.GetIssuer()},
	}
}
