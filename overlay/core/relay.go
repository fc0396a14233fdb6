package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// A sealed batch for a peer that can't be dialled goes to it over others like any Routed frame,
// in parts of pb.MaxPart. A peer that passes such parts on limits them by bytes, and tells the
// sender when it carries no more. Nothing here knows whether a batch has arrived: the receiver's
// answer comes by the same way, and a sender that misses it sends again.
//
// Routed.from is not signed. Anybody on the way can put any name there, and can occupy the places
// of another sender's parts; the true author is known only once the batch is opened.

// Bounds of relaying, all guesses.
const (
	carryLink    = 8 << 20 // bytes that a link may have us carry in a second, and at once
	carryAll     = 16 << 20
	carryBase    = 512                    // what each frame costs in addition to its bytes
	maxSmall     = 8 << 10                // of other frames: an accusation has 6 KiB at most; a newer peer may say more
	refusalEvery = 100 * time.Millisecond // for each link
	partialFor   = 30 * time.Second       // without another part
	maxPartials  = 256
	maxPartialsB = 8 << 20
	partialsOfID = 4
)

// partial is an envelope of which some parts have come.
type partial struct {
	from   certs.ID
	number uint64
	parts  [][]byte
	have   int
	bytes  int
	last   time.Duration // when the last of them came
}

// relay carries envelopes: our own, those of others, and those for us.
type relay struct {
	*env
	table  *table
	links  *links
	routes *routes

	carried  limiter // over all links
	partials []*partial
	bytes    int // in them
}

// canRoute reports whether something can be sent to a peer.
func (rl *relay) canRoute(to certs.ID, sealed []byte) bool {
	known := rl.table.owner(to, rl.now) != nil || rl.links.linkToID(to) != nil
	return known && to != rl.cfg.ID && len(sealed) > 0 && len(sealed) <= pb.MaxPart*pb.MaxParts
}

// route sends something that canRoute has allowed.
func (rl *relay) route(to certs.ID, number uint64, sealed []byte) (over LinkID) {
	parts := (len(sealed) + pb.MaxPart - 1) / pb.MaxPart
	for i := range parts {
		part := sealed[i*pb.MaxPart : min(len(sealed), (i+1)*pb.MaxPart)]
		if !rl.routes.sendRouted(to, &pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{
			Number: number, Part: uint32(i), Parts: uint32(parts), Sealed: part,
		}}}) {
			return 0
		}
		over = rl.out.Frames[len(rl.out.Frames)-1].Link
	}
	return over
}

// mayCarry limits what one link, and all together, can have us carry or keep for others.
func (rl *relay) mayCarry(l *link, bytes int) bool {
	cost := func(rate int) time.Duration { return time.Duration(bytes) * time.Second / time.Duration(rate) }
	return l.carried.spend(rl.now, time.Second, cost(carryLink)) && rl.carried.spend(rl.now, time.Second, cost(carryAll))
}

// refuseToCarry tells the sender of an envelope why it goes no further.
func (rl *relay) refuseToCarry(l *link, m *pb.Routed, reason string) {
	e := m.GetEnvelope()
	if e == nil || !l.refusals.take(rl.now, 0, refusalEvery) {
		return
	}
	rl.note(Debug, "an envelope is not carried", "from", m.GetFrom(), "to", m.GetTo(), "peer", string(l.peer), "why", reason)
	if from := certs.ID(m.GetFrom()); from != rl.cfg.ID {
		rl.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Refusal{Refusal: &pb.Refusal{Number: e.GetNumber(), Reason: reason}}})
	}
}

// foundNoWay reports that every peer has sent an envelope of ours back.
func (rl *relay) foundNoWay(m *pb.Routed) {
	if e := m.GetEnvelope(); e != nil && certs.ID(m.GetFrom()) == rl.cfg.ID {
		rl.out.Refused = append(rl.out.Refused, Refused{rl.cfg.ID, e.GetNumber(), "no way to it is known"})
	}
}

func (rl *relay) receiveRefusalOf(by certs.ID, m *pb.Refusal) {
	rl.out.Refused = append(rl.out.Refused, Refused{by, m.GetNumber(), m.GetReason()})
}

// receiveEnvelope takes a part of an envelope for us. All parts but the last are full.
func (rl *relay) receiveEnvelope(from certs.ID, m *pb.Envelope) {
	last := m.GetPart() == m.GetParts()-1
	switch {
	case m.GetParts() == 1:
		rl.out.Envelopes = append(rl.out.Envelopes, Envelope{from, m.GetNumber(), m.GetSealed()})
		return
	case !last && len(m.GetSealed()) != pb.MaxPart:
		return
	}
	rl.expirePartials()
	p := rl.partialOf(from, m)
	if p == nil || p.parts[m.GetPart()] != nil {
		return
	}
	i := slices.Index(rl.partials, p) // the list is in the order of the latest parts
	rl.partials = append(slices.Delete(rl.partials, i, i+1), p)
	p.parts[m.GetPart()] = m.GetSealed()
	p.last = rl.now
	p.have++
	p.bytes += len(m.GetSealed())
	rl.bytes += len(m.GetSealed())
	if p.have == len(p.parts) {
		rl.dropPartial(slices.Index(rl.partials, p))
		rl.out.Envelopes = append(rl.out.Envelopes, Envelope{from, p.number, slices.Concat(p.parts...)})
	}
	for rl.bytes > maxPartialsB {
		rl.dropPartial(0)
	}
}

// partialOf finds the partial that a part belongs to, or begins one; nil if the part contradicts
// the others.
func (rl *relay) partialOf(from certs.ID, m *pb.Envelope) *partial {
	oldest, ofID := -1, 0
	for i, p := range rl.partials {
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
		rl.dropPartial(oldest)
	case len(rl.partials) >= maxPartials:
		rl.dropPartial(0)
	}
	p := &partial{from: from, number: m.GetNumber(), parts: make([][]byte, m.GetParts())}
	rl.partials = append(rl.partials, p)
	return p
}

func (rl *relay) dropPartial(i int) {
	rl.bytes -= rl.partials[i].bytes
	rl.partials = slices.Delete(rl.partials, i, i+1)
}

// expirePartials drops partials whose other parts do not come.
func (rl *relay) expirePartials() {
	for len(rl.partials) > 0 && rl.now >= rl.partials[0].last+partialFor {
		rl.dropPartial(0)
	}
}
