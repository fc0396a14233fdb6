package core

import (
	"quicpeer/pb"
	"slices"
	"time"
)

// makeEntry makes room in the table and an entry there.
func (ro *roll) makeEntry(from *link, n news) *entry {
	r := n.record
	if from != nil && from.fetch == nil && !from.mayIntroduce(ro.now) {
		ro.note(Debug, "too many unknown peers from one link, announcement dropped", "peer", string(from.peer))
		return nil
	}
	evicted, ok := ro.table.room(r, n.state, ro.table.self, ro.now)
	if !ok {
		ro.note(Debug, "no room in the table, announcement dropped", "id", string(r.ID), "key", r.Key.String())
		return nil
	}
	if evicted != nil {
		ro.evict(evicted)
	}
	e := newEntry(r, n.state, n.said)
	if n.proof != nil {
		e.with().proof = n.proof
	}
	ro.table.insert(e)
	ro.broadcasts.beginRun(e, n.broadcasts)
	ro.links.attach(e)
	if n.state == pb.AnnouncementType_JOIN {
		ro.broadcasts.arrived(e)
	} else {
		ro.table.addGone(e)
	}
	return e
}

// change brings an entry up to date.
func (ro *roll) change(e *entry, n news) {
	r := n.record
	was, wasAlive, old := e.version(), e.alive() || e.suspect(ro.now), e.record
	if r.Epoch > was.epoch {
		ro.broadcasts.lastWords(e)
		e.with().neighbours = nil
		ro.broadcasts.arrived(e)
	}
	if was.state == pb.AnnouncementType_LOST && n.state == pb.AnnouncementType_JOIN && r.Epoch == was.epoch {
		ro.inquiries.countRefuted(e)
		d := e.with()
		if ro.now > d.revivedAt+patienceFor {
			d.revived = 0
		}
		d.revived, d.revivedAt = min(d.revived+1, 5), ro.now
	}
	e.said = n.said
	ro.table.set(e, r, n.state)
	if r.Epoch > was.epoch {
		ro.broadcasts.beginRun(e, n.broadcasts)
	}
	if n.proof != nil || e.side != nil {
		e.with().proof = n.proof
	}
	switch n.state {
	case pb.AnnouncementType_JOIN:
		if d := e.side; d != nil {
			d.failures, d.nextDial, d.doomed = 0, ro.now, 0
		}
		ro.reach.leaveAddresses(e, old)
	case pb.AnnouncementType_LOST:
		ro.bury(e, wasAlive)
	default:
		ro.join.rememberGone(old, e.our().lastAddress)
		ro.links.unroute(e)
	}
}

// bury does what follows from LOST: the peer has some time to refute before users see
// it. A link to it that is silent stays until QUIC gives it up, but as no neighbour's: should
// the peer live after all, as one that was stopped for a while, it hears by this very
// link what was said, and needs no new one.
func (ro *roll) bury(e *entry, wasAlive bool) {
	wait := suspectFor
	if ro.now-e.said >= oldAfter {
		wait = suspectOld
	}
	ro.table.addGone(e)
	ro.links.unroute(e)
	for _, l := range ro.links.list {
		if l.neighbour && l.key == e.record.Key && ro.now-l.heard > freshWithin {
			ro.gossip.announceTo(l, e)
			ro.links.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			ro.links.endNeighbour(l)
		}
	}
	if wasAlive {
		e.with().doomed = ro.now + wait
		ro.view.doomed = append(ro.view.doomed, e)
		ro.wake(ro.now + wait)
	}
}

// roll merges what is heard into the table, and drops what is over.
type roll struct {
	*env
	table      *table
	links      *links
	gossip     *gossip
	reach      *reach
	broadcasts *broadcasts
	inquiries  *inquiries
	join       *joiner
	own        *own
	view       *view
	nextForget time.Duration
}

// forgetLeft forgets those who have left, in time or when there are too many.
func (ro *roll) forgetLeft() {
	for e := ro.table.firstLeft(); e != nil && e != ro.table.self; e = ro.table.firstLeft() {
		if ro.now-e.said < rememberLeft && len(ro.table.left) <= maxTombstones {
			return
		}
		shown := e.shown != nil
		ro.evict(e)
		if shown {
			ro.view.refresh(e.record.ID) // another key of the ID may live
		}
	}
}

// evict takes an entry out of the table. A run that is over does not come back; a guest may,
// and of it nobody else could know.
func (ro *roll) evict(e *entry) {
	ro.table.remove(e)
	if !e.alive() && !e.isGuest() {
		ro.table.forgotten.add(e.record)
		ro.join.rememberGone(e.record, e.our().lastAddress)
	}
	ro.links.detach(e)
	if e.shown != nil {
		ro.broadcasts.showGone(e)
	}
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
