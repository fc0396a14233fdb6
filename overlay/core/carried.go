package core

import (
	"fmt"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Links over others are for direct messages alone: nothing else that has a use for links sees
// them, as they are not up in the sense of link.LinkUp. What they need of the core is a handshake,
// which shows the ID and run of the peer, their end when the peer is restarted or they are idle,
// and for everybody's packets the next link.

// Bounds of carried links, guesses.
const (
	maxCarriedLinks = 64               // each holds at most 2 MiB, the window of a link
	carriedIdle     = 60 * time.Second // as of other links that have carried messages
)

// connectedOverOthers begins the handshake of a carried link.
func (c *Core) connectedOverOthers(l *link.Link, ours bool) {
	l.Carriage = link.CarriedByThem
	if ours {
		l.Carriage = link.CarriedByUs
	}
	others := 0
	for _, other := range c.links.List {
		if other.Carriage != link.NotCarried {
			others++
		}
	}
	switch {
	case c.env.Ended || c.env.Leaving:
		c.links.Close(l, base.CloseBye, "leaving")
	case others > maxCarriedLinks:
		c.links.Close(l, base.CloseRefused, fmt.Sprintf("this peer has %d links over others", maxCarriedLinks))
	case ours:
		c.links.Send(l, c.handshakeStart(""))
	}
}

// upOverOthers completes the handshake of a carried link.
func (c *Core) upOverOthers(l *link.Link, r *base.Record, broadcasts uint64) {
	l.Peer, l.Epoch, l.UpSince = r.ID, r.Epoch, c.env.Now
	if n := (link.News{Record: r, State: pb.AnnouncementType_JOIN, Said: c.env.Now, Broadcasts: broadcasts}); !r.Visitor && c.gossip.IsNews(l, n) {
		c.accept(nil, n)
	}
	if c.env.Ended || l.State == link.LinkClosing {
		return
	}
	l.State = link.LinkCarried
	c.closeCarried(l.Key, l.Epoch)
	c.env.Out.Up = append(c.env.Out.Up, base.LinkUp{Link: l.ID, ID: l.Peer, Key: l.Key, Epoch: l.Epoch, Carried: true})
	c.env.Note(base.Debug, "link up over others", "peer", string(l.Peer))
}

// closeCarried closes the carried links to earlier runs of a peer.
func (c *Core) closeCarried(key certs.PublicKey, epoch uint64) {
	for _, l := range c.links.List {
		if l.State == link.LinkCarried && l.Key == key && l.Epoch < epoch {
			c.links.Close(l, base.CloseDead, "the peer was restarted")
		}
	}
}

// tellCarried ends the carried links to a peer that has left, or begun another run.
func (c *Core) tellCarried(ch link.Change) {
	switch e := ch.Entry; e.State {
	case pb.AnnouncementType_LEAVE:
		c.closeCarried(e.Record.Key, e.Record.Epoch+1)
	case pb.AnnouncementType_JOIN:
		c.closeCarried(e.Record.Key, e.Record.Epoch)
	}
}

// checkCarried closes carried links that are not used.
func (c *Core) checkCarried() {
	for _, l := range c.links.List {
		if l.State == link.LinkCarried && c.env.Now > l.Used+carriedIdle {
			c.links.Close(l, base.CloseIdle, "not used")
		}
	}
}

// here returns a living peer of a tag, nil if there is none.
func (c *Core) here(tag uint64) *table.Entry {
	for _, e := range c.table.In(tag, tag) {
		if e != c.table.Self && (e.Alive() || e.Suspect(c.env.Now)) {
			return e
		}
	}
	return nil
}

// CarriesTo reports whether a peer of a tag is here, and over which link the packets of carried links go
// to it; 0: over none.
func (c *Core) CarriesTo(tag uint64) (over base.LinkID, here bool) {
	if c.here(tag) == nil {
		return 0, false
	}
	if l := c.routes.CarriesTo(c.table.In(tag, tag)); l != nil {
		over = l.ID
	}
	return over, true
}

// CarriedPeer returns where a carried link to a peer leads: its tag and key. It is not OK if there is one,
// or none is of use.
func (c *Core) CarriedPeer(id certs.ID) (tag uint64, key certs.PublicKey, ok bool) {
	e := c.table.Owner(id, c.env.Now)
	if e == nil || e == c.table.Self || c.env.Leaving || c.links.CarriedTo(e.Record.Key) != nil {
		return 0, key, false
	}
	return e.Record.Tag, e.Record.Key, true
}
