package core

import (
	"cmp"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Who belongs to a private network is judged in overlay/core/base/passes.go. Here is what follows
// when somebody does not any more.

// expel acts on a removal that the table has taken: links to the removed are closed, nothing is kept
// for them, and the user is told. Whom an admin has let in falls with it, unless its removal keeps
// them.
func (c *Core) expel(r *base.Record) {
	c.env.Note(base.Info, "a peer was removed from the network", "id", string(r.ID), "key", r.Key.String(), "by", string(r.Standing.By))
	if c.env.Ready {
		c.env.Out.Events = append(c.env.Out.Events, base.Removed{ID: r.ID, Key: r.Key, By: r.Standing.By})
	}
	removal := c.table.Get(r.ID, r.Key)
	c.shutOut(r.Key, removal)
	if r.Standing.Rank != base.RankRemovedByNetwork {
		return
	}
	if c.hasFallen() {
		return
	}
	for _, e := range c.roll.fallen(r) {
		c.shutOut(e.Record.Key, removal)
		c.dropped(e)
		c.view.refresh(e.Record.ID)
	}
}

// hasFallen stops this peer if the admin who has let it in was removed, and its pass with it.
func (c *Core) hasFallen() bool {
	barred, _ := c.env.Passes.PassOf(c.table.Self.Record)
	if barred != nil {
		c.fail(&base.RemovedError{Issuer: barred.ID})
	}
	return barred != nil
}

// shutOut ends all dealings with a key. Whoever it is learns why, should it listen.
func (c *Core) shutOut(key certs.PublicKey, removal *table.Entry) {
	for _, l := range c.links.List {
		if l.Key == key && l.State != link.LinkClosing {
			if l.State == link.LinkUp && removal != nil {
				c.gossip.AnnounceTo(l, removal)
			}
			c.links.Close(l, base.CloseRefused, "removed from the network")
		}
	}
	c.custody.Expel(key)
	c.join.Expel(key)
}

// learnRemovals takes the removals of earlier runs.
func (c *Core) learnRemovals(list []*pb.Announcement) {
	for _, a := range list {
		r, err := base.OpenRemoval(a.GetRecord(), a.GetIssuer(), c.env.Cfg.Network)
		if err != nil || r.Key == c.env.Cfg.Identity.Key() {
			continue // ours: others will tell us, if it still counts
		}
		if ch, ok := c.roll.merge(nil, link.News{Record: r, State: r.Type, Said: c.env.Now}); ok {
			c.roll.fallen(ch.News.Record)
		}
	}
	c.env.Out.Removals = nil
	c.hasFallen()
}

// Remove takes a key out of this private network for good: the announcement is signed already. The
// reply is not OK if it is not news, or does not count.
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
	return Reply{OK: true}
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

// Admins lists the admins that are here.
func (c *Core) Admins() (list []certs.ID) {
	for _, e := range sortedByID(c.table.Entries) {
		if e.Alive() && e.Record.Rank() == base.RankAdmin {
			list = append(list, e.Record.ID)
		}
	}
	return list
}

// Door is where a peer can be dialled by a newcomer.
type Door struct {
	Address string
	Key     certs.PublicKey
}

// Doors lists where newcomers may dial: first us, then members that we have a link to and that are
// not behind a NAT.
func (c *Core) Doors() (list []Door) {
	add := func(r *base.Record) {
		for _, a := range r.Addresses {
			list = append(list, Door{a, r.Key})
		}
	}
	add(c.table.Self.Record)
	for _, l := range c.links.List {
		if e := l.Entry; l.State == link.LinkUp && e != nil && e.Alive() && !e.IsGuest() && len(e.Record.Observed) == 0 {
			add(e.Record)
		}
	}
	return list
}
