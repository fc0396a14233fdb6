package core

import (
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Input is something that happens to a peer, as data: one of the types below, each named
// after the method of Core that it stands for, which says what it means. So what a core
// was told can be kept, logged, and told to another one (see package replay).
type Input interface {
	apply(c *Core, now time.Duration, r *Reply)
}

// Reply is what the core answers at once. Most inputs are answered by effects alone.
type Reply struct {
	Message [pb.MessageIDSize]byte // the ID of a Broadcast
	Over    LinkID                 // the link that a Route goes out on, 0 if on none
	OK      bool                   // a Deposit is taken; for a Want there may soon be a link
}

// Step tells the core that something happens.
func (c *Core) Step(now time.Duration, in Input) (r Reply) {
	in.apply(c, now, &r)
	return r
}

// The inputs.
type (
	Connected struct {
		Link    LinkID
		Dial    DialID // 0: the other side has dialled
		Key     certs.PublicKey
		Address string
	}
	Received struct {
		Link  LinkID
		Frame *pb.PeerMessage
	}
	Disconnected struct {
		Link     LinkID
		Friendly bool
		Why      string
	}
	Heard struct {
		Link                           LinkID
		Heard, Used, RoundTrip, Jitter time.Duration
	}
	Stuck struct {
		Link  LinkID
		Stuck bool
	}
	Seen struct {
		Link    LinkID
		Address string
	}
	DialFailed struct {
		Dial     DialID
		Obstacle Obstacle
		Self     bool
		Why      string
	}
	Verified struct {
		ID    VerifyID
		Valid []bool
	}
	Want      struct{ To certs.ID }
	Broadcast struct {
		Body   string
		SentAt int64
	}
	Route struct {
		To     certs.ID
		Number uint64
		Sealed []byte
	}
	Deposit  struct{ Deposit *pb.Deposit }
	Withdraw struct {
		Receiver certs.ID
		Rest     bool
	}
	Collect struct {
		Holder    certs.ID
		Collected *pb.Collected
	}
	Found struct {
		ID          certs.ID
		Fingerprint string
		Addresses   []string
	}
	Join  struct{ Address string }
	Moved struct {
		Own  []netip.AddrPort
		Near []netip.Prefix
	}
	Mapped struct{ Address netip.AddrPort }
	Slept  struct{ For time.Duration }
	Leave  struct{}
	Tick   struct{}
)

func (i Connected) apply(c *Core, now time.Duration, _ *Reply) {
	c.Connected(now, i.Link, i.Dial, i.Key, i.Address)
}
func (i Received) apply(c *Core, now time.Duration, _ *Reply) { c.Receive(now, i.Link, i.Frame) }
func (i Disconnected) apply(c *Core, now time.Duration, _ *Reply) {
	c.Disconnected(now, i.Link, i.Friendly, i.Why)
}
func (i Heard) apply(c *Core, now time.Duration, _ *Reply) {
	c.Heard(now, i.Link, i.Heard, i.Used, i.RoundTrip)
	c.Jitter(now, i.Link, i.Jitter)
}
func (i Stuck) apply(c *Core, now time.Duration, _ *Reply) { c.Stuck(now, i.Link, i.Stuck) }
func (i Seen) apply(c *Core, now time.Duration, _ *Reply)  { c.Seen(now, i.Link, i.Address) }
func (i DialFailed) apply(c *Core, now time.Duration, _ *Reply) {
	c.Hindered(i.Dial, i.Obstacle)
	c.DialFailed(now, i.Dial, i.Self, i.Why)
}
func (i Verified) apply(c *Core, now time.Duration, _ *Reply) { c.Verified(now, i.ID, i.Valid) }
func (i Want) apply(c *Core, now time.Duration, r *Reply)     { r.OK = c.Want(now, i.To) }
func (i Broadcast) apply(c *Core, now time.Duration, r *Reply) {
	r.Message = c.Broadcast(now, i.Body, i.SentAt)
}
func (i Route) apply(c *Core, now time.Duration, r *Reply) {
	r.Over = c.Route(now, i.To, i.Number, i.Sealed)
}
func (i Deposit) apply(c *Core, now time.Duration, r *Reply) { r.OK = c.Deposit(now, i.Deposit) }
func (i Withdraw) apply(c *Core, now time.Duration, _ *Reply) {
	c.Withdraw(now, i.Receiver, i.Rest)
}
func (i Collect) apply(c *Core, now time.Duration, _ *Reply) { c.Collect(now, i.Holder, i.Collected) }
func (i Found) apply(c *Core, now time.Duration, _ *Reply) {
	c.Found(now, i.ID, i.Fingerprint, i.Addresses)
}
func (i Join) apply(c *Core, now time.Duration, _ *Reply)   { c.Join(now, i.Address) }
func (i Moved) apply(c *Core, now time.Duration, _ *Reply)  { c.Moved(now, i.Own, i.Near) }
func (i Mapped) apply(c *Core, now time.Duration, _ *Reply) { c.Mapped(now, i.Address) }
func (i Slept) apply(c *Core, now time.Duration, _ *Reply)  { c.Slept(now, i.For) }
func (Leave) apply(c *Core, now time.Duration, _ *Reply)    { c.Leave(now) }
func (Tick) apply(c *Core, now time.Duration, _ *Reply)     { c.Tick(now) }
