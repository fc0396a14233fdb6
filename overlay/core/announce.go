package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// shownPeer is what events have said of an ID: who has it, and in which run.
type shownPeer struct {
	key   certs.PublicKey
	epoch uint64
}

// learn merges an announcement that came over the link. What is new goes to all
// other neighbours; who sends something older is told what we hold. It returns
// false if the link had to be closed for it.
func (c *Core) learn(from *link, a *pb.Announcement) bool {
	record, err := pb.ParseRecord(a.GetRecord())
	if err != nil {
		c.violation(from, err.Error())
		return false
	}
	says := record.GetType()
	if a.GetType() != says && (a.GetType() != pb.AnnouncementType_LOST || says != pb.AnnouncementType_JOIN) {
		c.violation(from, "an announcement that its record does not bear out")
		return false
	}
	if record.GetNetwork() != c.cfg.Network {
		c.violation(from, "an announcement of another network")
		return false
	}
	id, key := certs.ID(record.GetId()), certs.PublicKey(record.GetKey())
	held := c.table.get(id, key)
	news := version{record.GetEpoch(), record.GetSeq(), a.GetType()}
	if held != nil {
		switch order := news.compare(held.version()); {
		case order == 0:
			held.setPath(from.id, a.GetHops()+1)
			return true
		case order < 0:
			c.answerOlder(from, held)
			return true
		}
	}
	known := held != nil && proto.Equal(held.signed, a.GetRecord())
	if !known && !c.cfg.VerifyRecord(key, a.GetRecord()) {
		c.violation(from, "an announcement that its subject has not signed")
		return false
	}
	if held == c.self {
		c.learnOfSelf(from, news)
		return true
	}
	if held == nil && a.GetType() != pb.AnnouncementType_JOIN && ageOf(a) >= forgetAfter {
		return true
	}
	if held == nil {
		held = &entry{id: id, key: key, record: record, state: a.GetType(), since: c.now}
		evicted, ok := c.table.room(held, c.self, c.now)
		if !ok {
			c.note(Debug, "no room in the table, announcement dropped", "id", string(id), "key", key.String())
			return true
		}
		if evicted != nil {
			c.table.evict(evicted)
			defer c.refresh(evicted.id)
		}
		c.table.insert(held)
	}
	c.accept(from, held, record, a)
	return true
}

// accept brings an entry up to date, passes the news on and shows what they change.
func (c *Core) accept(from *link, e *entry, record *pb.Record, a *pb.Announcement) {
	if record.GetEpoch() > e.record.GetEpoch() {
		e.since, e.broadcasts = c.now, window{}
	}
	if a.GetType() == pb.AnnouncementType_LOST && (e.alive() || e.suspect(c.now)) {
		e.doomed = c.now + suspectFor
	}
	refuted := e.state == pb.AnnouncementType_LOST && a.GetType() == pb.AnnouncementType_JOIN
	if refuted && e.accused && record.GetEpoch() == e.record.GetEpoch() {
		e.quarrelTill = c.now + accuseAgainAfter
	}
	e.record, e.signed, e.state, e.accused = record, a.GetRecord(), a.GetType(), false
	if a.GetType() == pb.AnnouncementType_JOIN {
		e.failures, e.nextDial = 0, c.now
	} else {
		e.confirm = false
		e.buried = c.now - ageOf(a)
	}
	c.table.changed()
	e.paths = e.paths[:0]
	e.setPath(from.id, a.GetHops()+1)
	c.flood(from, e, a.GetHops()+1)
	c.refresh(e.id)
	c.checkOwnID(e)
}

// answerOlder tells who sent an older statement what we hold.
func (c *Core) answerOlder(to *link, held *entry) {
	if held == c.self && c.leaving {
		return
	}
	c.announceTo(to, held, c.hops(held))
}

// learnOfSelf takes a statement about ourselves that we have not made, or not in
// this run. Said to be lost, we raise our seq. A later epoch is a newer run, to a
// member; else one of before the clock went back. Who said it is answered even if
// it is no neighbour.
func (c *Core) learnOfSelf(from *link, news version) {
	if c.leaving {
		return
	}
	switch {
	case news.epoch > c.cfg.Epoch && c.accepted:
		c.fail(&StartedElsewhereError{})
		return
	case news.epoch > c.cfg.Epoch:
		c.raiseEpoch(news.epoch) // somebody has found us before we have found a door
	default:
		c.refuteAbove = max(c.refuteAbove, news.seq)
		c.refuteTo = from.id
		c.refute()
		return
	}
	c.flood(from, c.self, 0)
	c.announceTo(from, c.self, 0)
}

// refute says that we are here after all, at most once in refuteEvery: who says
// LOST without end must not make us flood without end.
func (c *Core) refute() {
	if c.refuteTo == 0 || c.now < c.nextRefute || c.leaving {
		return
	}
	c.note(Debug, "refuting")
	c.nextRefute = c.now + refuteEvery
	c.setOwnRecord(pb.AnnouncementType_JOIN, max(c.refuteAbove, c.self.record.GetSeq())+1)
	from := c.link(c.refuteTo)
	c.refuteTo = 0
	c.flood(from, c.self, 0)
	if from != nil && from.state == linkUp {
		c.announceTo(from, c.self, 0)
	}
}

// checkOwnID stops this peer if another living key owns its ID, and tells the
// other if we do.
func (c *Core) checkOwnID(e *entry) {
	if e.id != c.cfg.ID || !e.alive() || c.leaving {
		return
	}
	owner := c.table.owner(c.cfg.ID, c.now)
	if owner != c.self {
		c.note(Warn, "another peer owns this ID", "id", string(e.id), "key", owner.key.String())
		c.fail(&DuplicateIDError{Holder: owner.key})
		return
	}
	c.flood(nil, c.self, 0)
}

// refresh tells the user what has changed about an ID.
func (c *Core) refresh(id certs.ID) {
	if !c.ready || id == c.cfg.ID {
		return
	}
	was, known := c.shown[id]
	owner := c.table.owner(id, c.now)
	if known && owner != nil && was.key == owner.key && was.epoch == owner.record.GetEpoch() {
		return
	}
	if known {
		delete(c.shown, id)
		gone := c.table.get(id, was.key)
		farewell := gone != nil && gone.state == pb.AnnouncementType_LEAVE && gone.record.GetEpoch() == was.epoch
		c.out.Events = append(c.out.Events, Left{id, farewell})
	}
	if owner != nil {
		c.shown[id] = shownPeer{owner.key, owner.record.GetEpoch()}
		c.out.Events = append(c.out.Events, Joined{id, owner.key, c.via(owner)})
		c.releaseEarly(id)
	}
}

// showLost shows those whose time to refute is over.
func (c *Core) showLost() {
	for _, e := range c.table.entries {
		if e.state == pb.AnnouncementType_LOST && !e.suspect(c.now) {
			if was, known := c.shown[e.id]; known && was.key == e.key {
				c.refresh(e.id)
			}
		}
	}
}

// becomeReady ends the joining: the user sees who is there.
func (c *Core) becomeReady() {
	if c.ready {
		return
	}
	c.ready, c.accepted = true, true
	c.out.Events = append(c.out.Events, Ready{})
	for _, e := range c.table.entries {
		c.refresh(e.id)
	}
}

// flood queues an announcement for all neighbours but the one it came from.
func (c *Core) flood(from *link, e *entry, hops uint32) {
	if hops > pb.MaxHops {
		return
	}
	a := c.announcement(e, hops)
	for _, l := range c.links {
		if l != from && l.neighbour {
			l.pending = append(l.pending, a)
		}
	}
}

// announceTo queues an announcement for one link.
func (c *Core) announceTo(l *link, e *entry, hops uint32) {
	l.pending = append(l.pending, c.announcement(e, hops))
}

// announcement says what we hold of a peer.
func (c *Core) announcement(e *entry, hops uint32) *pb.Announcement {
	a := &pb.Announcement{Type: e.state, Record: e.signed, Hops: min(hops, pb.MaxHops)}
	if !e.alive() {
		a.Age = uint32((c.now - e.buried) / time.Second)
	}
	return a
}

// ageOf is how long ago the LOST or LEAVE was first said.
func ageOf(a *pb.Announcement) time.Duration { return time.Duration(a.GetAge()) * time.Second }

// forget drops what was buried long ago. Ages travel with announcements, so that
// an entry does not live on by being passed from one to the other.
func (c *Core) forget() {
	if c.now < c.nextForget {
		return
	}
	c.nextForget = c.now + time.Minute
	c.table.drop(func(e *entry) bool { return e != c.self && !e.alive() && c.now >= e.buried+forgetAfter })
}

// maxBatch keeps a frame of announcements below pb.MaxControlFrame, in bytes.
const maxBatch = pb.MaxControlFrame - 16<<10

// takeBatch returns how many of the announcements fit into a frame.
func takeBatch(list []*pb.Announcement) int {
	n, size := 0, 0
	for n < len(list) && n < pb.MaxAnnouncements {
		size += proto.Size(list[n]) + 8
		if n > 0 && size > maxBatch {
			break
		}
		n++
	}
	return n
}

// flushAnnouncements turns what is pending into frames.
func (c *Core) flushAnnouncements() {
	for _, l := range c.links {
		c.flushLink(l)
	}
}

func (c *Core) flushLink(l *link) {
	for len(l.pending) > 0 {
		n := takeBatch(l.pending)
		data := encode(&pb.PropagationMessage{Announcements: l.pending[:n]})
		c.out.Frames = append(c.out.Frames, Frame{Link: l.id, Data: data})
		l.pending = l.pending[n:]
	}
	l.pending = nil
}

// encode makes a frame of a content that the core itself has built.
func encode(content proto.Message) []byte {
	data, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic("core: a frame that can't be encoded: " + err.Error())
	}
	return data
}

// via is the neighbour nearest to the peer; empty when there is a link to it or
// the way is not known.
func (c *Core) via(e *entry) certs.ID {
	if c.linkTo(e.key) != nil {
		return ""
	}
	if l := c.nearest(e); l != nil {
		return l.peer
	}
	return ""
}

// hops is how far the peer is by the nearest neighbour.
func (c *Core) hops(e *entry) uint32 {
	if e == c.self || len(e.paths) == 0 {
		return 0
	}
	return slices.MinFunc(e.paths, comparePaths).hops
}

func (c *Core) nearest(e *entry) *link {
	if len(e.paths) == 0 {
		return nil
	}
	return c.link(slices.MinFunc(e.paths, comparePaths).link)
}

func comparePaths(a, b path) int { return int(a.hops) - int(b.hops) }
