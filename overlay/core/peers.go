package core

import (
	"quicpeer/certs"
	"slices"
)

// Peer is a row of the routing table as users see it.
type Peer struct {
	ID        certs.ID
	Key       certs.PublicKey
	Suspect   bool
	Link      LinkID // 0: none
	Via       certs.ID
	Addresses []string
}

// Peers lists who is here, this peer itself excepted, in the order of the IDs.
func (c *Core) Peers() []Peer {
	var list []Peer
	for _, e := range sortedByID(c.table.entries) {
		if e.shown == nil {
			continue
		}
		r := e.record
		p := Peer{ID: r.ID, Key: r.Key, Suspect: !e.alive(), Via: c.links.via(e), Addresses: slices.Concat(r.Addresses, r.Observed)}
		if l := c.links.linkTo(r.Key); l != nil {
			p.Link = l.id
		}
		list = append(list, p)
	}
	return list
}

// Record is the signed record of the owner of an ID; nil if nobody is shown as here.
func (c *Core) Record(id certs.ID) *Record {
	if e := c.table.shown(id); e != nil {
		return e.record
	}
	return nil
}

// Neighbours lists the peers that we exchange announcements with.
func (c *Core) Neighbours() []certs.ID {
	var list []certs.ID
	for _, l := range c.links.list {
		if l.neighbour {
			list = append(list, l.peer)
		}
	}
	return list
}

// Digest is a hash over the whole table; equal tables have equal digests.
func (c *Core) Digest() []byte { return c.table.digest() }

// Epoch is the epoch of this run; it can rise until the peer is in the network.
func (c *Core) Epoch() uint64 { return c.cfg.Epoch }

// DepositsPending reports whether a peer is still to be asked to keep something, or to answer. A
// peer that leaves waits for it, but not for ever, since links may be slow.
func (c *Core) DepositsPending() bool { return c.custody.depositsPending() }

// sortedByID lists entries in the order that users see.
func sortedByID(entries []*entry) []*entry {
	list := slices.Clone(entries)
	slices.SortStableFunc(list, func(a, b *entry) int {
		switch {
		case a.record.ID < b.record.ID:
			return -1
		case a.record.ID > b.record.ID:
			return 1
		}
		return 0
	})
	return list
}
