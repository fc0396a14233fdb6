package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Links over others are for direct messages alone: nothing else that has a use for links sees
// them, as they are not up in the sense of link.LinkUp. Of the core they need a handshake,
// which shows the ID and run of the peer, their end when the peer is restarted or they are idle,
// and for everybody's packets the next link.

// Bounds of carried links, guesses.
const (
	maxCarriedLinks = 64               // each holds at most 2 MiB, the window of a link
	carriedIdle     = 60 * time.Second // as of other links that have carried messages
)

// carried looks after the links over others.
type carried struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
}

// connected notes which side has made a carried link; false says that there are too many.
func (ca *carried) connected(l *link.Link, ours bool) bool {
	l.Carriage = link.CarriedByThem
	if ours {
		l.Carriage = link.CarriedByUs
	}
	n := 0
	for _, other := range ca.links.List {
		if other.Carriage != link.NotCarried {
			n++
		}
	}
	return n <= maxCarriedLinks
}

// up completes the handshake of a carried link.
func (ca *carried) up(l *link.Link) {
	l.State = link.LinkCarried
	ca.end(l.Key, l.Epoch)
	ca.Out.Up = append(ca.Out.Up, base.LinkUp{Link: l.ID, ID: l.Peer, Key: l.Key, Epoch: l.Epoch, Carried: true})
	ca.Note(base.Debug, "link up over others", "peer", string(l.Peer))
}

// end closes the carried links to the runs of a peer before an epoch.
func (ca *carried) end(key certs.PublicKey, epoch uint64) {
	for _, l := range ca.links.List {
		if l.State == link.LinkCarried && l.Key == key && l.Epoch < epoch {
			ca.links.Close(l, base.CloseDead, "the peer was restarted")
		}
	}
}

// told ends the carried links to a peer that has left, or begun another run.
func (ca *carried) told(ch link.Change) {
	switch e := ch.Entry; e.State {
	case pb.AnnouncementType_LEAVE:
		ca.end(e.Record.Key, e.Record.Epoch+1)
	case pb.AnnouncementType_JOIN:
		ca.end(e.Record.Key, e.Record.Epoch)
	}
}

// check closes carried links that are not used.
func (ca *carried) check() {
	for _, l := range ca.links.List {
		if l.State == link.LinkCarried && ca.Now > l.Used+carriedIdle {
			ca.links.Close(l, base.CloseIdle, "not used")
		}
	}
}

// inUse is the link to a peer, and whether it goes over others: such a one is in use if there is no
// other, or the peer is silent on that.
func (ca *carried) inUse(key certs.PublicKey) (l *link.Link, over bool) {
	l = ca.links.LinkTo(key)
	if other := ca.links.CarriedTo(key); other != nil && (l == nil || !ca.routes.Serves(l)) {
		return other, true
	}
	return l, false
}

// here returns a living peer of a tag; nil if there is none, or we have not named the feature.
func (ca *carried) here(tag uint64) *table.Entry {
	if !slices.Contains(ca.Cfg.Features, pb.FeatureCarry) {
		return nil
	}
	for _, e := range ca.table.In(tag, tag) {
		if e != ca.table.Self && (e.Alive() || e.Suspect(ca.Now)) {
			return e
		}
	}
	return nil
}

// CarriesTo reports whether a peer of a tag is here, and over which links the packets of carried
// links can go to it, the best first.
func (c *Core) CarriesTo(tag uint64) (over []base.LinkID, here bool) {
	if c.carried.here(tag) == nil {
		return nil, false
	}
	for _, l := range c.routes.CarriesTo(c.table.In(tag, tag)) {
		over = append(over, l.ID)
	}
	return over, true
}

// CarriedPeer returns where a carried link to a peer leads: its tag and key. It is not OK if there
// is such a link already, the peer is not here, or no link leads to it whose other end carries.
func (c *Core) CarriedPeer(id certs.ID) (tag uint64, key certs.PublicKey, ok bool) {
	e := c.table.Owner(id, c.env.Now)
	if e == nil || c.carried.here(e.Record.Tag) == nil || c.env.Leaving || c.links.CarriedTo(e.Record.Key) != nil {
		return 0, key, false
	}
	over, _ := c.CarriesTo(e.Record.Tag)
	return e.Record.Tag, e.Record.Key, len(over) > 0
}
