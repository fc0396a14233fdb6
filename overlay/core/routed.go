package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// What a link may have us pass on (a guess: a crash of half of 1000 peers needs
// some 800 frames of each survivor within seconds).
const (
	routedBurst = 2000
	routedEvery = 5 * time.Millisecond
)

// sendRouted sends something to a peer that may be far away. Peers in avoid are
// not passed. It returns false if there is nowhere to send it.
func (rt *routes) sendRouted(to certs.ID, content *pb.Routed, avoid ...certs.ID) bool {
	content.From, content.To = string(rt.cfg.ID), string(to)
	content.Passed, content.Parents = []string{string(rt.cfg.ID)}, []byte{0}
	for _, id := range avoid {
		content.Passed, content.Parents = append(content.Passed, string(id)), append(content.Parents, 0)
	}
	return rt.forward(content)
}

// forward passes a frame to the usable link nearest to the receiver among those
// that it has not passed, else back to where it came from. So it visits peers as a
// depth-first search does, each once, the promising ones first.
func (rt *routes) forward(m *pb.Routed) bool {
	l := rt.nextHop(certs.ID(m.GetTo()), m.GetPassed())
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

// nextHop is the link over which a frame goes on, nil if there is none.
func (rt *routes) nextHop(to certs.ID, passed []string) *link {
	var best *link
	bestHops := uint8(0)
	entries := rt.table.of(to)
	for _, l := range rt.links.list {
		if l.state != linkUp || l.stuck || rt.now-l.heard > freshWithin+l.slowness() || slices.Contains(passed, string(l.peer)) {
			continue
		}
		if l.peer == to {
			return l
		}
		if !l.neighbour || len(passed) >= pb.MaxPassed {
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

// allowance bounds how much of something comes in: burst at once, then one in every.
type allowance struct{ next time.Duration }

func (a *allowance) take(now time.Duration, burst int, every time.Duration) bool {
	return a.spend(now, time.Duration(burst)*every, every)
}

// spend is take for things that cost differently much: cost is the time in which one
// comes, burst that of all which may come at once.
func (a *allowance) spend(now, burst, cost time.Duration) bool {
	a.next = max(a.next, now)
	if a.next-now > burst {
		return false
	}
	a.next += cost
	return true
}

func (l *link) mayRoute(now time.Duration) bool { return l.routed.take(now, routedBurst, routedEvery) }

// mayIntroduce bounds how many unknown peers a link can put into our table: a
// network that joins as a whole comes at once, a member that invents peers needs a
// quarter of an hour to fill the table, while its inventions are found out (a guess).
func (l *link) mayIntroduce(now time.Duration) bool {
	return l.introduced.take(now, 8192, 10*time.Millisecond)
}
