package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// What is sealed to a peer that can't be dialled goes to it over others, as any Routed
// frame does, in parts of pb.MaxPart. Who passes such parts on bounds them by bytes, and
// tells the sender when it carries no more. Nothing here knows whether something has
// arrived: the receiver's answer comes by the same way, and who misses it sends again.
//
// Routed.from is not signed. Whoever is on the way can put any name there, and so can
// take the places of another's parts here; who has really written what is inside is
// known only once it is opened.

// Bounds of what is carried, all guesses.
const (
	carryLink    = 8 << 20 // bytes that a link may have us carry in a second, and at once
	carryAll     = 16 << 20
	carryBase    = 512                    // what each frame costs beside its bytes
	maxSmall     = 8 << 10                // of other frames: an accusation has 6 KiB at most; a newer peer may say more
	refusalEvery = 100 * time.Millisecond // for each link
	partialFor   = 30 * time.Second       // without another part
	maxPartials  = 256
	maxPartialsB = 8 << 20
	partialsOfID = 4
)

// Envelope is something sealed that has come over others, whole. Nobody has vouched
// for From. It may come before Ready, and more than once.
type Envelope struct {
	From   certs.ID
	Number uint64
	Sealed []byte
}

// Refused: what we have sent, by this number, is not carried further. By is our own ID
// if no way is left. It is not signed, so it is a hint and no proof.
type Refused struct {
	By     certs.ID
	Number uint64
	Reason string
}

// partial is an envelope of which parts have come.
type partial struct {
	from   certs.ID
	number uint64
	parts  [][]byte
	have   int
	bytes  int
	last   time.Duration // when the last of them came
}

// relay is what a core has to do with envelopes.
type relay struct {
	carried  allowance // over all links
	partials []*partial
	bytes    int // in them
}

// route is Route.
func (c *Core) route(to certs.ID, number uint64, sealed []byte) (over LinkID) {
	parts := (len(sealed) + pb.MaxPart - 1) / pb.MaxPart
	known := c.table.owner(to, c.now) != nil || c.linkToID(to) != nil
	if parts == 0 || parts > pb.MaxParts || to == c.cfg.ID || !known {
		return 0
	}
	c.stay()
	for i := range parts {
		part := sealed[i*pb.MaxPart : min(len(sealed), (i+1)*pb.MaxPart)]
		if !c.sendRouted(to, &pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{
			Number: number, Part: uint32(i), Parts: uint32(parts), Sealed: part,
		}}}) {
			return 0
		}
		over = c.out.Frames[len(c.out.Frames)-1].Link
	}
	return over
}

// carriedBytes is what a routed frame costs of the bytes that we carry, 0 if it is one
// of the small ones that we know.
func carriedBytes(m *pb.Routed) int {
	size := proto.Size(m)
	switch m.GetContent().(type) {
	case *pb.Routed_Envelope, *pb.Routed_Collected, nil:
		return carryBase + size
	}
	if size > maxSmall {
		return carryBase + size
	}
	return 0
}

// mayCarry bounds what a link, and all together, can have us carry or keep for others.
func (c *Core) mayCarry(l *link, bytes int) bool {
	cost := func(rate int) time.Duration { return time.Duration(bytes) * time.Second / time.Duration(rate) }
	return l.carried.spend(c.now, time.Second, cost(carryLink)) && c.relay.carried.spend(c.now, time.Second, cost(carryAll))
}

// refuseToCarry tells the sender of an envelope why it goes no further.
func (c *Core) refuseToCarry(l *link, m *pb.Routed, reason string) {
	e := m.GetEnvelope()
	if e == nil || !l.refusals.take(c.now, 0, refusalEvery) {
		return
	}
	c.note(Debug, "an envelope is not carried", "from", m.GetFrom(), "to", m.GetTo(), "peer", string(l.peer), "why", reason)
	if from := certs.ID(m.GetFrom()); from != c.cfg.ID {
		c.sendRouted(from, &pb.Routed{Content: &pb.Routed_Refusal{Refusal: &pb.Refusal{Number: e.GetNumber(), Reason: reason}}})
	}
}

// foundNoWay notes that an envelope of ours has come back from everybody.
func (c *Core) foundNoWay(m *pb.Routed) {
	if e := m.GetEnvelope(); e != nil && certs.ID(m.GetFrom()) == c.cfg.ID {
		c.out.Refused = append(c.out.Refused, Refused{c.cfg.ID, e.GetNumber(), "no way to it is known"})
	}
}

func (c *Core) receiveRefusalOf(by certs.ID, m *pb.Refusal) {
	c.out.Refused = append(c.out.Refused, Refused{by, m.GetNumber(), m.GetReason()})
}

// receiveEnvelope takes a part that is for us. All parts but the last are full.
func (c *Core) receiveEnvelope(from certs.ID, m *pb.Envelope) {
	last := m.GetPart() == m.GetParts()-1
	switch {
	case m.GetParts() == 1:
		c.out.Envelopes = append(c.out.Envelopes, Envelope{from, m.GetNumber(), m.GetSealed()})
		return
	case !last && len(m.GetSealed()) != pb.MaxPart:
		return
	}
	c.expirePartials()
	p := c.partialOf(from, m)
	if p == nil || p.parts[m.GetPart()] != nil {
		return
	}
	i := slices.Index(c.relay.partials, p) // those that have waited longest stay the first
	c.relay.partials = append(slices.Delete(c.relay.partials, i, i+1), p)
	p.parts[m.GetPart()] = m.GetSealed()
	p.last = c.now
	p.have++
	p.bytes += len(m.GetSealed())
	c.relay.bytes += len(m.GetSealed())
	if p.have == len(p.parts) {
		c.dropPartial(slices.Index(c.relay.partials, p))
		c.out.Envelopes = append(c.out.Envelopes, Envelope{from, p.number, slices.Concat(p.parts...)})
	}
	for c.relay.bytes > maxPartialsB {
		c.dropPartial(0)
	}
}

// partialOf finds the others of a part, or begins with it; nil if it contradicts them.
func (c *Core) partialOf(from certs.ID, m *pb.Envelope) *partial {
	oldest, ofID := -1, 0
	for i, p := range c.relay.partials {
		if p.from != from {
			continue
		}
		if p.number == m.GetNumber() {
			if len(p.parts) != int(m.GetParts()) {
				return nil
			}
			return p
		}
		if ofID++; oldest < 0 {
			oldest = i
		}
	}
	switch {
	case ofID >= partialsOfID:
		c.dropPartial(oldest)
	case len(c.relay.partials) >= maxPartials:
		c.dropPartial(0)
	}
	p := &partial{from: from, number: m.GetNumber(), parts: make([][]byte, m.GetParts())}
	c.relay.partials = append(c.relay.partials, p)
	return p
}

func (c *Core) dropPartial(i int) {
	c.relay.bytes -= c.relay.partials[i].bytes
	c.relay.partials = slices.Delete(c.relay.partials, i, i+1)
}

// expirePartials drops those whose other parts do not come.
func (c *Core) expirePartials() {
	for len(c.relay.partials) > 0 && c.now >= c.relay.partials[0].last+partialFor {
		c.dropPartial(0)
	}
}
