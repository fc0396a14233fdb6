package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Broadcast sends a message to everyone. The body is at most pb.MaxBroadcast
// bytes of UTF-8, sentAt is in nanoseconds since 1970. It returns the message's ID.
func (c *Core) Broadcast(now time.Duration, body string, sentAt int64) [pb.MessageIDSize]byte {
	c.begin(now)
	c.visit.stay()
	return c.broadcasts.say(body, sentAt)
}

// Collect sends a holder of deposits the word of this peer that it has them, or will
// never take them. It may get lost: then they come again.
func (c *Core) Collect(now time.Duration, holder certs.ID, collected *pb.Collected) {
	c.begin(now)
	c.custody.collect(holder, collected)
}

// Deposit leaves something sealed with up to three peers that have a link, after what
// was left for the same receiver before. It is forgotten when the receiver is here, when
// this peer ends, and after 23 h, see Effects.Releave. d is kept.
//
// False says that it is not taken: the receiver is here, nothing is left any more or at
// all, or there is no room. Then nothing that follows it may be left either, since the
// receiver would wait for this one, and nothing is taken for that receiver until all that
// was left for it before is forgotten. The caller then begins with the first again.
func (c *Core) Deposit(now time.Duration, d *pb.Deposit) bool {
	c.begin(now)
	if !c.custody.canLeave(d) {
		return false
	}
	c.visit.stay()
	return c.custody.deposit(d)
}

// Withdraw is called when a message that may be in what was left for a peer is not to be
// sent any more: nothing of that is offered to anybody from now on. Who keeps something
// already goes on to keep it. If there are other messages for that peer (rest),
// Effects.Withdrawn says soon that they are to be left anew; until then nothing is taken
// for it.
func (c *Core) Withdraw(now time.Duration, receiver certs.ID, rest bool) {
	c.begin(now)
	c.custody.withdraw(receiver, rest)
}

// DepositsPending says that somebody is still to be asked to keep something, or to
// answer that. Who leaves waits for it, but not for ever: links may be slow.
func (c *Core) DepositsPending() bool {
	return c.custody.depositsPending()
}

// DialFailed is the news that a dial has reached nobody. self says that we
// answer there ourselves; why is for people.
func (c *Core) DialFailed(now time.Duration, id DialID, self bool, why string) {
	c.begin(now)
	c.reach.dialFailed(id, self, why)
}

// Want says that messages wait for the peer: it is dialled until there is a
// link, or it is gone. It returns false if that will take a while, since the peer has to
// be met, or was not reached: then messages had better go over others at once.
func (c *Core) Want(now time.Duration, id certs.ID) (soon bool) {
	c.begin(now)
	if soon = c.reach.want(id); !soon {
		c.visit.stay()
	}
	return soon
}

// Found is the news of a peer on the LAN, by what it says of itself: its ID, the
// fingerprint of its key, and addresses IP:PORT.
func (c *Core) Found(now time.Duration, id certs.ID, fingerprint string, addresses []string) {
	c.begin(now)
	c.join.foundOnLAN(id, fingerprint, addresses)
}

// Join dials one more address HOST:PORT. What comes of it is told by Effects.Joined, once;
// who has let us in is looked for from then on as if the address had been given at the
// start.
func (c *Core) Join(now time.Duration, address string) {
	c.begin(now)
	c.join.joinAddress(address)
}

// Route sends something sealed to a peer of the table, or one that has a link, over
// others; the number, a random one, names it in what comes back. It returns the link that
// it goes out on, 0 if there is nowhere to send it now, and if it has not 1 to
// pb.MaxPart·pb.MaxParts bytes. A link promises nothing.
func (c *Core) Route(now time.Duration, to certs.ID, number uint64, sealed []byte) (over LinkID) {
	c.begin(now)
	if !c.relay.canRoute(to, sealed) {
		return 0
	}
	c.visit.stay()
	return c.relay.route(to, number, sealed)
}

// Moved is the news that the addresses of our interfaces have changed; see Config.
func (c *Core) Moved(now time.Duration, own []netip.AddrPort, near []netip.Prefix) {
	c.begin(now)
	c.reach.moved(own, near)
}

// Mapped is the news of the address that a router leads to us; the zero address says that
// none does any more.
func (c *Core) Mapped(now time.Duration, addr netip.AddrPort) {
	c.begin(now)
	c.reach.mappedTo(addr)
}

// Seen is the news that a link's peer sends from another address than before.
func (c *Core) Seen(now time.Duration, id LinkID, address string) {
	c.begin(now)
	c.reach.seenAt(id, address)
}

// Hindered is the news of what a dial came upon, before DialFailed.
func (c *Core) Hindered(id DialID, by Obstacle) {
	c.join.hindered(id, by)
}

// Connected is the news of a connection whose TLS handshake is done: one of our
// dials, or with dial 0 one of somebody else's. key is the other side's, address
// where it is, for people.
func (c *Core) Connected(now time.Duration, id LinkID, dial DialID, key certs.PublicKey, address string) {
	c.begin(now)
	l := &link{id: id, key: key, address: address, dial: c.reach.dials[dial], opened: now, heard: now, used: now, slot: -1}
	l.within = parseAddress(address).Addr().IsLoopback()
	c.links.list = append(c.links.list, l)
	switch {
	case c.ended || c.leaving && dial != 0 || dial != 0 && l.dial == nil:
		c.links.close(l, CloseBye, "leaving")
	case l.dial != nil && l.dial.target != nil && l.dial.target.found != "" && l.dial.target.found != key.String():
		c.links.close(l, CloseBye, "another peer was looked for") // the answers of a LAN are anybody's word
	case l.dial != nil:
		c.links.send(l, &pb.HandshakeStart{
			Version: pb.Version, Network: c.cfg.Network, Id: string(c.cfg.ID), Features: c.cfg.features,
			Record: c.table.self.record.Signed, Software: c.cfg.Software, Broadcasts: c.broadcasts.said, Observed: address,
		})
	}
}

// Disconnected is the news that a link has ended. friendly says that the other
// side closed it in so many words, so that it lives; why is for people.
func (c *Core) Disconnected(now time.Duration, id LinkID, friendly bool, why string) {
	c.begin(now)
	l := c.links.link(id)
	if l == nil {
		return
	}
	c.links.endNeighbour(l)
	c.links.list = slices.DeleteFunc(c.links.list, func(other *link) bool { return other == l })
	if l.dial != nil {
		c.reach.dialEnded(l.dial, why, false)
	}
	c.links.leaveDoor(l, "the connection ended: "+why)
	if c.ended || l.peer == "" {
		return
	}
	c.note(Debug, "link ended", "peer", string(l.peer), "address", l.address, "why", why)
	c.wake(c.now)
	e := c.table.get(l.peer, l.key)
	if e == nil {
		return
	}
	c.links.reroute(e)
	if !e.alive() || l.state == linkClosing || c.links.linkTo(l.key) != nil {
		return
	}
	d := e.with()
	if c.now < l.opened+shortLived {
		// Somebody who ends its links as soon as they stand is dialled more and more
		// seldom.
		d.flaps++
		d.nextDial = c.now + c.backoff(d.flaps, maxBackoff)
	} else {
		d.flaps = 0
	}
	if !friendly {
		c.detect.linkBroken(e)
	}
}

// Heard is the news of a link's traffic: when the last packet came, when the last
// direct message went or came over it, and its round trip time, 0 if that is not known.
func (c *Core) Heard(now time.Duration, id LinkID, heard, used, roundTrip time.Duration) {
	c.begin(now)
	if l := c.links.link(id); l != nil {
		l.heard, l.used, l.roundTrip = max(l.heard, heard), max(l.used, used), roundTrip
	}
}

// Jitter is the news of how much the round trips of a link differ: their mean deviation.
func (c *Core) Jitter(now time.Duration, id LinkID, jitter time.Duration) {
	c.begin(now)
	if l := c.links.link(id); l != nil {
		l.jitter = jitter
	}
}

// Stuck is the news that a link is heard, and yet what we write on it does not get through,
// or that it does again. The peer is dialled anew, and until that succeeds everything that
// can goes over others.
func (c *Core) Stuck(now time.Duration, id LinkID, stuck bool) {
	c.begin(now)
	l := c.links.link(id)
	if l == nil || l.stuck == stuck {
		return
	}
	l.stuck = stuck
	c.note(Debug, "link stuck", "peer", string(l.peer), "address", l.address, "stuck", stuck)
	c.wake(c.now)
}

// Receive is a frame that has passed pb.Check.
func (c *Core) Receive(now time.Duration, id LinkID, m *pb.PeerMessage) {
	c.begin(now)
	l := c.links.link(id)
	if l == nil || l.state == linkClosing || c.ended {
		return
	}
	l.heard = now
	if l.state == linkOpening {
		c.receiveHandshake(l, m)
		return
	}
	switch m := m.GetContent().(type) {
	case *pb.PeerMessage_Propagation:
		for _, a := range m.Propagation.GetAnnouncements() {
			if !c.learn(l, a) {
				return
			}
		}
	case *pb.PeerMessage_Neighbour:
		if m.Neighbour.GetType() == pb.NeighbourType_REQUEST {
			c.visit.stay()
		}
		c.neighbourhood.receiveNeighbour(l, m.Neighbour)
	case *pb.PeerMessage_NeighbourList:
		c.neighbourhood.receiveNeighbourList(l, m.NeighbourList)
	case *pb.PeerMessage_Routes:
		c.routes.receiveRoutes(l, m.Routes)
	case *pb.PeerMessage_Routed:
		c.receiveRouted(l, m.Routed)
	case *pb.PeerMessage_SyncRequest:
		c.sync.receiveSyncRequest(l, m.SyncRequest)
	case *pb.PeerMessage_SyncDigest:
		c.sync.receiveSyncDigest(l, m.SyncDigest)
	case *pb.PeerMessage_SyncBuckets:
		c.sync.receiveSyncBuckets(l, m.SyncBuckets)
	case *pb.PeerMessage_SyncVersions:
		c.sync.receiveSyncVersions(l, m.SyncVersions)
	case *pb.PeerMessage_SyncReply:
		c.sync.receiveSyncReply(l, m.SyncReply)
	case *pb.PeerMessage_Broadcast:
		c.broadcasts.receiveBroadcast(l, m.Broadcast)
	case *pb.PeerMessage_BroadcastsHeld:
		c.broadcasts.receiveHeld(l, m.BroadcastsHeld)
	case *pb.PeerMessage_BroadcastsWanted:
		c.broadcasts.receiveWanted(l, m.BroadcastsWanted)
	case *pb.PeerMessage_Deposit:
		c.custody.receiveDeposit(l, m.Deposit)
	case *pb.PeerMessage_DepositAnswer:
		c.custody.receiveDepositAnswer(l, m.DepositAnswer)
	case *pb.PeerMessage_Observed:
		c.reach.observe(l, m.Observed.GetAddress())
	case *pb.PeerMessage_Call:
		c.reach.receiveCall(l, m.Call)
	case *pb.PeerMessage_CallRefused:
		c.reach.receiveCallRefused(l, m.CallRefused)
	case *pb.PeerMessage_Go:
		c.reach.receiveGo(l, m.Go)
	default:
		c.links.violation(l, "a handshake after the handshake")
	}
}

// Slept is the news that the whole machine was asleep, for as long as the clock on the
// wall says; its clock for durations may not have run on.
func (c *Core) Slept(now, asleep time.Duration) {
	c.begin(now)
	c.detect.cameLate(max(asleep, quietAfter))
	c.detect.forgiveSilence()
	c.custody.leaveAnew()
}

// Leave says goodbye: LEAVE goes out on every link, behind what was broadcast last
// so that it overtakes none of that, then each is closed. The driver may stop once
// they are.
func (c *Core) Leave(now time.Duration) {
	c.begin(now)
	if c.leaving || c.ended {
		return
	}
	c.own.setOwnRecord(pb.AnnouncementType_LEAVE, c.table.self.record.Seq+1)
	c.closeAll()
}

// Verified is the answer to Effects.Verify, in the order of the wishes: which of
// the claims are valid.
func (c *Core) Verified(now time.Duration, id VerifyID, valid []bool) {
	c.begin(now)
	if b := c.sync.verified(id); b != nil {
		c.merge(b, valid)
	}
}
