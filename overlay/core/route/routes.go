// Package route carries frames to peers that have no link to us, over others: by the distances
// that neighbours tell each other (RIP, RFC 2453), and by a depth-first search where these fail.
// Sealed batches go in parts, and whoever passes them on limits them by bytes.
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

// mayRoute limits the routed frames that come over a link.
func (rt *Routes) mayRoute(l *link.Link) bool { return l.Routed.Take(rt.Now, routedBurst, routedEvery) }

// carriedBytes is how many bytes a routed frame counts for as carried; 0 for the small frames
// that we know.
func carriedBytes(m *pb.Routed) int {
	size := proto.Size(m)
	switch m.GetContent().(type) {
	case *pb.Routed_Envelope, *pb.Routed_Collected, *pb.Routed_Carried, nil:
		return CarryBase + size
	}
	if size > maxSmall {
		return CarryBase + size
	}
	return 0
}

// Limit of the frames that a link may have us pass on (a guess: a crash of half of 1000 peers
// needs some 800 frames of each survivor within seconds).
const (
	routedBurst = 2000
	routedEvery = 5 * time.Millisecond
)

// SendRouted sends something to a peer that may be far away, and not by way of the peers in
// avoid. It returns false if no link can take it.
func (rt *Routes) SendRouted(to certs.ID, content *pb.Routed, avoid ...certs.ID) bool {
	return rt.SendAround(to, content, 0, avoid...) != 0
}

// SendAround is SendRouted by way of another first neighbour after each try that had no answer: a peer
// that drops what it should pass on, while its link lives, is not found out. When all first neighbours
// have had their turn, the second ones take another way as well, and so on. It returns the link, 0 if there
// is none.
func (rt *Routes) SendAround(to certs.ID, content *pb.Routed, tries int, avoid ...certs.ID) base.LinkID {
	rt.address(to, content, avoid)
	content.Turn = uint32(tries)
	return rt.forward(content)
}

// SendBack answers something by the way that it has come, as that has just worked: what is lost is
// asked for again by another way, and so is the answer.
func (rt *Routes) SendBack(over base.LinkID, to certs.ID, content *pb.Routed, avoid ...certs.ID) {
	rt.address(to, content, avoid)
	if l := rt.back(over, content); l != nil {
		rt.send(l, content)
	} else {
		rt.forward(content)
	}
}

// SendBy sends something by way of a link, whatever else leads to its receiver.
func (rt *Routes) SendBy(l *link.Link, to certs.ID, content *pb.Routed) {
	rt.address(to, content, nil)
	rt.send(l, content)
}

// address begins a frame.
func (rt *Routes) address(to certs.ID, content *pb.Routed, avoid []certs.ID) {
	content.From, content.To = string(rt.Cfg.ID), string(to)
	content.Passed, content.Parents = []string{string(rt.Cfg.ID)}, []byte{0}
	for _, id := range avoid {
		content.Passed, content.Parents = append(content.Passed, string(id)), append(content.Parents, 0)
	}
}

// forward passes a frame to the usable link nearest to the receiver among those that it has not
// passed, else back to where it came from. So it visits peers as a depth-first search does, each
// once, the promising ones first; of those another one in each turn.
func (rt *Routes) forward(m *pb.Routed) base.LinkID {
	l := rt.nextInTurn(m)
	if l == nil {
		own := slices.Index(m.GetPassed(), string(rt.Cfg.ID))
		parent := m.GetPassed()[m.GetParents()[own]]
		if l = rt.links.LinkToID(certs.ID(parent)); l == nil || int(m.GetParents()[own]) == own {
			return 0
		}
	}
	rt.send(l, m)
	return l.ID
}

// send sends a frame on a link.
func (rt *Routes) send(l *link.Link, m *pb.Routed) {
	rt.links.Send(l, m)
	rt.Out.Frames[len(rt.Out.Frames)-1].Envelope = carriedBytes(m) > 0
}

// Routes tells the neighbours our distances, and passes on frames that cross several links.
type Routes struct {
	*base.Env
	table    *table.Table
	links    *link.Links
	nextTold time.Duration // when changes may be sent next
}

// NewRoutes returns the ways over these links.
func NewRoutes(en *base.Env, t *table.Table, ls *link.Links) *Routes {
	return &Routes{Env: en, table: t, links: ls}
}

// manyStale is how many changed distances are worth a look through the whole table, a guess.
const manyStale = 64

// TellRoutes sends the changed distances to the neighbours.
func (rt *Routes) TellRoutes() {
	if len(rt.links.Stale) == 0 || rt.Now < rt.nextTold {
		return
	}
	rt.nextTold = rt.Now + table.RouteEvery
	changed := rt.links.Stale
	if len(changed) > max(manyStale, len(rt.table.Entries)/16) { // in the order of the table, in which they are soon found
		changed = rt.table.Entries
	}
	update := &pb.Routes{}
	for _, e := range changed {
		if !e.Stale() {
			continue
		}
		told := e.Told()
		e.SetTold(told)
		if d := rt.links.Distance(e); d != told && !e.Buried() {
			e.SetTold(d)
			update.Peers, update.Hops = append(update.Peers, base.ShortTag(e.Record.Tag)), append(update.Hops, d)
		}
	}
	rt.links.Stale = nil // it may have been as long as the table
	if len(update.Peers) == 0 {
		return
	}
	frames := encodeRoutes(update)
	for _, l := range rt.links.List {
		if l.Neighbour {
			rt.links.SendEncoded(l, frames...)
		}
	}
}

// TellAllRoutes sends all distances to a new neighbour.
func (rt *Routes) TellAllRoutes(l *link.Link) {
	all := &pb.Routes{}
	for _, e := range rt.table.Entries {
		d := e.Told()
		if e == rt.table.Self {
			d = 0
		}
		if d < table.NoWay && e.Record.Key != l.Key {
			all.Peers, all.Hops = append(all.Peers, base.ShortTag(e.Record.Tag)), append(all.Hops, d)
		}
	}
	rt.links.SendEncoded(l, encodeRoutes(all)...)
}

// encodeRoutes makes frames of distances.
func encodeRoutes(r *pb.Routes) (frames [][]byte) {
	for len(r.Peers) > pb.MaxRoutes {
		frames = append(frames, base.Encode(&pb.Routes{Peers: r.Peers[:pb.MaxRoutes], Hops: r.Hops[:pb.MaxRoutes]}))
		r = &pb.Routes{Peers: r.Peers[pb.MaxRoutes:], Hops: r.Hops[pb.MaxRoutes:]}
	}
	return append(frames, base.Encode(r))
}

// ReceiveRoutes takes a neighbour's distances.
func (rt *Routes) ReceiveRoutes(l *link.Link, m *pb.Routes) {
	for i, short := range m.GetPeers() {
		for _, e := range rt.table.Named(short) {
			rt.links.SetHops(e, l, uint32(m.GetHops()[i]))
		}
	}
}
