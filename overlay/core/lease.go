package core

import (
	"slices"
	"time"

	"quicpeer/pb"
)

// expired says that an announcement is too old to be taken: a JOIN holds for a
// lease unless it is renewed, and who is lost is remembered for longer, so that no
// JOIN that it buries outlives it. A LEAVE is remembered for minutes, and taken later
// only by somebody who still holds what it buries. Ages travel with announcements and run
// on each peer's own clock; no clock on the wall matters.
func (g *gossip) expired(n news, held bool) bool {
	age := g.now - n.said
	switch {
	case n.state == pb.AnnouncementType_JOIN:
		return age >= lease
	case n.state == pb.AnnouncementType_LEAVE && !held:
		return age >= rememberLeft
	}
	return age >= rememberFor
}

// forget drops what has expired, and renews our own lease.
func (ro *roll) forget() {
	if ro.now >= ro.own.renewAt && !ro.leaving {
		ro.own.renewAt = ro.now + renewEvery
		ro.own.setOwnRecord(pb.AnnouncementType_JOIN, ro.table.self.record.Seq+1)
		ro.gossip.flood(nil, ro.table.self)
	}
	ro.forgetLeft()
	if ro.now < ro.nextForget {
		return
	}
	ro.nextForget = ro.now + time.Minute
	for _, e := range slices.Clone(ro.table.entries) {
		old := ro.now - e.said
		if e == ro.table.self || old < lease || e.buried() && old < rememberFor {
			continue
		}
		ro.join.rememberGone(e.record, e.our().lastAddress)
		ro.table.remove(e)
		ro.links.detach(e)
		if e.shown != nil {
			ro.broadcasts.showGone(e)
			ro.view.refresh(e.record.ID) // another key of the ID may live
		}
	}
	ro.table.lost = slices.DeleteFunc(ro.table.lost, func(e *entry) bool {
		return e.alive() || ro.table.lookup(e.record.tag, e.record.ID, e.record.Key) != e
	})
}

// mayFlood paces what is passed on of others: a peer that changes more than six
// times a minute is announced once in ten seconds, as it is then. Who relays a flood
// so is bounded whatever its source does. Refutations are not held back: there is one
// for each LOST at most.
func (g *gossip) mayFlood(e *entry) bool {
	if e.side == nil && e.record.Seq == 0 && !e.buried() {
		return true // its first word
	}
	d := e.with()
	d.pace = max(d.pace, g.now)
	if d.heldBack || d.pace-g.now > (changesAtOnce-1)*changeEvery {
		if !d.heldBack {
			d.heldBack = true
			g.heldBack = append(g.heldBack, e)
		}
		return false
	}
	d.pace += changeEvery
	return true
}

// floodHeldBack announces those that had changed too often.
func (g *gossip) floodHeldBack() {
	g.heldBack = slices.DeleteFunc(g.heldBack, func(e *entry) bool {
		d := e.with()
		if d.pace-g.now > (changesAtOnce-1)*changeEvery {
			return false
		}
		d.heldBack = false
		if g.table.lookup(e.record.tag, e.record.ID, e.record.Key) == e && !e.missing && g.mayFlood(e) {
			g.flood(nil, e)
		}
		return true
	})
}
