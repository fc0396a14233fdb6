package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// linkState is how far a connection has come.
type linkState int

const (
	linkOpening linkState = iota // the handshake is not done
	linkUp
	linkClosing // the driver has been asked to close it
)

// link is a connection to an authenticated peer.
type link struct {
	id      LinkID
	key     certs.PublicKey // from TLS
	address string          // of the other end, for the log
	dial    *dial           // the wish that it fulfils; nil: the other side dialled
	door    *target         // that it leads to, and has let us in; nil: none, or that is over
	opened  time.Duration
	state   linkState

	// Once it is up:
	peer      certs.ID
	entry     *entry // of the peer; nil if the table has none
	epoch     uint64
	upSince   time.Duration
	heard     time.Duration
	used      time.Duration
	roundTrip time.Duration
	jitter    time.Duration // mean deviation of the round trips
	quiet     bool          // silent for quietAfter
	stuck     bool          // heard, and good for little
	neighbour bool
	slot      int  // of a neighbour in the distance vectors, see takeSlot
	dependant bool // a neighbour above the usual number: it has nobody else
	asked     bool // for neighbourhood, and no answer yet
	askedAt   time.Duration
	everAsked bool
	gained    bool // it is a neighbour because we asked
	leaning   bool // we asked for it as somebody who has nobody else
	// leanRefused: and were refused.
	leanRefused bool

	fetch       *fetch // of its whole table; nil: it is not taken
	compareThen bool
	comparing   *comparison // of its table with ours
	verifying   int         // batches of its table whose signatures are being judged

	routed        allowance
	carried       allowance // see mayCarry
	refusals      allowance
	offered       int // bytes of deposits that it has not answered
	introduced    allowance
	summaries     allowance // of broadcasts
	answers       allowance
	calls, called allowance // see receiveCall
	gos           allowance // see receiveGo
	punched       bool      // both sides have dialled, through a NAT
	within        bool      // the other side is on this host: one of the two sees the other at loopback
	foreign       foreign
	pending       []*pb.Announcement
}

// Connected is the news of a connection whose TLS handshake is done: one of our
// dials, or with dial 0 one of somebody else's. key is the other side's, address
// where it is, for people.
func (c *Core) Connected(now time.Duration, id LinkID, dial DialID, key certs.PublicKey, address string) {
	c.begin(now)
	l := &link{id: id, key: key, address: address, dial: c.dials[dial], opened: now, heard: now, used: now, slot: -1}
	l.within = parseAddress(address).Addr().IsLoopback()
	c.links = append(c.links, l)
	switch {
	case c.ended || c.leaving && dial != 0 || dial != 0 && l.dial == nil:
		c.close(l, CloseBye, "leaving")
	case l.dial != nil && l.dial.target != nil && l.dial.target.found != "" && l.dial.target.found != key.String():
		c.close(l, CloseBye, "another peer was looked for") // the answers of a LAN are anybody's word
	case l.dial != nil:
		c.send(l, &pb.HandshakeStart{
			Version: pb.Version, Network: c.cfg.Network, Id: string(c.cfg.ID), Features: c.cfg.features,
			Record: c.self.record.Signed, Software: c.cfg.Software, Broadcasts: c.broadcasts, Observed: address,
		})
	}
}

// Disconnected is the news that a link has ended. friendly says that the other
// side closed it in so many words, so that it lives; why is for people.
func (c *Core) Disconnected(now time.Duration, id LinkID, friendly bool, why string) {
	c.begin(now)
	l := c.link(id)
	if l == nil {
		return
	}
	c.endNeighbour(l)
	c.links = slices.DeleteFunc(c.links, func(other *link) bool { return other == l })
	if l.dial != nil {
		c.dialEnded(l.dial, why, false)
	}
	c.doorEnded(l, "the connection ended: "+why)
	if c.ended || l.peer == "" {
		return
	}
	c.note(Debug, "link ended", "peer", string(l.peer), "address", l.address, "why", why)
	c.wake(c.now)
	e := c.table.get(l.peer, l.key)
	if e == nil {
		return
	}
	c.reroute(e)
	if !e.alive() || l.state == linkClosing || c.linkTo(l.key) != nil {
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
		c.linkBroken(e)
	}
}

// Heard is the news of a link's traffic: when the last packet came, when the last
// direct message went or came over it, and its round trip time, 0 if that is not known.
func (c *Core) Heard(now time.Duration, id LinkID, heard, used, roundTrip time.Duration) {
	c.begin(now)
	if l := c.link(id); l != nil {
		l.heard, l.used, l.roundTrip = max(l.heard, heard), max(l.used, used), roundTrip
	}
}

// Jitter is the news of how much the round trips of a link differ: their mean deviation.
func (c *Core) Jitter(now time.Duration, id LinkID, jitter time.Duration) {
	c.begin(now)
	if l := c.link(id); l != nil {
		l.jitter = jitter
	}
}

// Stuck is the news that a link is heard, and yet what we write on it does not get through,
// or that it does again. The peer is dialled anew, and until that succeeds everything that
// can goes over others.
func (c *Core) Stuck(now time.Duration, id LinkID, stuck bool) {
	c.begin(now)
	l := c.link(id)
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
	l := c.link(id)
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
		c.receiveNeighbour(l, m.Neighbour)
	case *pb.PeerMessage_NeighbourList:
		c.receiveNeighbourList(l, m.NeighbourList)
	case *pb.PeerMessage_Routes:
		c.receiveRoutes(l, m.Routes)
	case *pb.PeerMessage_Routed:
		c.receiveRouted(l, m.Routed)
	case *pb.PeerMessage_SyncRequest:
		c.receiveSyncRequest(l, m.SyncRequest)
	case *pb.PeerMessage_SyncDigest:
		c.receiveSyncDigest(l, m.SyncDigest)
	case *pb.PeerMessage_SyncBuckets:
		c.receiveSyncBuckets(l, m.SyncBuckets)
	case *pb.PeerMessage_SyncVersions:
		c.receiveSyncVersions(l, m.SyncVersions)
	case *pb.PeerMessage_SyncReply:
		c.receiveSyncReply(l, m.SyncReply)
	case *pb.PeerMessage_Broadcast:
		c.receiveBroadcast(l, m.Broadcast)
	case *pb.PeerMessage_BroadcastsHeld:
		c.receiveHeld(l, m.BroadcastsHeld)
	case *pb.PeerMessage_BroadcastsWanted:
		c.receiveWanted(l, m.BroadcastsWanted)
	case *pb.PeerMessage_Deposit:
		c.receiveDeposit(l, m.Deposit)
	case *pb.PeerMessage_DepositAnswer:
		c.receiveDepositAnswer(l, m.DepositAnswer)
	case *pb.PeerMessage_Observed:
		c.observe(l, m.Observed.GetAddress())
	case *pb.PeerMessage_Call:
		c.receiveCall(l, m.Call)
	case *pb.PeerMessage_CallRefused:
		c.receiveCallRefused(l, m.CallRefused)
	case *pb.PeerMessage_Go:
		c.receiveGo(l, m.Go)
	default:
		c.violation(l, "a handshake after the handshake")
	}
}

// violation ends a link whose peer has broken the protocol.
func (c *Core) violation(l *link, why string) {
	if l == nil {
		return // it was routed to us: who is to blame is not known
	}
	c.blame(l, Violation, "peer breaks the protocol", why)
	c.close(l, CloseProtocol, why)
}

// up is the end of a successful handshake: the peer at the other end is known, and how
// many broadcasts it has said.
func (c *Core) up(l *link, r *Record, broadcasts uint64) {
	l.state, l.peer, l.epoch, l.upSince = linkUp, r.ID, r.Epoch, c.now
	c.home.untried = false
	before := c.table.get(l.peer, l.key)
	stranger := before == nil || !before.alive()
	if l.dial != nil {
		c.dialEnded(l.dial, "", true)
		if l.dial.target != nil {
			l.dial.target.accepted(c, l)
			l.door = l.dial.target
		}
	}
	if n := (news{record: r, state: pb.AnnouncementType_JOIN, said: c.now, broadcasts: broadcasts}); c.isNews(l, n) {
		c.accept(l, n)
	}
	if c.ended {
		return
	}
	c.lastHeard = c.now
	l.entry = c.table.get(l.peer, l.key)
	c.punched(l)
	c.chooseLink(l)
	if l.state != linkUp {
		return
	}
	c.out.Up = append(c.out.Up, LinkUp{l.id, l.peer, l.key, l.epoch})
	c.note(Debug, "link up", "peer", string(l.peer), "address", l.address)
	if e := l.entry; e != nil {
		c.found(e)
		c.reroute(e)
		d := e.with()
		d.wanted, d.failures, d.why, d.lastAddress = false, 0, "", l.address
		if l.dial != nil { // who dials us pays nothing for us
			c.hosts.answered(parseAddress(l.address).Addr())
		}
		c.superfluous(l)
	}
	if !c.ready {
		c.requestTable()
	}
	// Whom we have dialled without knowing that it lives is in another network,
	// or in the other half of ours: as neighbours we make them one.
	if c.degree() < wantNeighbours || stranger && l.dial != nil && c.degree() < maxNeighbours {
		c.askNeighbour(l, false)
	}
}

// attach lets the links to a peer know its new entry, detach that it is gone.
func (c *Core) attach(e *entry) {
	for _, l := range c.links {
		if l.state == linkUp && l.key == e.record.Key && l.peer == e.record.ID {
			l.entry = e
		}
	}
}

func (c *Core) detach(e *entry) {
	for _, l := range c.links {
		if l.entry == e {
			l.entry = nil
		}
	}
}

// close asks the driver to close the link and forgets what it was good for.
func (c *Core) close(l *link, reason CloseReason, text string) {
	if l.state == linkClosing {
		return
	}
	c.endNeighbour(l)
	switch reason {
	case CloseDuplicate:
		l.door = nil // another link leads there
	case CloseProtocol:
		c.doorEnded(l, "broke the protocol: "+text)
	default:
		c.doorEnded(l, text)
	}
	l.state, l.asked = linkClosing, false
	c.wake(c.now)
	c.out.Closes = append(c.out.Closes, Close{l.id, reason, text})
}

// checkHandshakes closes links whose handshake does not come.
func (c *Core) checkHandshakes() {
	for _, l := range c.links {
		if l.state == linkOpening && c.now >= l.opened+handshakeTimeout {
			level := Warn
			if l.dial != nil {
				level = Debug // its failure is told by whoever wanted it
			}
			c.note(level, "handshake did not come", "address", l.address)
			c.close(l, CloseTimeout, "handshake did not come in time")
		}
	}
}

// send queues a frame on the link, behind the announcements that wait for it.
func (c *Core) send(l *link, content proto.Message) {
	c.flushLink(l)
	c.out.Frames = append(c.out.Frames, Frame{Link: l.id, Data: encode(content)})
}

// link finds a link by its number.
func (c *Core) link(id LinkID) *link {
	i, ok := slices.BinarySearchFunc(c.links, id, func(l *link, id LinkID) int { return int(l.id) - int(id) })
	if !ok {
		return nil
	}
	return c.links[i]
}

// linkTo returns the newest link to the key that is up, nil if there is none.
func (c *Core) linkTo(key certs.PublicKey) *link {
	for _, l := range slices.Backward(c.links) {
		if l.key == key && l.state == linkUp {
			return l
		}
	}
	return nil
}

func (c *Core) linksUp() int {
	n := 0
	for _, l := range c.links {
		if l.state == linkUp {
			n++
		}
	}
	return n
}
