package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// mayRoute limits the routed frames that come over a link.
func (rt *routes) mayRoute(l *link) bool { return l.routed.take(rt.now, routedBurst, routedEvery) }

// carriedBytes is how many bytes a routed frame counts for as carried; 0 for the small frames
// that we know.
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

// Limit of the frames that a link may have us pass on (a guess: a crash of half of 1000 peers
// needs some 800 frames of each survivor within seconds).
const (
	routedBurst = 2000
	routedEvery = 5 * time.Millisecond
)

// sendRouted sends something to a peer that may be far away, and not by way of the peers in
// avoid. It returns false if no link can take it.
func (rt *routes) sendRouted(to certs.ID, content *pb.Routed, avoid ...certs.ID) bool {
	content.From, content.To = string(rt.cfg.ID), string(to)
	content.Passed, content.Parents = []string{string(rt.cfg.ID)}, []byte{0}
	for _, id := range avoid {
		content.Passed, content.Parents = append(content.Passed, string(id)), append(content.Parents, 0)
	}
	return rt.forward(content)
}

// forward passes a frame to the usable link nearest to the receiver among those that it has not
// passed, else back to where it came from. So it visits peers as a depth-first search does, each
// once, the promising ones first.
func (rt *routes) forward(m *pb.Routed) bool {
	l := rt.nextHop(m)
	if l == nil {
		own := slices.Index(m.GetPassed(), string(rt.cfg.ID))
		parent := m.GetPassed()[m.GetParents()[own]]
		if l = rt.links.linkToID(certs.ID(parent)); l == nil || int(m.GetParents()[own]) == own {
			return false
		}
	}
	rt.links.send(l, m)
	rt.out.Frames[len(rt.out.Frames)-1].Envelope = carriedBytes(m) > 0
	return true
}

// nextHop is the next link for a frame, nil if there is none. The sender of a CONNECT or a SYNC
// doesn't use a link of its own to the receiver, since that may be what shall be replaced.
func (rt *routes) nextHop(m *pb.Routed) *link {
	to, passed := certs.ID(m.GetTo()), m.GetPassed()
	around := len(passed) == 1 && (m.GetConnect() != nil || m.GetSync() != nil)
	var best *link
	bestHops := uint8(0)
	entries := rt.table.of(to)
	for _, l := range rt.links.list {
		if l.state != linkUp || l.stuck || rt.now-l.heard > freshWithin+l.slowness() || slices.Contains(passed, string(l.peer)) {
			continue
		}
		if l.peer == to && !around {
			return l
		}
		if l.peer == to || !l.neighbour || len(passed) >= pb.MaxPassed {
			continue
		}
		hops := uint8(noWay + 1)
		if l.slot >= 0 {
			hops = noWay
			for _, e := range entries {
				hops = min(hops, e.hops[l.slot])
			}
		}
		if best == nil || hops < bestHops {
			best, bestHops = l, hops
		}
	}
	return best
}

// routes tells the neighbours our distances, and passes on frames that cross several links.
type routes struct {
	*env
	table    *table
	links    *links
	nextTold time.Duration // when changes may be sent next
}

// tellRoutes sends the changed distances to the neighbours.
func (rt *routes) tellRoutes() {
	if len(rt.links.stale) == 0 || rt.now < rt.nextTold {
		return
	}
	rt.nextTold = rt.now + routeEvery
	update := &pb.Routes{}
	for _, e := range rt.links.stale {
		e.stale = false
		if d := rt.links.distance(e); d != e.told && !e.buried() {
			e.told = d
			update.Peers, update.Hops = append(update.Peers, shortTag(e.record.tag)), append(update.Hops, d)
		}
	}
	rt.links.stale = rt.links.stale[:0]
	for _, l := range rt.links.list {
		if l.neighbour && len(update.Peers) > 0 {
			rt.sendRoutes(l, update)
		}
	}
}

// tellAllRoutes sends all distances to a new neighbour.
func (rt *routes) tellAllRoutes(l *link) {
	all := &pb.Routes{}
	for _, e := range rt.table.entries {
		d := e.told
		if e == rt.table.self {
			d = 0
		}
		if d < noWay && e.record.Key != l.key {
			all.Peers, all.Hops = append(all.Peers, shortTag(e.record.tag)), append(all.Hops, d)
		}
	}
	rt.sendRoutes(l, all)
}

func (rt *routes) sendRoutes(l *link, r *pb.Routes) {
	for len(r.Peers) > pb.MaxRoutes {
		rt.links.send(l, &pb.Routes{Peers: r.Peers[:pb.MaxRoutes], Hops: r.Hops[:pb.MaxRoutes]})
		r = &pb.Routes{Peers: r.Peers[pb.MaxRoutes:], Hops: r.Hops[pb.MaxRoutes:]}
	}
	rt.links.send(l, r)
}

// receiveRoutes takes a neighbour's distances.
func (rt *routes) receiveRoutes(l *link, m *pb.Routes) {
	for i, short := range m.GetPeers() {
		for _, e := range rt.table.named(short) {
			rt.links.setHops(e, l, uint32(m.GetHops()[i]))
		}
	}
}
