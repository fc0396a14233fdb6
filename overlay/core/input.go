package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/pb"
)

// Input is something that happens to a peer, as data: one of the types below. So the inputs of a
// core can be stored, logged, and replayed to another one (see package replay).
type Input interface{ apply(c *Core) Reply }

// Reply is the immediate answer of the core. Most inputs are answered by effects alone.
type Reply struct {
	Message [pb.MessageIDSize]byte // the ID of a Broadcast
	OK      bool                   // a Deposit was taken; a Want may soon lead to a link; there is a way for a Route
}

// Step gives the core an input and its time. Drain it afterwards.
func (c *Core) Step(now time.Duration, in Input) Reply {
	c.env.Begin(now)
	c.doubt.AtLeast(int((c.env.Now - c.env.NextTick) / link.LateStep))
	reply := in.apply(c)
	c.settle()
	c.members.sweep()
	c.settle()
	return reply
}

// The inputs.
type (
	// Connected is a connection whose TLS handshake is done, by our dial or the other side's.
	Connected struct {
		Link    base.LinkID
		Dial    base.DialID     // 0: the other side has dialled, or it is carried
		Carried bool            // its packets go over others
		Ours    bool            // carried: this side has dialled
		Key     certs.PublicKey // of the other side
		Address string          // where it is, for people
	}
	// Disconnected is the end of a link.
	Disconnected struct {
		Link     base.LinkID
		Friendly bool   // the other side closed it explicitly, so it is alive
		Why      string // for people
	}
	// Received is a frame that has passed pb.Check.
	Received struct {
		Link  base.LinkID
		Frame *pb.PeerMessage
	}
	// Heard is a link's traffic: when the last packet came, when the last direct message
	// went or came over it, its round trip time (0: not known) and the mean deviation of that; and
	// whether packets of carried links are written on it, and nothing has come back for a while.
	Heard struct {
		Link                           base.LinkID
		Heard, Used, RoundTrip, Jitter time.Duration
		Mute                           bool
	}
	// Stuck says that what we write on a link does not get through although the link is heard, or
	// that it does so again. The peer is redialled, and until that succeeds everything that can
	// goes over others.
	Stuck struct {
		Link  base.LinkID
		Stuck bool
	}
	// Seen says that a link's peer sends from another address than before.
	Seen struct {
		Link    base.LinkID
		Address string
	}
	// DialFailed says that a dial has reached nobody, and what it met instead.
	DialFailed struct {
		Dial     base.DialID
		Obstacle base.Obstacle
		Self     bool   // we answer there ourselves
		Why      string // for people
	}
	// Verified answers Effects.Verify, in the same order: which of the claims are valid.
	Verified struct {
		ID    base.VerifyID
		Valid []bool
	}
	// Want says that messages wait for a peer: it is dialled until there is a link or the peer is
	// gone. The reply is not OK if that will take a while, since the peer has to be met or could
	// not be reached: then messages had better go over others at once.
	Want struct{ To certs.ID }
	// Broadcast sends a message to everyone, or to a room. The reply is its ID.
	Broadcast struct {
		Room   string // empty: everyone
		Body   string // UTF-8, at most pb.MaxBroadcast bytes
		SentAt int64  // nanoseconds since 1970
		// As in pb.BroadcastContent; zero: none.
		Kind           pb.MessageKind
		About, ReplyTo [pb.MessageIDSize]byte
	}
	// EnterRoom shows the broadcasts of a room from now on, and Recalled what was said before. ExitRoom
	// ends that.
	EnterRoom struct{ Room base.Room }
	ExitRoom  struct{ Name string }
	// Recalled answers Effects.Recalls: what the history has of the room, oldest first, and the passes
	// of authors, in a private network, that have left it.
	Recalled struct {
		For     base.Recall
		History []*pb.Signed
		Passes  []*pb.Pass
	}
	// Route sends something sealed over others, to a peer of the table or one that has a link.
	// The reply is OK if there is a way, which does not mean that it will arrive.
	Route struct {
		To     certs.ID
		Number uint64 // a random one, which names it in what comes back
		Sealed []byte // 1 to pb.MaxPart·pb.MaxParts bytes
		// Tries is how many had no answer: after each it goes by way of another neighbour. Of an answer it is
		// how often such was in vain: it goes over the link Over, and by another way from there.
		Tries int
		Over  base.LinkID // on which came what this answers, which the peer has written itself; 0: it is none
	}
	// Answered says that letters to a peer were in vain, and now it has answered: by a letter that has
	// come over the link.
	Answered struct {
		By   certs.ID
		Over base.LinkID
	}
	// Carry brings a packet of a carried link to the peer of that tag by a search.
	Carry struct {
		To     uint64
		Packet []byte // 1 to pb.MaxCarried bytes
		Tries  int    // as of Route
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
	// more: none of those deposits is offered from now on. If there are other messages for that
	// peer, Effects.Releave soon asks to leave them anew; until then nothing is taken for it. Then
	// those who keep the earlier deposits are asked to drop them, as far as they can be reached.
	Withdraw struct {
		Receiver certs.ID
		Rest     bool // there are other messages
		Past     bool // the message is in none of the deposits of now, only in earlier ones
	}
	// Collect sends a holder our signature that we have its deposits, or will never take them. It
	// may get lost: then they come again.
	Collect struct {
		Holder    certs.ID
		Over      base.LinkID // on which they have come
		Collected *pb.Collected
	}
	// Found is a peer on the LAN, as it describes itself. Those of a private network do not, and
	// have only addresses.
	Found struct {
		ID          certs.ID
		Fingerprint string   // of its key; empty: of a private network
		Addresses   []string // IP:PORT
	}
	// Join dials one more address HOST:PORT. Effects.Joined reports the outcome, once. If a peer
	// there lets us in, the address counts from then on as if given at the start.
	Join struct{ Address string }
	// Ping measures a round trip to a peer, by the way that messages to it take. Effects.Pongs has the
	// outcome, once, within 10 s.
	Ping struct {
		To     certs.ID
		Number uint64 // names it there
	}
	// Moved says that the addresses of our interfaces have changed; see Config.
	Moved struct {
		Own  []netip.AddrPort
		Near []netip.Prefix
	}
	// Mapped is the address that a router forwards to us; zero if none does.
	Mapped struct{ Address netip.AddrPort }
	// Describe says in which rooms we are and what our tags are, both in place of what they were.
	// Others are told about once a second.
	Describe struct {
		Rooms []string // as in pb.Record: valid, in order, at most pb.MaxRooms
		Tags  string   // at most pb.MaxTags bytes
	}
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
	l := &link.Link{ID: in.Link, Key: in.Key, Address: in.Address, Dial: c.reach.Dials[in.Dial], Opened: c.env.Now, Heard: c.env.Now, Used: c.env.Now, Bond: link.Bond{Slot: -1}}
	l.Within = reach.ParseAddress(in.Address).Addr().IsLoopback()
	c.links.List = append(c.links.List, l)
	switch {
	case in.Carried && !c.carried.connected(l, in.Ours):
		c.links.Close(l, base.CloseRefused, "too many links over others")
	case in.Carried && (c.env.Ended || c.env.Leaving):
		c.links.Close(l, base.CloseBye, "leaving")
	case in.Carried && in.Ours:
		c.links.Send(l, c.handshakeStart(""))
	case c.env.Ended || c.env.Leaving && in.Dial != 0 || in.Dial != 0 && l.Dial == nil:
		c.links.Close(l, base.CloseBye, "leaving")
	case l.Dial != nil && l.Dial.Target != nil && !l.Dial.Target.Expects(in.Key):
		c.links.Close(l, base.CloseBye, "another peer was looked for")
	case l.Dial != nil:
		c.links.Send(l, c.handshakeStart(in.Address))
		if c.env.Cfg.Redemption != nil {
			l.Patience = redeemFor
		}
	}
	return r
}

func (in Disconnected) apply(c *Core) (r Reply) {
	l := c.links.Link(in.Link)
	if l == nil {
		return r
	}
	c.links.EndNeighbour(l)
	c.links.List = slices.DeleteFunc(c.links.List, func(other *link.Link) bool { return other == l })
	if l.Dial != nil {
		c.reach.DialEnded(l.Dial, in.Why, false)
	}
	c.links.LeaveDoor(l, "the connection ended: "+in.Why)
	if c.env.Ended || l.Peer == "" || l.Carriage != link.NotCarried {
		return r
	}
	c.env.Note(base.Debug, "link ended", "peer", string(l.Peer), "address", l.Address, "why", in.Why)
	c.env.Wake(c.env.Now)
	e := c.table.Get(l.Peer, l.Key)
	if e == nil {
		return r
	}
	c.links.Reroute(e)
	if !e.Alive() || l.State == link.LinkClosing || c.links.LinkTo(l.Key) != nil {
		return r
	}
	d := e.With()
	if c.env.Now < l.Opened+reach.ShortLived {
		// A peer that ends its links as soon as they stand is dialled more and more seldom.
		d.Flaps++
		d.NextDial = c.env.Now + c.env.Backoff(d.Flaps, base.MaxBackoff)
	} else {
		d.Flaps = 0
	}
	if !in.Friendly {
		c.detect.LinkBroken(e)
	}
	return r
}

func (in Received) apply(c *Core) (r Reply) {
	l := c.links.Link(in.Link)
	if l == nil || l.State == link.LinkClosing || c.env.Ended {
		return r
	}
	l.Heard = c.env.Now
	switch l.State {
	case link.LinkOpening:
		c.receiveHandshake(l, in.Frame)
		return r
	case link.LinkCarried:
		if !c.pings.receivePing(l, in.Frame) {
			c.links.Violation(l, "a frame on a carried link")
		}
		return r
	}
	c.receive(l, in.Frame)
	return r
}

func (in Heard) apply(c *Core) (r Reply) {
	if l := c.links.Link(in.Link); l != nil {
		l.Heard, l.Used, l.RoundTrip, l.Jitter, l.Mute = max(l.Heard, in.Heard), max(l.Used, in.Used), in.RoundTrip, in.Jitter, in.Mute
	}
	return r
}

func (in Stuck) apply(c *Core) (r Reply) {
	l := c.links.Link(in.Link)
	if l == nil || l.Stuck == in.Stuck {
		return r
	}
	l.Stuck = in.Stuck
	c.env.Note(base.Debug, "link stuck", "peer", string(l.Peer), "address", l.Address, "stuck", in.Stuck)
	c.env.Wake(c.env.Now)
	return r
}

func (in Seen) apply(c *Core) (r Reply) {
	c.reach.SeenAt(in.Link, in.Address)
	return r
}

func (in DialFailed) apply(c *Core) (r Reply) {
	c.join.Hindered(in.Dial, in.Obstacle)
	c.reach.DialFailed(in.Dial, in.Self, in.Why)
	return r
}

func (in Verified) apply(c *Core) (r Reply) {
	if b := c.sync.Verified(in.ID); b != nil {
		c.merge(b, in.Valid)
	}
	return r
}

func (in Want) apply(c *Core) (r Reply) {
	if r.OK = c.reach.Want(in.To); !r.OK {
		c.visit.stay()
	}
	return r
}

func (in Broadcast) apply(c *Core) (r Reply) {
	c.visit.stay()
	said := &pb.BroadcastContent{Room: in.Room, Content: in.Body, SentAt: in.SentAt, Kind: in.Kind}
	if in.About != [pb.MessageIDSize]byte{} {
		said.About = in.About[:]
	}
	if in.ReplyTo != [pb.MessageIDSize]byte{} {
		said.ReplyTo = in.ReplyTo[:]
	}
	r.Message = c.broadcasts.Say(said)
	return r
}

func (in EnterRoom) apply(c *Core) (r Reply) {
	c.visit.stay()
	c.past.Enter(in.Room)
	c.past.Pursue()
	return r
}

func (in ExitRoom) apply(c *Core) (r Reply) {
	c.past.Exit(in.Name)
	return r
}

func (in Recalled) apply(c *Core) (r Reply) {
	c.past.Give(in.For, in.History, in.Passes)
	return r
}

func (in Route) apply(c *Core) (r Reply) {
	if c.relay.CanRoute(in.To, in.Sealed) {
		c.visit.stay()
		c.routes.Proven(in.To, in.Over, in.Tries)
		r.OK = c.relay.Route(in.To, in.Number, in.Sealed, in.Tries, in.Over)
	}
	return r
}

func (in Answered) apply(c *Core) (r Reply) {
	c.routes.Answered(in.By, in.Over)
	return r
}

func (in Carry) apply(c *Core) (r Reply) {
	if e := c.carried.here(in.To); e != nil {
		c.routes.SendAround(e.Record.ID, &pb.Routed{Content: &pb.Routed_Carried{Carried: in.Packet}}, in.Tries)
	}
	return r
}

func (in Deposit) apply(c *Core) (r Reply) {
	if c.custody.CanLeave(in.Deposit) {
		c.visit.stay()
		r.OK = c.custody.Deposit(in.Deposit)
	}
	return r
}

func (in Withdraw) apply(c *Core) (r Reply) {
	c.custody.Withdraw(in.Receiver, in.Rest, in.Past)
	return r
}

func (in Collect) apply(c *Core) (r Reply) {
	c.custody.Collect(in.Holder, in.Over, in.Collected)
	return r
}

func (in Found) apply(c *Core) (r Reply) {
	c.join.FoundOnLAN(in.ID, in.Fingerprint, in.Addresses)
	return r
}

func (in Join) apply(c *Core) (r Reply) {
	c.join.JoinAddress(in.Address)
	return r
}

func (in Ping) apply(c *Core) (r Reply) {
	c.pings.startPing(in.Number, in.To)
	return r
}

func (in Moved) apply(c *Core) (r Reply) {
	c.reach.Moved(in.Own, in.Near)
	return r
}

func (in Mapped) apply(c *Core) (r Reply) {
	c.reach.MappedTo(in.Address)
	return r
}

func (in Describe) apply(c *Core) (r Reply) {
	c.own.describe(in.Rooms, in.Tags)
	return r
}

func (in Slept) apply(c *Core) (r Reply) {
	c.detect.CameLate(in.For)
	c.custody.Slept(in.For)
	c.past.Slept(in.For)
	return r
}

func (Leave) apply(c *Core) (r Reply) {
	c.leave()
	return r
}

func (Tick) apply(c *Core) (r Reply) {
	if c.env.Now >= c.env.NextTick {
		c.tick()
	}
	return r
}
