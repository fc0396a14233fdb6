package core

import (
	"quicpeer/certs"
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
	for _, e := range c.table.entries {
		if shown, ok := c.shown[e.id]; !ok || shown.key != e.key {
			continue
		}
		p := Peer{ID: e.id, Key: e.key, Suspect: !e.alive(), Via: c.via(e), Addresses: e.record.GetAddresses()}
		if l := c.linkTo(e.key); l != nil {
			p.Link = l.id
		}
		list = append(list, p)
	}
	return list
}

// Epoch is the epoch of this run; it can rise until the peer is in the network.
func (c *Core) Epoch() uint64 { return c.cfg.Epoch }
