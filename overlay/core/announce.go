package core

import (
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// news is an announcement that has been opened.
type news struct {
	record *Record
	state  pb.AnnouncementType
	hops   uint32
	said   time.Duration
	proof  []*pb.Signed
	// witnesses are the keys of those who have signed the proof.
	witnesses []*pb.Testimony
	// broadcasts is how many of the run the sender has had.
	broadcasts uint64
}

func (n *news) version() version { return version{n.record.Epoch, n.record.Seq, n.state, n.record.tie} }

// claims are the signatures on which it stands.
func (n *news) claims() []Claim {
	list := make([]Claim, 0, 1+len(n.proof))
	list = append(list, Claim{Key: n.record.Key, Signed: n.record.Signed})
	for i, t := range n.witnesses {
		list = append(list, Claim{Testimony: true, Key: certs.PublicKey(t.GetKey()), Signed: n.proof[i]})
	}
	return list
}

// open checks an announcement by itself. One that can't be read is dropped: n.record
// is nil. ok is false if the link had to be closed for it. Signatures are checked later,
// and of news alone.
func (c *Core) open(from *link, a *pb.Announcement) (n news, ok bool) {
	err := pb.CheckAnnouncement(a)
	var r *Record
	if err == nil {
		r, err = c.cfg.Open(a.GetRecord())
	}
	lost := a.GetType() == pb.AnnouncementType_LOST
	var words []*pb.Testimony
	if lost && err == nil {
		words, err = parseTestimonies(a.GetTestimonies())
	}
	if err != nil {
		return n, c.skip(from, err)
	}
	n = news{record: r, state: a.GetType(), hops: a.GetHops(), said: c.now - fromAge(a.GetAge()), broadcasts: a.GetBroadcasts()}
	if n.state != r.Type && (!lost || r.Type != pb.AnnouncementType_JOIN) {
		c.violation(from, "an announcement that its record does not bear out")
		return n, false
	}
	if r.Network != c.cfg.Network {
		c.violation(from, "an announcement of another network")
		return n, false
	}
	if lost {
		n.proof, n.witnesses = a.GetTestimonies(), words
		if why := n.judgeProof(); why != "" {
			c.violation(from, why)
			return n, false
		}
	}
	return n, true
}

func parseTestimonies(list []*pb.Signed) (words []*pb.Testimony, err error) {
	for _, signed := range list {
		t, err := pb.ParseTestimony(signed)
		if err != nil {
			return nil, err
		}
		words = append(words, t)
	}
	return words, nil
}

// judgeProof says what is wrong with the testimonies of a LOST: two at least, of
// different members, about this version.
func (n *news) judgeProof() (why string) {
	if len(n.witnesses) < minTestimonies {
		return "somebody is called lost without testimonies"
	}
	var keys [][]byte
	for _, t := range n.witnesses {
		switch {
		case certs.PublicKey(t.GetSubject()) != n.record.Key || t.GetEpoch() != n.record.Epoch || t.GetSeq() != n.record.Seq:
			return "a testimony about somebody else"
		case certs.PublicKey(t.GetKey()) == n.record.Key || slices.ContainsFunc(keys, func(k []byte) bool { return string(k) == string(t.GetKey()) }):
			return "testimonies of the same peer, or of the lost one"
		}
		keys = append(keys, t.GetKey())
	}
	return ""
}

// learn takes an announcement that was flooded. What is new goes to all other
// neighbours; who sends something older is told what we hold. It returns false if
// the link had to be closed for it.
func (c *Core) learn(from *link, a *pb.Announcement) bool {
	n, ok := c.open(from, a)
	if n.record == nil || !ok || !c.isNews(from, n) || c.isJudged(n) {
		return ok
	}
	if !c.signed(n) {
		c.violation(from, "an announcement that its subject, or a witness, has not signed")
		return false
	}
	c.accept(from, n)
	return !c.ended
}

func (c *Core) signed(n news) bool {
	for _, claim := range n.claims() {
		if !c.knownClaim(n, claim) && !c.cfg.Verify(claim) {
			return false
		}
	}
	return true
}

// knownClaim says that the very same record stands in the table, verified.
func (c *Core) knownClaim(n news, claim Claim) bool {
	if claim.Testimony {
		return false
	}
	held := c.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	return held != nil && (held.record == n.record || proto.Equal(held.record.Signed, n.record.Signed))
}

// isNews compares an announcement with what we hold.
func (c *Core) isNews(from *link, n news) bool {
	held := c.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	if !n.credible(from) || c.expired(n, held != nil) || n.state != pb.AnnouncementType_LOST && c.table.forgotten.covers(n.record) {
		return false
	}
	if held == nil {
		return true
	}
	order := n.version().compare(held.version())
	switch {
	case order == 0 && held.missing:
		c.found(held)
		fallthrough
	case order == 0:
		c.setHops(held, from, n.hops)
	case order < 0 && !held.missing:
		c.answerOlder(from, held)
	}
	return order > 0
}

// accept merges verified news into the table, passes them on and shows what they change.
func (c *Core) accept(from *link, n news) {
	r := n.record
	e := c.table.lookup(r.tag, r.ID, r.Key)
	if e == c.self {
		c.learnOfSelf(from, n)
		return
	}
	if n.state == pb.AnnouncementType_LOST && e != nil && e.alive() && !c.believes(n) {
		c.note(Debug, "an accusation that is not believed", "peer", string(r.ID))
		c.warn(e, n)
		return
	}
	if e != nil && c.awaitLastWords(e, n) {
		return
	}
	refuted := e != nil && e.state == pb.AnnouncementType_LOST && n.state == pb.AnnouncementType_JOIN
	if e == nil {
		if e = c.makeEntry(from, n); e == nil {
			return
		}
	} else {
		c.change(e, n)
	}
	if from != nil {
		c.setHops(e, from, n.hops)
	}
	c.reroute(e)
	c.welcome(e)
	switch {
	case e.isGuest():
	case refuted || c.mayFlood(e):
		c.flood(from, e)
	case n.state == pb.AnnouncementType_LOST:
		c.warn(e, n) // it shall refute, though others are not told yet
	}
	c.refresh(r.ID)
	c.checkOwnID(e)
}

// makeEntry makes room in the table and an entry there.
func (c *Core) makeEntry(from *link, n news) *entry {
	r := n.record
	if from != nil && from.fetch == nil && !from.mayIntroduce(c.now) {
		c.note(Debug, "too many unknown peers from one link, announcement dropped", "peer", string(from.peer))
		return nil
	}
	evicted, ok := c.table.room(r, n.state, c.self, c.now)
	if !ok {
		c.note(Debug, "no room in the table, announcement dropped", "id", string(r.ID), "key", r.Key.String())
		return nil
	}
	if evicted != nil {
		c.evict(evicted)
	}
	e := newEntry(r, n.state, n.said)
	if n.proof != nil {
		e.with().proof = n.proof
	}
	c.table.insert(e)
	c.beginRun(e, n.broadcasts)
	c.attach(e)
	if n.state == pb.AnnouncementType_JOIN {
		c.arrived(e)
	} else {
		c.addGone(e)
	}
	return e
}

// change brings an entry up to date.
func (c *Core) change(e *entry, n news) {
	r := n.record
	was, wasAlive, old := e.version(), e.alive() || e.suspect(c.now), e.record
	if r.Epoch > was.epoch {
		c.lastWords(e)
		e.with().neighbours = nil
		c.arrived(e)
	}
	if was.state == pb.AnnouncementType_LOST && n.state == pb.AnnouncementType_JOIN && r.Epoch == was.epoch {
		c.countRefuted(e)
		d := e.with()
		if c.now > d.revivedAt+patienceFor {
			d.revived = 0
		}
		d.revived, d.revivedAt = min(d.revived+1, 5), c.now
	}
	e.said = n.said
	c.table.set(e, r, n.state)
	if r.Epoch > was.epoch {
		c.beginRun(e, n.broadcasts)
	}
	if n.proof != nil || e.side != nil {
		e.with().proof = n.proof
	}
	switch n.state {
	case pb.AnnouncementType_JOIN:
		if d := e.side; d != nil {
			d.failures, d.nextDial, d.doomed = 0, c.now, 0
		}
		c.leaveAddresses(e, old)
	case pb.AnnouncementType_LOST:
		c.bury(e, wasAlive)
	default:
		c.rememberGone(old, e.our().lastAddress)
		c.unroute(e)
	}
}

// bury does what follows from LOST: the peer has some time to refute before users see
// it. A link to it that is silent stays until QUIC gives it up, but as no neighbour's: should
// the peer live after all, as one that was stopped for a while, it hears by this very
// link what was said, and needs no new one.
func (c *Core) bury(e *entry, wasAlive bool) {
	wait := suspectFor
	if c.now-e.said >= oldAfter {
		wait = suspectOld
	}
	c.addGone(e)
	c.unroute(e)
	for _, l := range c.links {
		if l.neighbour && l.key == e.record.Key && c.now-l.heard > freshWithin {
			c.announceTo(l, e)
			c.send(l, &pb.Neighbour{Type: pb.NeighbourType_END})
			c.endNeighbour(l)
		}
	}
	if wasAlive {
		e.with().doomed = c.now + wait
		c.doomed = append(c.doomed, e)
		c.wake(c.now + wait)
	}
}

// arrived notes a run that has just begun, see repeatBroadcasts.
func (c *Core) arrived(e *entry) {
	if c.ready && len(c.arrivals) < maxArrivals {
		c.arrivals = append(c.arrivals, arrival{e, e.said})
	}
}

// answerOlder tells who sent an older statement what we hold.
func (c *Core) answerOlder(to *link, held *entry) {
	if to != nil && (held != c.self || !c.leaving) {
		c.announceTo(to, held)
	}
}

// flood queues an announcement for all neighbours, and guests, but the one it came from.
func (c *Core) flood(from *link, e *entry) {
	a := c.announcement(e)
	for _, l := range c.links {
		if l != from && (l.neighbour || l.isGuest()) {
			l.pending = append(l.pending, a)
		}
	}
}

// announceTo queues an announcement for one link.
func (c *Core) announceTo(l *link, e *entry) {
	l.pending = append(l.pending, c.announcement(e))
}

// announcement says what we hold of a peer.
func (c *Core) announcement(e *entry) *pb.Announcement {
	a := &pb.Announcement{
		Type: e.state, Record: e.record.Signed, Hops: uint32(c.distance(e)),
		Age: toAge(c.now - e.said), Broadcasts: broadcastsOf(e),
	}
	if e.state == pb.AnnouncementType_LOST {
		a.Testimonies = e.our().proof
	}
	return a
}

// maxBatch keeps a frame of announcements below pb.MaxControlFrame, in bytes.
const maxBatch = pb.MaxControlFrame - 24<<10

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
		c.out.Frames = append(c.out.Frames, Frame{Link: l.id, Data: c.encodeBatch(l.pending[:n])})
		l.pending = l.pending[n:]
	}
	l.pending = nil
}

// encodeBatch encodes announcements, once for all links that are sent the same.
func (c *Core) encodeBatch(list []*pb.Announcement) []byte {
	if !slices.Equal(list, c.encodedList) {
		c.encodedList = slices.Clone(list)
		c.encoded = encode(&pb.PropagationMessage{Announcements: list})
	}
	return c.encoded
}

// encode makes a frame of a content that the core itself has built.
func encode(content proto.Message) []byte {
	data, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic("core: a frame that can't be encoded: " + err.Error())
	}
	return data
}

// toAge is an age as it travels, fromAge one that has come.
func toAge(d time.Duration) uint32 {
	return uint32(min(max(0, d/time.Millisecond), math.MaxUint32))
}

func fromAge(age uint32) time.Duration { return time.Duration(age) * time.Millisecond }
