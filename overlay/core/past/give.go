package past

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// ReceiveWanted asks the driver for what our history has of a room. A peer that asks too often, while
// too many are asking, or about a room that we are not in, gets nothing, and is told so: it need not
// wait.
func (p *Past) ReceiveWanted(l *link.Link, m *pb.PastWanted) {
	in := m.GetRoom() == pb.Everyone || p.rooms[m.GetRoom()]
	if !p.gives() || !in || !p.mayRead(l) || !p.mayAsk(l.Key, m.GetRoom()) {
		p.links.Send(l, &pb.PastGiven{Room: m.GetRoom(), End: true})
		return
	}
	p.reads = append(p.reads, l.ID)
	p.Out.Recalls = append(p.Out.Recalls, base.Recall{Link: l.ID, Room: m.GetRoom(), Have: m.GetHave()})
}

// mayRead reports whether the history can be read for one more question of a link.
func (p *Past) mayRead(l *link.Link) bool {
	own := 0
	for _, id := range p.reads {
		if id == l.ID {
			own++
		}
	}
	return len(p.reads) < MaxReading && own < ofOne
}

// mayAsk reports whether a peer has not asked too often, about a room or in all.
func (p *Past) mayAsk(key certs.PublicKey, room string) bool {
	g := p.given[key]
	if g == nil && len(p.given) >= maxGiven {
		maps.DeleteFunc(p.given, func(key certs.PublicKey, g *given) bool {
			return g.all.Next <= p.Now && g.idle(p.Now) || !p.isLinked(key)
		})
	}
	if g == nil && len(p.given) >= maxGiven {
		return false
	}
	if g == nil {
		g = &given{rooms: make(map[string]base.Limiter)}
		p.given[key] = g
	}
	if !g.all.Take(p.Now, askedBurst, askedEvery) {
		return false
	}
	limit := g.rooms[room]
	ok := limit.Take(p.Now, givenBurst, givenEvery)
	g.rooms[room] = limit
	return ok
}

// idle forgets the rooms about which the peer may ask as if it never had, and reports whether these
// are all.
func (g *given) idle(now time.Duration) bool {
	maps.DeleteFunc(g.rooms, func(_ string, lm base.Limiter) bool { return lm.Next <= now })
	return len(g.rooms) == 0
}

// isLinked reports whether there is a link to a peer.
func (p *Past) isLinked(key certs.PublicKey) bool {
	return slices.ContainsFunc(p.links.List, func(l *link.Link) bool { return l.Key == key })
}

// gives reports whether we keep a history, as we have said in the handshake.
func (p *Past) gives() bool { return slices.Contains(p.Cfg.Features, pb.FeaturePast) }

// Give sends what the history has of a room, oldest first, to the peer that has asked: the last of
// what it lacks. Passes are those of authors that the table may not have any more.
func (p *Past) Give(to base.Recall, history []*pb.Signed, passes []*pb.Pass) {
	if i := slices.Index(p.reads, to.Link); i >= 0 {
		p.reads = slices.Delete(p.reads, i, i+1)
	}
	l := p.links.Link(to.Link)
	if l == nil || l.State != link.LinkUp {
		return
	}
	part := &pb.PastGiven{Room: to.Room}
	others := make(map[certs.PublicKey]*pb.Pass)
	for _, pass := range passes {
		if grant, err := pb.ParseGrant(pass.GetGrant()); err == nil {
			others[certs.PublicKey(grant.GetKey())] = pass
		}
	}
	bytes, with := 0, make(map[certs.PublicKey]bool)
	for _, b := range p.choose(to, history) {
		key := certs.PublicKey(b.Content.GetKey())
		if n := size(b.Signed); len(part.Broadcasts) > 0 && bytes+n > maxFrame {
			p.sendPart(l, part)
			part, bytes = &pb.PastGiven{Room: to.Room}, 0
		}
		if pass := p.passOf(b.Content, others); pass != nil && !with[key] {
			with[key] = true
			part.Passes = append(part.Passes, pass)
			bytes += proto.Size(pass)
		}
		part.Broadcasts = append(part.Broadcasts, b.Signed)
		bytes += size(b.Signed)
	}
	part.End = true
	p.sendPart(l, part)
}

// sendPart sends a part behind everything else that the link has to carry.
func (p *Past) sendPart(l *link.Link, part *pb.PastGiven) {
	p.Out.Frames = append(p.Out.Frames, base.Frame{Link: l.ID, Data: base.Encode(part), Envelope: true})
}

// choose returns what the asker lacks of the last messages, as many as an answer holds, in the order
// in which they were said. Nothing older is looked for: an asker that has the last has had those
// before, and does not name them.
func (p *Past) choose(to base.Recall, history []*pb.Signed) []Piece {
	var list []Piece
	for _, s := range history {
		c, err := pb.ParseBroadcast(s)
		if err != nil || time.Duration(p.today()-c.GetSentAt()) > KeepFor || p.Passes.Removal(certs.PublicKey(c.GetKey())) != nil {
			continue
		}
		list = append(list, newPiece(c, s))
	}
	Order(list)
	list = slices.DeleteFunc(list[max(0, len(list)-pb.MaxPast):], func(g Piece) bool { return slices.Contains(to.Have, g.tag) })
	first, bytes := len(list), 0
	for ; first > 0; first-- {
		bytes += size(list[first-1].Signed)
		if p.Passes.Private() {
			bytes += pb.MaxPass
		}
		if bytes > pb.MaxPastBytes {
			break
		}
	}
	return list[first:]
}

// passOf is the pass of an author, nil if we have none or the network is open.
func (p *Past) passOf(c *pb.BroadcastContent, others map[certs.PublicKey]*pb.Pass) *pb.Pass {
	if !p.Passes.Private() {
		return nil
	}
	key := certs.PublicKey(c.GetKey())
	if e := p.table.Get(certs.ID(c.GetSender()), key); e != nil && e.Record.Standing != nil && !e.Removed() {
		return e.Record.Standing.Pass
	}
	return others[key]
}
