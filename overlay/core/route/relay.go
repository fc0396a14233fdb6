package route

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// A sealed batch for a peer that can't be dialled goes to it over others like any Routed frame,
// in parts of pb.MaxPart. A peer that passes such parts on limits them by bytes. Nothing here knows whether a batch has arrived: the receiver's
// answer comes by the same way, and a sender that misses it sends again.
//
// Routed.from is not signed. Anybody on the way can put any name there, and can occupy the places
// of another sender's parts; the true author is known only once the batch is opened.

// Bounds of relaying, all guesses.
const (
	CarryLink    = 8 << 20 // bytes that a link may have us carry in a second, and at once
	carryAll     = 16 << 20
	CarryBase    = 512              // what each frame costs in addition to its bytes
	maxSmall     = 8 << 10          // of other frames: an accusation has 6 KiB at most; a newer peer may say more
	partialFor   = 30 * time.Second // without another part
	maxPartials  = 256
	MaxPartialsB = 8 << 20
	partialsOfID = 4
)

// partial is an envelope of which some parts have come.
type partial struct {
	from   certs.ID
	number uint64
	parts  [][]byte
	have   int
	Bytes  int
	last   time.Duration // when the last of them came
}

// Relay carries envelopes: our own, those of others, and those for us.
type Relay struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *Routes

	carried  base.Limiter // over all links
	Partials []*partial
	Bytes    int // in them
}

// NewRelay returns a relay that sends by these routes.
func NewRelay(en *base.Env, t *table.Table, ls *link.Links, rt *Routes) *Relay {
	return &Relay{Env: en, table: t, links: ls, routes: rt}
}

// CanRoute reports whether something can be sent to a peer.
func (rl *Relay) CanRoute(to certs.ID, sealed []byte) bool {
	known := rl.table.Owner(to, rl.Now) != nil || rl.links.LinkToID(to) != nil
	return known && to != rl.Cfg.ID && len(sealed) > 0 && len(sealed) <= pb.MaxPart*pb.MaxParts
}

// Route sends something that CanRoute has allowed, as SendAround after so many tries; or as SendBack, if it
// answers something that has come over a link. False says that nothing leads there.
func (rl *Relay) Route(to certs.ID, number uint64, sealed []byte, tries int, over base.LinkID) bool {
	var l *link.Link
	var turn uint32
	parts := (len(sealed) + pb.MaxPart - 1) / pb.MaxPart
	for i := range parts {
		part := sealed[i*pb.MaxPart : min(len(sealed), (i+1)*pb.MaxPart)]
		m := &pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{
			Number: number, Part: uint32(i), Parts: uint32(parts), Sealed: part,
		}}}
		rl.routes.address(to, m, nil)
		if l = rl.routes.letterOver(m, tries, over); l == nil {
			return false
		}
		turn = m.GetTurn()
		rl.routes.send(l, m)
	}
	switch {
	case over == 0:
		rl.routes.tried(to, l, turn, tries)
	case tries > 0: // it is small, and there may not be many more: the best way may be right by now
		return rl.Route(to, number, sealed, 0, over)
	}
	return true
}

// MayCarry limits what one link, and all together, can have us carry or keep for others.
func (rl *Relay) MayCarry(l *link.Link, bytes int) bool {
	cost := func(rate int) time.Duration { return time.Duration(bytes) * time.Second / time.Duration(rate) }
	return l.Carried.Spend(rl.Now, time.Second, cost(CarryLink)) && rl.carried.Spend(rl.Now, time.Second, cost(carryAll))
}

// PassOn sends a frame for another peer on, within what a link may have us carry.
func (rl *Relay) PassOn(l *link.Link, m *pb.Routed) {
	if bytes := carriedBytes(m); bytes > 0 {
		if !rl.MayCarry(l, bytes) {
			rl.Note(base.Debug, "carries no more for others now, dropped", "from", m.GetFrom(), "to", m.GetTo(), "peer", string(l.Peer))
			return
		}
	} else if !rl.routes.mayRoute(l) {
		rl.Note(base.Debug, "too many routed frames from one link, dropped", "peer", string(l.Peer))
		return
	}
	own := &pb.Routed{
		From: m.From, To: m.To, Passed: slices.Clone(m.Passed), Parents: slices.Clone(m.Parents), Turn: m.Turn, Back: m.Back, Content: m.Content,
	}
	own.ProtoReflect().SetUnknown(m.ProtoReflect().GetUnknown())
	if k := proto.CloneOf(own.GetConnect()); k != nil {
		k.Took = min(k.Took, pb.MaxAfter) + uint32((l.RoundTrip / 2).Milliseconds())
		own.Content = &pb.Routed_Connect{Connect: k}
	}
	if !slices.Contains(own.Passed, string(rl.Cfg.ID)) {
		parent := slices.Index(own.Passed, string(l.Peer))
		if parent < 0 || len(own.Passed) >= pb.MaxPassed {
			return
		}
		own.Passed, own.Parents = append(own.Passed, string(rl.Cfg.ID)), append(own.Parents, byte(parent))
	}
	rl.routes.forward(own) // else every peer has sent it back
}

// ReceiveEnvelope takes a part of an envelope for us. All parts but the last are full.
func (rl *Relay) ReceiveEnvelope(over base.LinkID, from certs.ID, m *pb.Envelope) {
	last := m.GetPart() == m.GetParts()-1
	switch {
	case m.GetParts() == 1:
		rl.Out.Envelopes = append(rl.Out.Envelopes, base.Envelope{From: from, Over: over, Number: m.GetNumber(), Sealed: m.GetSealed()})
		return
	case !last && len(m.GetSealed()) != pb.MaxPart:
		return
	}
	rl.ExpirePartials()
	p := rl.partialOf(from, m)
	if p == nil || p.parts[m.GetPart()] != nil {
		return
	}
	i := slices.Index(rl.Partials, p) // the list is in the order of the latest parts
	rl.Partials = append(slices.Delete(rl.Partials, i, i+1), p)
	p.parts[m.GetPart()] = m.GetSealed()
	p.last = rl.Now
	p.have++
	p.Bytes += len(m.GetSealed())
	rl.Bytes += len(m.GetSealed())
	if p.have == len(p.parts) {
		rl.dropPartial(slices.Index(rl.Partials, p))
		rl.Out.Envelopes = append(rl.Out.Envelopes, base.Envelope{From: from, Over: over, Number: p.number, Sealed: slices.Concat(p.parts...)})
	}
	for rl.Bytes > MaxPartialsB {
		rl.dropPartial(0)
	}
}

// partialOf finds the partial that a part belongs to, or begins one; nil if the part contradicts
// the others.
func (rl *Relay) partialOf(from certs.ID, m *pb.Envelope) *partial {
	oldest, ofID := -1, 0
	for i, p := range rl.Partials {
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
	case len(rl.Partials) >= maxPartials:
		rl.dropPartial(0)
	}
	p := &partial{from: from, number: m.GetNumber(), parts: make([][]byte, m.GetParts())}
	rl.Partials = append(rl.Partials, p)
	return p
}

func (rl *Relay) dropPartial(i int) {
	rl.Bytes -= rl.Partials[i].Bytes
	rl.Partials = slices.Delete(rl.Partials, i, i+1)
}

// ExpirePartials drops partials whose other parts do not come.
func (rl *Relay) ExpirePartials() {
	for len(rl.Partials) > 0 && rl.Now >= rl.Partials[0].last+partialFor {
		rl.dropPartial(0)
	}
}
