package core

import (
	"fmt"
	"quicpeer/pb"
)

// receiveHandshake takes the first frame of a link.
func (c *Core) receiveHandshake(l *link, m *pb.PeerMessage) {
	if l.dial == nil {
		if start := m.GetHandshakeStart(); start != nil {
			c.receiveStart(l, start)
			return
		}
	} else if response := m.GetHandshakeResponse(); response != nil {
		c.receiveResponse(l, response)
		return
	}
	c.links.violation(l, fmt.Sprintf("a frame of type %v before the handshake", m.GetType()))
}

// receiveStart is the door's side: it lets the dialer in or refuses it with a reason.
func (c *Core) receiveStart(l *link, start *pb.HandshakeStart) {
	l.foreign.name(start.GetFeatures())
	record, refusal := c.door.judge(l, start)
	if refusal != nil {
		c.note(Info, "refused", "id", clip(start.GetId()), "address", l.address, "key", l.key.String(),
			"code", refusal.GetCode().String(), "reason", refusal.GetReason())
		refusal.Software = c.cfg.Software
		c.links.send(l, refusal)
		c.links.close(l, CloseRefused, refusal.GetCode().String())
		return
	}
	stranger := c.table.isStranger(record.ID, record.Key)
	if stranger {
		c.visit.stay()
	}
	c.links.send(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: c.table.self.record.Signed, Software: c.cfg.Software, Broadcasts: c.broadcasts.said, Observed: l.address, Features: c.cfg.features})
	c.up(l, record, start.GetBroadcasts())
	if l.state == linkUp {
		if stranger {
			c.reach.reachedByStranger(l, start.GetObserved())
			c.settle()
		}
		c.reach.observe(l, start.GetObserved()) // our packets come from there, or QUIC would not take them
	}
}

// receiveResponse takes the answer of a door.
func (c *Core) receiveResponse(l *link, response *pb.HandshakeResponse) {
	if response.GetCode() == pb.HandshakeCode_OK {
		record, err := c.door.openRecord(l, response.GetRecord(), "")
		if err != nil {
			c.links.violation(l, err.Error())
			return
		}
		l.foreign.name(response.GetFeatures())
		c.accepted = true
		if c.cfg.Visitor && !c.visiting && l.opened <= c.visit.stayed {
			c.gossip.announceTo(l, c.table.self) // the handshake said that we are a visitor
		}
		c.up(l, record, response.GetBroadcasts())
		if l.state == linkUp {
			c.reach.observe(l, response.GetObserved())
		}
		return
	}
	c.note(Debug, "refused by a peer", "address", l.address, "code", response.GetCode().String(), "reason", response.GetReason())
	c.links.close(l, CloseRefused, "refused")
	d := l.dial
	l.dial = nil
	c.reach.dialEnded(d, refusalText(response), true)
	c.settle()
	c.receiveRefusal(l, d, response)
}

// receiveRefusal reacts to a refusal.
func (c *Core) receiveRefusal(l *link, d *dial, response *pb.HandshakeResponse) {
	switch last := response.GetEpoch(); response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_STALE:
		if response.GetRecord() == nil && (!c.accepted || c.untried) && last >= c.cfg.Epoch && last <= pb.MaxToldEpoch {
			c.own.raiseEpoch(last) // if it is a lie, our epoch has only risen, as it may
			if d.target != nil {
				d.target.next = c.now
			}
			return
		}
		holder, err := c.cfg.Open(response.GetRecord())
		if err != nil || holder.ID != c.cfg.ID || holder.Network != c.cfg.Network ||
			!c.cfg.Verify(Claim{Key: holder.Key, Signed: holder.Signed}) {
			c.note(Warn, "a refusal without proof", "address", l.address)
			return
		}
		c.receiveHolder(l, d, holder)
	case pb.HandshakeCode_FULL:
		if !c.accepted {
			c.join.addCandidates(response.GetCandidates())
		}
	}
	if d.target != nil {
		d.target.refused(response)
		c.join.checkHolder()
	}
}

// receiveHolder takes the proof that our ID, or a newer run of ourselves, is in the network. A
// peer that no door has let in stops, unless another door lets it in, or raises its epoch; for a
// member the rule of the table decides.
func (c *Core) receiveHolder(l *link, d *dial, holder *Record) {
	own := c.cfg.Identity.Key()
	switch {
	case c.accepted && holder.Key == l.key && holder.Epoch < c.cfg.Epoch && holder.Type == pb.AnnouncementType_JOIN:
		// The door itself is the holder and lives, whatever the table says of it.
		c.fail(&DuplicateIDError{Holder: holder.Key})
	case c.accepted && !(c.untried && holder.Key == own):
		c.learn(l, &pb.Announcement{Type: holder.Type, Record: holder.Signed})
	case holder.Key != own && d.target != nil:
		c.join.heldElsewhere(d.target, holder.Key)
	case holder.Key != own:
		c.fail(&DuplicateIDError{Holder: holder.Key})
	case holder.Epoch > c.cfg.Epoch ||
		holder.Epoch == c.cfg.Epoch && (holder.Type == pb.AnnouncementType_LEAVE || holder.Nonce != c.cfg.Nonce):
		c.own.raiseEpoch(holder.Epoch)
		if d.target != nil {
			d.target.next = c.now
		}
	}
}

// up completes a handshake: the peer at the other end is known, and how many broadcasts it has
// sent.
func (c *Core) up(l *link, r *Record, broadcasts uint64) {
	l.state, l.peer, l.epoch, l.upSince = linkUp, r.ID, r.Epoch, c.now
	c.untried = false
	before := c.table.get(l.peer, l.key)
	stranger := before == nil || !before.alive()
	if l.dial != nil {
		c.reach.dialEnded(l.dial, "", true)
		if l.dial.target != nil {
			c.settle()
			c.join.doorOpened(l.dial.target, l)
			l.door = l.dial.target
		}
	}
	if n := (news{record: r, state: pb.AnnouncementType_JOIN, said: c.now, broadcasts: broadcasts}); c.gossip.isNews(l, n) {
		c.accept(l, n)
	}
	if c.ended {
		return
	}
	c.doubt.lastHeard = c.now
	l.entry = c.table.get(l.peer, l.key)
	c.reach.punched(l)
	c.reach.chooseLink(l)
	if l.state != linkUp {
		return
	}
	c.out.Up = append(c.out.Up, LinkUp{l.id, l.peer, l.key, l.epoch})
	c.note(Debug, "link up", "peer", string(l.peer), "address", l.address)
	if e := l.entry; e != nil {
		c.table.found(e)
		c.links.reroute(e)
		d := e.with()
		d.wanted, d.failures, d.why, d.lastAddress = false, 0, "", l.address
		if l.dial != nil { // a dial of theirs does not pay for ours
			c.reach.hosts.answered(parseAddress(l.address).Addr())
		}
		c.reach.superfluous(l)
	}
	if !c.ready {
		c.sync.requestTable()
	}
	// A peer that we have dialled without knowing that it lives is in another network, or in the
	// other half of ours: becoming neighbours joins the two.
	if Short(c.links.degree()) > 0 || stranger && l.dial != nil && c.links.degree() < MaxNeighbours {
		c.neighbourhood.askNeighbour(l)
	}
}
