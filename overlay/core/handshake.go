package core

import (
	"fmt"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// handshakeStart is our first frame on a link that we have dialled.
func (c *Core) handshakeStart(observed string) *pb.HandshakeStart {
	return &pb.HandshakeStart{
		Version: pb.Version, Redemption: c.env.Cfg.Redemption, Network: c.env.Cfg.Network, Id: string(c.env.Cfg.ID), Features: c.env.Cfg.Features,
		Record: c.table.Self.Record.Signed, Software: c.env.Cfg.Software, Broadcasts: c.broadcasts.Said, Observed: observed,
	}
}

// receiveHandshake takes the first frame of a link.
func (c *Core) receiveHandshake(l *link.Link, m *pb.PeerMessage) {
	if l.Dial == nil && l.Carriage != link.CarriedByUs {
		if start := m.GetHandshakeStart(); start != nil {
			c.receiveStart(l, start)
			return
		}
	} else if response := m.GetHandshakeResponse(); response != nil {
		c.receiveResponse(l, response)
		return
	}
	c.links.Violation(l, fmt.Sprintf("a frame of type %v before the handshake", m.GetType()))
}

// receiveStart is the door's side: it lets the dialer in or refuses it with a reason.
func (c *Core) receiveStart(l *link.Link, start *pb.HandshakeStart) {
	l.Foreign.Name(start.GetFeatures())
	if start.GetRedemption() != nil && c.env.Passes.Private() && start.GetVersion() == pb.Version && start.GetNetwork() == c.env.Cfg.Network {
		c.tickets.receive(l, start.GetRedemption())
		return
	}
	record, refusal := c.door.judge(l, start)
	if refusal != nil {
		c.env.Note(base.Info, "refused", "id", clip(start.GetId()), "address", l.Address, "key", l.Key.String(),
			"code", refusal.GetCode().String(), "reason", refusal.GetReason())
		c.env.Counts.Refuse(refusal.GetCode())
		refusal.Software = c.env.Cfg.Software
		c.links.Send(l, refusal)
		c.links.Close(l, base.CloseRefused, refusal.GetCode().String())
		return
	}
	stranger := l.Carriage == link.NotCarried && c.table.IsStranger(record.ID, record.Key)
	if stranger {
		c.visit.stay()
	}
	c.links.Send(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: c.table.Self.Record.Signed, Software: c.env.Cfg.Software, Broadcasts: c.broadcasts.Said, Observed: l.Address, Features: c.env.Cfg.Features})
	c.up(l, record, start.GetBroadcasts())
	if l.State == link.LinkUp {
		if stranger {
			c.reach.ReachedByStranger(l, start.GetObserved())
			c.settle()
		}
		c.reach.Observe(l, start.GetObserved()) // our packets come from there, or QUIC would not take them
	}
}

// receiveResponse takes the answer of a door.
func (c *Core) receiveResponse(l *link.Link, response *pb.HandshakeResponse) {
	if response.GetCode() == pb.HandshakeCode_OK {
		record, barred, err := c.door.openRecord(l, response.GetRecord(), "")
		if barred != nil {
			c.gossip.TellRemoved(l, barred)
			c.links.Close(l, base.CloseRefused, "removed from the network")
			return
		}
		if err != nil {
			c.links.Violation(l, err.Error())
			return
		}
		l.Foreign.Name(response.GetFeatures())
		c.own.accepted()
		if l.Carriage == link.NotCarried && c.env.Cfg.Visitor && !c.env.Visiting && l.Opened <= c.visit.stayed {
			c.gossip.AnnounceTo(l, c.table.Self) // the handshake said that we are a visitor
		}
		c.up(l, record, response.GetBroadcasts())
		if l.State == link.LinkUp {
			c.reach.Observe(l, response.GetObserved())
		}
		return
	}
	c.env.Note(base.Debug, "refused by a peer", "address", l.Address, "code", response.GetCode().String(), "reason", response.GetReason())
	c.links.Close(l, base.CloseRefused, "refused")
	if l.Carriage != link.NotCarried {
		return // whoever opened it knows the peer from the table, and learns nothing new
	}
	d := l.Dial
	l.Dial = nil
	c.reach.DialEnded(d, link.RefusalText(response), true)
	c.settle()
	c.receiveRefusal(l, d, response)
}

// receiveRefusal reacts to a refusal.
func (c *Core) receiveRefusal(l *link.Link, d *link.Dial, response *pb.HandshakeResponse) {
	switch last := response.GetEpoch(); response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_STALE:
		if response.GetRecord() == nil && (!c.env.Accepted || c.env.Untried) && last >= c.env.Cfg.Epoch && last <= pb.MaxToldEpoch {
			c.own.raiseEpoch(last) // if it is a lie, our epoch has only risen, as it may
			if d.Target != nil {
				d.Target.Next = c.env.Now
			}
			return
		}
		holder, err := c.env.Cfg.Open(response.GetRecord())
		if err != nil || holder.ID != c.env.Cfg.ID || holder.Network != c.env.Cfg.InRecords() || !c.door.proves(holder) {
			c.env.Note(base.Warn, "a refusal without proof", "address", l.Address)
			return
		}
		c.receiveHolder(l, d, holder)
	case pb.HandshakeCode_GRANTED:
		if c.tickets.receivePass(response.GetPass()) {
			if d.Target != nil {
				d.Target.Next = c.env.Now
			}
			return
		}
		c.env.Note(base.Warn, "a pass that is not valid", "address", l.Address)
	case pb.HandshakeCode_NOT_INVITED, pb.HandshakeCode_AWAY:
		if c.env.Cfg.Pass != nil && c.env.Cfg.Redemption != nil { // a member that wanted to be an admin
			c.env.Cfg.Redemption = nil
			if d.Target != nil {
				d.Target.Next = c.env.Now
			}
			return
		}
	case pb.HandshakeCode_REMOVED_FROM_NETWORK:
		n, ok := c.gossip.Open(l, response.GetRemoval())
		if ok && n.Record != nil && n.State == pb.AnnouncementType_REMOVED && c.gossip.IsNews(nil, n) && c.gossip.Signed(n) {
			c.accept(nil, n)
		}
	case pb.HandshakeCode_FULL:
		if !c.env.Accepted {
			c.join.AddCandidates(response.GetCandidates())
		}
	}
	if d.Target != nil {
		c.join.Refused(d.Target, response)
		c.join.CheckHolder()
	}
}

// receiveHolder takes the word of a door that our ID, or a newer run of ourselves, is in the network.
// A peer that no door has let in stops, unless another door lets it in, or raises its epoch. For a
// member the table decides, into which passes or our own signature have to bring it.
func (c *Core) receiveHolder(l *link.Link, d *link.Dial, holder *base.Record) {
	own := c.env.Cfg.Identity.Key()
	switch {
	case c.env.Accepted && holder.Key != own && !c.env.Passes.Private():
		// A door may have made that up. If it is true, others tell us.
	case c.env.Accepted && !(c.env.Untried && holder.Key == own):
		c.learn(l, &pb.Announcement{Type: holder.Type, Record: holder.Signed})
	case holder.Key != own && d.Target != nil:
		c.join.HeldElsewhere(d.Target, holder.Key)
	case holder.Key == own && (holder.Epoch > c.env.Cfg.Epoch ||
		holder.Epoch == c.env.Cfg.Epoch && (holder.Type == pb.AnnouncementType_LEAVE || holder.Nonce != c.env.Cfg.Nonce)):
		c.own.raiseEpoch(holder.Epoch)
		if d.Target != nil {
			d.Target.Next = c.env.Now
		}
	}
}

// up completes a handshake: the peer at the other end is known, and how many broadcasts it has
// sent.
func (c *Core) up(l *link.Link, r *base.Record, broadcasts uint64) {
	l.Peer, l.Epoch, l.UpSince = r.ID, r.Epoch, c.env.Now
	n := link.News{Record: r, State: pb.AnnouncementType_JOIN, Said: c.env.Now, Broadcasts: broadcasts}
	if !c.env.Ready { // a newcomer's door was there before: what it has said by now is not waited for
		n.Said = max(c.table.Self.Began, c.env.Now-broadcast.MemoryFor-1)
	}
	if l.Carriage != link.NotCarried {
		if !r.Visitor && c.gossip.IsNews(l, n) {
			c.accept(nil, n)
		}
		if !c.env.Ended && l.State != link.LinkClosing {
			c.carried.up(l)
		}
		return
	}
	l.State = link.LinkUp
	c.env.Untried = false
	before := c.table.Get(l.Peer, l.Key)
	stranger := before == nil || !before.Alive()
	if l.Dial != nil {
		c.reach.DialEnded(l.Dial, "", true)
		if l.Dial.Target != nil {
			c.settle()
			c.join.DoorOpened(l.Dial.Target, l)
			l.Door = l.Dial.Target
		}
	}
	if c.gossip.IsNews(l, n) {
		c.accept(l, n)
	}
	if c.env.Ended {
		return
	}
	c.doubt.LastHeard = c.env.Now
	l.Entry = c.table.Get(l.Peer, l.Key)
	c.reach.Punched(l)
	c.reach.ChooseLink(l)
	if l.State != link.LinkUp {
		return
	}
	c.join.Met(l)
	c.env.Out.Up = append(c.env.Out.Up, base.LinkUp{Link: l.ID, ID: c.links.NameOf(l), Key: l.Key, Epoch: l.Epoch})
	c.env.Note(base.Debug, "link up", "peer", string(l.Peer), "address", l.Address)
	if e := l.Entry; e != nil {
		c.table.Found(e)
		c.links.Reroute(e)
		d := e.With()
		d.Wanted, d.Failures, d.Why, d.LastAddress = false, 0, "", l.Address
		if l.Dial != nil { // a dial of theirs does not pay for ours
			c.reach.Hosts.Answered(reach.ParseAddress(l.Address).Addr())
		}
		c.reach.Superfluous(l)
	}
	if !c.env.Ready {
		c.sync.RequestTable()
	}
	// A peer that we have dialled without knowing that it lives is in another network, or in the
	// other half of ours: becoming neighbours joins the two.
	if neighbours.Short(c.links.Degree()) > 0 || stranger && l.Dial != nil && c.links.Degree() < table.MaxNeighbours {
		c.neighbourhood.AskNeighbour(l)
	}
	c.past.Pursue()
}
