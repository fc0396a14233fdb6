package route

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Which way something goes. Distances are what neighbours say, and one that lies, or is broken, may
// pass nothing on while its link lives. Nobody can see that but the two ends, by a letter or a ping that is
// answered when it goes by another way. So after that the neighbours that have had it before come last for
// a while, for everybody's frames, and after a letter the one over which the answer came is the first for
// that receiver.
//
// A receiver that answers only what comes by way of an accomplice can bring honest neighbours into
// disrepute. It gains a second of delay: of all that have swallowed something, the one whose last time
// is longest ago comes first, so the accomplice is behind them once it swallows anything itself.

// Bounds of that, guesses.
const (
	maxFirsts    = 4               // first neighbours that take turns
	maxTried     = 16              // letters remembered that are not answered
	swallowedFor = 5 * time.Minute // then it is as if it had never been
	provenFor    = time.Minute     // a way that has worked is the first
)

// worth is how well a link seems to lead to a peer.
type worth struct {
	swallowed time.Duration // when the peer at its other end last did; 0: not lately
	hops      int
}

func (a worth) compare(b worth) int {
	return cmp.Or(cmp.Compare(a.swallowed, b.swallowed), cmp.Compare(a.hops, b.hops))
}

// toward judges a link to a peer with one of these entries.
func (rt *Routes) toward(l *link.Link, entries []*table.Entry) worth {
	w := worth{hops: table.NoWay + 1}
	if l.Slot >= 0 {
		w.hops = table.NoWay
	}
	for _, e := range entries {
		switch {
		case l.Peer == e.Record.ID && l.Key == e.Record.Key:
			return worth{}
		case e.Side != nil && e.Side.Way.Over == l.ID && rt.Now < e.Side.Way.Till:
			w.hops = 0
		case l.Slot >= 0:
			w.hops = min(w.hops, int(e.Hops[l.Slot]))
		}
	}
	if e := l.Entry; e != nil && e.Side != nil && e.Side.Swallowed > 0 && rt.Now < e.Side.Swallowed+swallowedFor {
		w.swallowed = e.Side.Swallowed
	}
	return w
}

// NextHop is the next link for a frame, nil if there is none. A packet of a carried link does not go
// over a mute one, where hop streams bring it if anything does. A CONNECT doesn't go over its
// sender's own link to the receiver, since that may be what shall be replaced; peers in between that
// have such a link do not pass it on (see reach.Introduce).
func (rt *Routes) NextHop(m *pb.Routed) *link.Link {
	to, passed := certs.ID(m.GetTo()), m.GetPassed()
	around, carried := m.GetConnect() != nil, m.GetCarried() != nil
	var best *link.Link
	var least worth
	entries := rt.table.Of(to)
	owner := rt.table.Owner(to, rt.Now)
	if owner != nil {
		entries = []*table.Entry{owner}
	}
	if l := rt.onWayBack(m); l != nil {
		return l
	}
	for _, l := range rt.links.List {
		if !rt.Serves(l) || carried && l.Mute || slices.Contains(passed, string(l.Peer)) || l.Peer == to && owner != nil && l.Key != owner.Record.Key {
			continue
		}
		if l.Peer == to && !around {
			return l
		}
		if l.Peer == to || !l.Neighbour || len(passed) >= pb.MaxPassed {
			continue
		}
		if w := rt.toward(l, entries); best == nil || w.compare(least) < 0 {
			best, least = l, w
		}
	}
	return best
}

// WayBack lists the peers by way of which a frame came over a link, if its sender is not known here:
// otherwise an answer finds it by itself.
func (rt *Routes) WayBack(l *link.Link, m *pb.Routed) (list []string) {
	if len(rt.table.Of(certs.ID(m.GetFrom()))) > 0 {
		return nil
	}
	i := slices.Index(m.GetPassed(), string(l.Peer))
	for i > 0 && len(list) < pb.MaxPassed {
		list = append(list, m.GetPassed()[i])
		i = int(m.GetParents()[i])
	}
	return list
}

// onWayBack is a link to the peer that is the farthest on the way back of an answer; nil without one.
func (rt *Routes) onWayBack(m *pb.Routed) *link.Link {
	back := m.GetBack()
	for i := len(back) - 1; i >= 0 && back[i] != string(rt.Cfg.ID); i-- {
		l := rt.links.LinkToID(certs.ID(back[i]))
		if l != nil && l.Neighbour && rt.Serves(l) && !slices.Contains(m.GetPassed(), back[i]) {
			return l
		}
	}
	return nil
}

// nextInTurn is the next link of those that take turns, and leaves the turn of the peers behind it: the
// digits of a number whose last one is ours.
func (rt *Routes) nextInTurn(m *pb.Routed) *link.Link {
	if m.GetTurn() > 0 {
		if firsts := rt.firsts(m); len(firsts) > 0 {
			n := uint32(len(firsts))
			l := firsts[m.GetTurn()%n]
			m.Turn = m.GetTurn() / n
			return l
		}
	}
	return rt.NextHop(m)
}

// back is the link over which came what a frame answers; nil if it is of no use now, or one to the
// receiver itself stands.
func (rt *Routes) back(over base.LinkID, m *pb.Routed) *link.Link {
	l, direct := rt.links.Link(over), rt.NextHop(m)
	if l == nil || !l.Neighbour || !rt.Serves(l) || slices.Contains(m.GetPassed(), string(l.Peer)) || direct != nil && string(direct.Peer) == m.GetTo() {
		return nil
	}
	return l
}

// letterOver chooses the link for a letter, after so many tries since the last that had an answer; and
// for one that answers what has come over a link itself, that link.
func (rt *Routes) letterOver(m *pb.Routed, tries int, over base.LinkID) *link.Link {
	m.Turn = uint32(tries)
	if over != 0 {
		if l := rt.back(over, m); l != nil {
			return l
		}
	}
	if tries > 0 {
		return rt.nextInTurn(m)
	}
	l, e := rt.NextHop(m), rt.table.Owner(certs.ID(m.GetTo()), rt.Now)
	if l != nil && e != nil && e.Our().Way.Over == l.ID && rt.Now < e.Our().Way.Till {
		m.Turn = e.Our().Way.Turn
	}
	return l
}

// firsts lists the links that a frame can go to next, as long as none is the receiver's own, the
// best first.
func (rt *Routes) firsts(m *pb.Routed) (list []*link.Link) {
	next := &pb.Routed{To: m.GetTo(), Passed: slices.Clone(m.GetPassed()), Content: m.GetContent()}
	for len(list) < maxFirsts {
		l := rt.NextHop(next)
		if l == nil || string(l.Peer) == m.GetTo() {
			break
		}
		list = append(list, l)
		next.Passed = append(next.Passed, string(l.Peer))
	}
	return list
}

// CarriesTo lists links over which the packets of carried links go to a peer with one of these
// entries, those whose other end carries: the best first, but mute ones last.
func (rt *Routes) CarriesTo(entries []*table.Entry) (list []*link.Link) {
	for _, l := range rt.links.List {
		if rt.Serves(l) && l.Foreign.Knows(pb.FeatureCarry) && rt.toward(l, entries).hops < table.NoWay {
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b *link.Link) int {
		if a.Mute != b.Mute {
			if a.Mute {
				return 1
			}
			return -1
		}
		return rt.toward(a, entries).compare(rt.toward(b, entries))
	})
	return list[:min(len(list), maxFirsts)]
}

// Serves reports whether a link takes frames, and its peer was heard just now.
func (rt *Routes) Serves(l *link.Link) bool {
	return l.State == link.LinkUp && !l.Stuck && l.HeardLately(rt.Now)
}

// tried notes that a letter goes to a peer over a link.
func (rt *Routes) tried(to certs.ID, l *link.Link, turn uint32, tries int) {
	e := rt.table.Owner(to, rt.Now)
	if e == nil || l.Peer == to {
		return
	}
	w := &e.With().Way
	if tries == 0 {
		w.Tried = nil
	}
	w.Tried = append(w.Tried[max(0, len(w.Tried)+1-maxTried):], table.Try{Over: l.ID, Turn: turn})
}

// Answered notes that a peer has answered a letter of ours, of which some were in vain before, and
// over which link. The others have swallowed it.
func (rt *Routes) Answered(by certs.ID, over base.LinkID) {
	e := rt.table.Owner(by, rt.Now)
	if e == nil || rt.links.Link(over) == nil {
		return
	}
	w := &e.With().Way
	turn := uint32(0)
	for _, try := range w.Tried {
		if try.Over == over {
			turn = try.Turn // of the last
		} else {
			rt.Swallowed(try.Over)
		}
	}
	*w = table.Way{Over: over, Turn: turn, Till: rt.Now + provenFor}
}

// Swallowed notes that something that was sent over a link was not answered, and then was by way of
// another one.
func (rt *Routes) Swallowed(over base.LinkID) {
	if l := rt.links.Link(over); l != nil && l.Entry != nil {
		l.Entry.With().Swallowed = rt.Now
		rt.Note(base.Debug, "a neighbour has passed nothing on", "peer", string(l.Peer))
	}
}

// Proven notes that what a peer has written itself has come over a link, and is answered in that turn.
func (rt *Routes) Proven(from certs.ID, over base.LinkID, turn int) {
	if e := rt.table.Owner(from, rt.Now); e != nil && over != 0 {
		w := &e.With().Way
		w.Over, w.Turn, w.Till = over, uint32(turn), rt.Now+provenFor
	}
}
