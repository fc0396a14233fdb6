package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Input is something that happens to a peer, as data: one of the types below. So the inputs of a
// core can be stored, logged, and replayed to another one (see package replay).
type Input interface{ apply(c *Core) Reply }

// Reply is the immediate answer of the core. Most inputs are answered by effects alone.
type Reply struct {
	Message [pb.MessageIDSize]byte // the ID of a Broadcast
	Over    LinkID                 // the link that a Route goes out on; 0: none
	OK      bool                   // a Deposit was taken; a Want may soon lead to a link
}

// Step gives the core an input and its time. Drain it afterwards.
func (c *Core) Step(now time.Duration, in Input) Reply {
	c.begin(now)
	c.doubt.atLeast(int((c.now - c.nextTick) / lateStep))
	reply := in.apply(c)
	c.settle()
	return reply
}

// The inputs.
type (
	// Connected is a connection whose TLS handshake is done, by our dial or the other side's.
	Connected struct {
		Link    LinkID
		Dial    DialID          // 0: the other side has dialled
		Key     certs.PublicKey // of the other side
		Address string          // where it is, for people
	}
	// Disconnected is the end of a link.
	Disconnected struct {
		Link     LinkID
		Friendly bool   // the other side closed it explicitly, so it is alive
		Why      string // for people
	}
	// Received is a frame that has passed pb.Check.
	Received struct {
		Link  LinkID
		Frame *pb.PeerMessage
	}
	// Heard is a link's traffic: when the last packet came, when the last direct message
	// went or came over it, its round trip time (0: not known) and the mean deviation of that.
	Heard struct {
		Link                           LinkID
		Heard, Used, RoundTrip, Jitter time.Duration
	}
	// Stuck says that what we write on a link does not get through although the link is heard, or
	// that it does so again. The peer is redialled, and until that succeeds everything that can
	// goes over others.
	Stuck struct {
		Link  LinkID
		Stuck bool
	}
	// Seen says that a link's peer sends from another address than before.
	Seen struct {
		Link    LinkID
		Address string
	}
	// DialFailed says that a dial has reached nobody, and what it met instead.
	DialFailed struct {
		Dial     DialID
		Obstacle Obstacle
		Self     bool   // we answer there ourselves
		Why      string // for people
	}
	// Verified answers Effects.Verify, in the same order: which of the claims are valid.
	Verified struct {
		ID    VerifyID
		Valid []bool
	}
	// Want says that messages wait for a peer: it is dialled until there is a link or the peer is
	// gone. The reply is not OK if that will take a while, since the peer has to be met or could
	// not be reached: then messages had better go over others at once.
	Want struct{ To certs.ID }
	// Broadcast sends a message to everyone. The reply is its ID.
	Broadcast struct {
		Body   string // UTF-8, at most pb.MaxBroadcast bytes
		SentAt int64  // nanoseconds since 1970
	}
	// Route sends something sealed over others, to a peer of the table or one that has a link.
	// The reply is the link that it goes out on, 0 without any way. A link does not mean that it
	// will arrive.
	Route struct {
		To     certs.ID
		Number uint64 // a random one, which names it in what comes back
		Sealed []byte // 1 to pb.MaxPart·pb.MaxParts bytes
	}
	// Deposit leaves something sealed with up to three peers that have a link, behind earlier
	// deposits for the same receiver. It is dropped when the receiver is here, when this peer
	// ends, and after 23 h, see Effects.Releave.
	//
	// The reply is not OK if the deposit is refused: the receiver is here, no more can be left,
	// or the room is used up. Then nothing that follows may be left either, since the receiver
	// would wait for this one: deposits for that receiver are refused until all earlier ones are
	// dropped. The caller then begins with the first again.
	Deposit struct{ Deposit *pb.Deposit } // which is kept
	// Withdraw says that a message that may be in our deposits for a peer must not be sent any
	// more: none of those deposits is offered from now on. A peer that keeps one already goes on
	// keeping it. If there are other messages for that peer, Effects.Releave soon asks to leave
	// them anew; until then nothing is taken for it.
	Withdraw struct {
		Receiver certs.ID
		Rest     bool // there are other messages
	}
	// Collect sends a holder our signature that we have its deposits, or will never take them. It
	// may get lost: then they come again.
	Collect struct {
		Holder    certs.ID
		Collected *pb.Collected
	}
	// Found is a peer on the LAN, as it describes itself.
	Found struct {
		ID          certs.ID
		Fingerprint string   // of its key
		Addresses   []string // IP:PORT
	}
	// Join dials one more address HOST:PORT. Effects.Joined reports the outcome, once. If a peer
	// there lets us in, the address counts from then on as if given at the start.
	Join struct{ Address string }
	// Moved says that the addresses of our interfaces have changed; see Config.
	Moved struct {
		Own  []netip.AddrPort
		Near []netip.Prefix
	}
	// Mapped is the address that a router forwards to us; zero if none does.
	Mapped struct{ Address netip.AddrPort }
	// Slept says that the whole machine was asleep, and for how long by the time of day; its
	// clock for durations may have stopped meanwhile.
	Slept struct{ For time.Duration }
	// Leave says goodbye: LEAVE goes out on every link, behind the latest broadcasts so that it
	// overtakes none of them, and then each link is closed. The driver may stop once they are.
	Leave struct{}
	// Tick does what is due: timeouts, detection, neighbours, redials. It is due at Next.
	Tick struct{}
)

func (in Connected) apply(c *Core) (r Reply) {
	l := &link{id: in.Link, key: in.Key, address: in.Address, dial: c.reach.dials[in.Dial], opened: c.now, heard: c.now, used: c.now, bond: bond{slot: -1}}
	l.within = parseAddress(in.Address).Addr().IsLoopback()
	c.links.list = append(c.links.list, l)
	switch {
	case c.ended || c.leaving && in.Dial != 0 || in.Dial != 0 && l.dial == nil:
		c.links.close(l, CloseBye, "leaving")
	case l.dial != nil && l.dial.target != nil && l.dial.target.found != "" && l.dial.target.found != in.Key.String():
		c.links.close(l, CloseBye, "another peer was looked for") // anybody on the LAN could have answered
	case l.dial != nil:
		c.links.send(l, &pb.HandshakeStart{
			Version: pb.Version, Network: c.cfg.Network, Id: string(c.cfg.ID), Features: c.cfg.features,
			Record: c.table.self.record.Signed, Software: c.cfg.Software, Broadcasts: c.broadcasts.said, Observed: in.Address,
		})
	}
	return r
}

func (in Disconnected) apply(c *Core) (r Reply) {
	l := c.links.link(in.Link)
	if l == nil {
		return r
	}
	c.links.endNeighbour(l)
	c.links.list = slices.DeleteFunc(c.links.list, func(other *link) bool { return other == l })
	if l.dial != nil {
		c.reach.dialEnded(l.dial, in.Why, false)
	}
	c.links.leaveDoor(l, "the connection ended: "+in.Why)
	if c.ended || l.peer == "" {
		return r
	}
	c.note(Debug, "link ended", "peer", string(l.peer), "address", l.address, "why", in.Why)
	c.wake(c.now)
	e := c.table.get(l.peer, l.key)
	if e == nil {
		return r
	}
	c.links.reroute(e)
	if !e.alive() || l.state == linkClosing || c.links.linkTo(l.key) != nil {
		return r
	}
	d := e.with()
	if c.now < l.opened+shortLived {
		// A peer that ends its links as soon as they stand is dialled more and more seldom.
		d.flaps++
		d.nextDial = c.now + c.backoff(d.flaps, maxBackoff)
	} else {
		d.flaps = 0
	}
	if !in.Friendly {
		c.detect.linkBroken(e)
	}
	return r
}

func (in Received) apply(c *Core) (r Reply) {
	l := c.links.link(in.Link)
	if l == nil || l.state == linkClosing || c.ended {
		return r
	}
	l.heard = c.now
	if l.state == linkOpening {
		c.receiveHandshake(l, in.Frame)
		return r
	}
	c.receive(l, in.Frame)
	return r
}

func (in Heard) apply(c *Core) (r Reply) {
	if l := c.links.link(in.Link); l != nil {
		l.heard, l.used, l.roundTrip, l.jitter = max(l.heard, in.Heard), max(l.used, in.Used), in.RoundTrip, in.Jitter
	}
	return r
}

func (in Stuck) apply(c *Core) (r Reply) {
	l := c.links.link(in.Link)
	if l == nil || l.stuck == in.Stuck {
		return r
	}
	l.stuck = in.Stuck
	c.note(Debug, "link stuck", "peer", string(l.peer), "address", l.address, "stuck", in.Stuck)
	c.wake(c.now)
	return r
}

func (in Seen) apply(c *Core) (r Reply) {
	c.reach.seenAt(in.Link, in.Address)
	return r
}

func (in DialFailed) apply(c *Core) (r Reply) {
	c.join.hindered(in.Dial, in.Obstacle)
	c.reach.dialFailed(in.Dial, in.Self, in.Why)
	return r
}

func (in Verified) apply(c *Core) (r Reply) {
	if b := c.sync.verified(in.ID); b != nil {
		c.merge(b, in.Valid)
	}
	return r
}

func (in Want) apply(c *Core) (r Reply) {
	if r.OK = c.reach.want(in.To); !r.OK {
		c.visit.stay()
	}
	return r
}

func (in Broadcast) apply(c *Core) (r Reply) {
	c.visit.stay()
	r.Message = c.broadcasts.say(in.Body, in.SentAt)
	return r
}

func (in Route) apply(c *Core) (r Reply) {
	if c.relay.canRoute(in.To, in.Sealed) {
		c.visit.stay()
		r.Over = c.relay.route(in.To, in.Number, in.Sealed)
	}
	return r
}

func (in Deposit) apply(c *Core) (r Reply) {
	if c.custody.canLeave(in.Deposit) {
		c.visit.stay()
		r.OK = c.custody.deposit(in.Deposit)
	}
	return r
}

func (in Withdraw) apply(c *Core) (r Reply) {
	c.custody.withdraw(in.Receiver, in.Rest)
	return r
}

func (in Collect) apply(c *Core) (r Reply) {
	c.custody.collect(in.Holder, in.Collected)
	return r
}

func (in Found) apply(c *Core) (r Reply) {
	c.join.foundOnLAN(in.ID, in.Fingerprint, in.Addresses)
	return r
}

func (in Join) apply(c *Core) (r Reply) {
	c.join.joinAddress(in.Address)
	return r
}

func (in Moved) apply(c *Core) (r Reply) {
	c.reach.moved(in.Own, in.Near)
	return r
}

func (in Mapped) apply(c *Core) (r Reply) {
	c.reach.mappedTo(in.Address)
	return r
}

func (in Slept) apply(c *Core) (r Reply) {
	c.detect.cameLate(in.For)
	c.custody.slept(in.For)
	return r
}

func (Leave) apply(c *Core) (r Reply) {
	c.leave()
	return r
}

func (Tick) apply(c *Core) (r Reply) {
	if c.now >= c.nextTick {
		c.tick()
	}
	return r
}
