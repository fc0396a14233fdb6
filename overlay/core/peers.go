package core

import (
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Peer is a row of the routing table as users see it.
type Peer struct {
	ID        certs.ID
	Key       certs.PublicKey
	Suspect   bool
	Link      base.LinkID // 0: none is in use
	Carried   base.LinkID // one over others that is in use; 0: none
	Via       certs.ID
	Addresses []string
	Rooms     []string
	Tags      string
	Visitor   bool
}

// Peers lists who is here, this peer itself excepted, in the order of the IDs.
func (c *Core) Peers() []Peer {
	var list []Peer
	for _, e := range sortedByID(c.table.Entries) {
		if e.Shown == nil {
			continue
		}
		r := e.Record
		p := Peer{ID: e.Name(), Key: r.Key, Suspect: !e.Alive(), Via: c.links.Via(e), Addresses: slices.Concat(r.Addresses, r.Observed), Rooms: r.Rooms, Tags: r.Tags, Visitor: r.Visitor}
		switch l, carried := c.carried.inUse(r.Key); {
		case l == nil:
		case carried:
			p.Carried = l.ID
		default:
			p.Link = l.ID
		}
		list = append(list, p)
	}
	return list
}

// Record is the signed record of the peer that is shown under a name as here; nil if none is.
func (c *Core) Record(id certs.ID) *base.Record {
	if e := c.table.Called(id); e != nil {
		return e.Record
	}
	return nil
}

// Neighbours lists the peers that we exchange announcements with.
func (c *Core) Neighbours() []certs.ID {
	var list []certs.ID
	for _, l := range c.links.List {
		if l.Neighbour {
			list = append(list, l.Peer)
		}
	}
	return list
}

// LastSaid is the latest broadcast of ours; nil: there is none.
func (c *Core) LastSaid() *pb.Signed { return c.broadcasts.Last() }

// Digest is a hash over the whole table; equal tables have equal digests.
func (c *Core) Digest() []byte { return c.table.Digest() }

// Epoch is the epoch of this run; it can rise until the peer is in the network.
func (c *Core) Epoch() uint64 { return c.env.Cfg.Epoch }

// DepositsPending reports whether a peer is still to be asked to keep something, or to answer. A
// peer that leaves waits for it, but not for ever, since links may be slow.
func (c *Core) DepositsPending() bool { return c.custody.DepositsPending() }

// sortedByID lists entries in the order that users see.
func sortedByID(entries []*table.Entry) []*table.Entry {
	list := slices.Clone(entries)
	slices.SortStableFunc(list, func(a, b *table.Entry) int {
		switch {
		case a.Record.ID < b.Record.ID:
			return -1
		case a.Record.ID > b.Record.ID:
			return 1
		}
		return 0
	})
	return list
}
