package core

import (
	"fmt"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/pb"
)

// door judges who may come in.
type door struct {
	*env
	table *table
	links *links
}

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

// receiveStart is the door: it lets the dialer in or says why not.
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

// judge returns the dialer's record, or the refusal that it gets.
func (do *door) judge(l *link, start *pb.HandshakeStart) (*Record, *pb.HandshakeResponse) {
	refuse := func(code pb.HandshakeCode, format string, args ...any) (*Record, *pb.HandshakeResponse) {
		return nil, &pb.HandshakeResponse{Code: code, Reason: clip(fmt.Sprintf(format, args...))}
	}
	if start.GetVersion() != pb.Version {
		return refuse(pb.HandshakeCode_VERSION, "this peer speaks version %d of the protocol, not %d", pb.Version, start.GetVersion())
	}
	if start.GetNetwork() != do.cfg.Network {
		return refuse(pb.HandshakeCode_NETWORK, "this is the network %q, not %q", do.cfg.Network, start.GetNetwork())
	}
	id, err := certs.ParseID(start.GetId())
	if err != nil {
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	record, err := do.openRecord(l, start.GetRecord(), id)
	if err != nil {
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	if do.leaving {
		return refuse(pb.HandshakeCode_LEAVING, "this peer is leaving")
	}
	held := do.table.get(id, l.key)
	if held != nil && (held.record.Epoch > record.Epoch ||
		held.record.Epoch == record.Epoch && (held.state == pb.AnnouncementType_LEAVE || held.record.Nonce != record.Nonce)) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity")
		refusal.Record = held.record.Signed
		return nil, refusal
	}
	// A member that comes back with the epoch that we know is no newcomer: who of
	// two members owns an ID is decided by the table.
	member := held != nil && held.record.Epoch == record.Epoch
	if owner := do.table.owner(id, do.now); owner != nil && owner.record.Key != l.key && !member && !do.isYounger(owner, record) {
		_, refusal := refuse(pb.HandshakeCode_DUPLICATE_ID, "the ID %s is in use by the peer with key %v", id, owner.record.Key)
		refusal.Record = owner.record.Signed
		return nil, refusal
	}
	if held == nil && do.table.forgotten.covers(record) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity, which has left")
		refusal.Epoch = do.table.forgotten.over(id, l.key)
		return nil, refusal
	}
	if held == nil {
		if _, ok := do.table.room(record, pb.AnnouncementType_JOIN, do.table.self, do.now); !ok && do.table.full(do.now) {
			return refuse(pb.HandshakeCode_FULL, "the table is full: the network has %d peers", maxEntries)
		} else if !ok {
			return refuse(pb.HandshakeCode_FULL, "there is no room for another key of the ID %s", id)
		}
	}
	if do.links.linksUp() >= maxLinks && do.links.linkTo(l.key) == nil {
		_, refusal := refuse(pb.HandshakeCode_FULL, "this peer has %d connections", maxLinks)
		refusal.Candidates = do.others()
		return nil, refusal
	}
	return record, nil
}

// isYounger says that it is we who hold the ID, that no door has let us in either, and
// that the newcomer is older: then the rule decides, or two who join each other would both
// be refused.
func (do *door) isYounger(owner *entry, newcomer *Record) bool {
	return !do.accepted && owner == do.table.self && (&entry{record: newcomer}).older(do.table.self)
}

// openRecord opens a JOIN record that the other side of a link shows as its own;
// an empty id stands for any.
func (do *door) openRecord(l *link, signed *pb.Signed, id certs.ID) (*Record, error) {
	r, err := do.cfg.Open(signed)
	switch {
	case err != nil:
		return nil, err
	case r.Type != pb.AnnouncementType_JOIN:
		return nil, fmt.Errorf("the record is not a JOIN")
	case r.Key != l.key:
		return nil, fmt.Errorf("the record is of another key than the certificate")
	case id != "" && r.ID != id:
		return nil, fmt.Errorf("the record is of another ID")
	case r.Network != do.cfg.Network:
		return nil, fmt.Errorf("the record is of another network")
	case !do.cfg.Verify(Claim{Key: r.Key, Signed: signed}):
		return nil, fmt.Errorf("the record is not signed by its key")
	}
	return r, nil
}

// others are peers to try instead, up to pb.MaxCandidates at random: those that can be
// dialled by whoever is in no network yet.
func (do *door) others() []*pb.Signed {
	var list []*pb.Signed
	for range 4 * pb.MaxCandidates {
		e := do.table.entries[do.cfg.Rand.IntN(len(do.table.entries))]
		if e.alive() && e != do.table.self && !e.isGuest() && len(e.record.Observed) == 0 && len(list) < pb.MaxCandidates && !slices.Contains(list, e.record.Signed) {
			list = append(list, e.record.Signed)
		}
	}
	return list
}

// receiveResponse is the answer of a door.
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
			c.gossip.announceTo(l, c.table.self) // it was told that we are a visitor
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

// receiveRefusal draws the consequences of a refusal.
func (c *Core) receiveRefusal(l *link, d *dial, response *pb.HandshakeResponse) {
	switch last := response.GetEpoch(); response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_STALE:
		if response.GetRecord() == nil && (!c.accepted || c.untried) && last >= c.cfg.Epoch && last <= pb.MaxToldEpoch {
			c.own.raiseEpoch(last) // at the worst it is a lie: our epochs rise, as they may
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

// receiveHolder takes the proof that our ID, or a newer run of ourselves, is in
// the network. To a peer that no door has let in this is the end, unless another door
// lets it in, or a reason to raise its epoch; for a member the table's rule decides.
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

// clip cuts a reason to what a frame may carry, between two characters.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), pb.MaxReason)], "")
}

// up is the end of a successful handshake: the peer at the other end is known, and how
// many broadcasts it has said.
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
		if l.dial != nil { // who dials us pays nothing for us
			c.reach.hosts.answered(parseAddress(l.address).Addr())
		}
		c.reach.superfluous(l)
	}
	if !c.ready {
		c.sync.requestTable()
	}
	// Whom we have dialled without knowing that it lives is in another network,
	// or in the other half of ours: as neighbours we make them one.
	if c.links.degree() < wantNeighbours || stranger && l.dial != nil && c.links.degree() < maxNeighbours {
		c.neighbourhood.askNeighbour(l, false)
	}
}
