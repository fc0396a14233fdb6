package core

import (
	"time"

	"quicpeer/pb"
)

// Routes are distance vectors, as in RIP: each peer tells its neighbours how far
// it is from every other, and takes the neighbour that is nearest. An announcement
// carries the distance of whoever sends it, so a flood lays the first routes; what
// changes afterwards, since a shorter way was found or a link came or went, is told
// once a second. Who dies is buried within seconds, so nobody counts to infinity
// for long; and a routed frame never passes a peer twice, whatever the tables say.

const (
	noWay      = pb.MaxPassed // a distance that no routed frame can go
	routeEvery = time.Second  // between two updates: a guess, a link lives for minutes
)

// routes tells the neighbours how far others are, and passes on what goes over several
// links.
type routes struct {
	*env
	table    *table
	links    *links
	nextTold time.Duration // the neighbours are told of no change before
}

func (e *entry) forgetRoutes() {
	for i := range e.hops {
		e.hops[i] = noWay
	}
	e.told = noWay
}

// tellRoutes sends the neighbours what has changed.
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

// tellAllRoutes is what a new neighbour hears first.
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

// receiveRoutes takes what a neighbour says of its distances.
func (rt *routes) receiveRoutes(l *link, m *pb.Routes) {
	for i, short := range m.GetPeers() {
		for _, e := range rt.table.named(short) {
			rt.links.setHops(e, l, uint32(m.GetHops()[i]))
		}
	}
}
