package core

import (
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// gossip is what announcements say: it opens and judges those that come, and queues
// those that go out.
type gossip struct {
	*env
	table    *table
	links    *links
	heldBack []*entry // they change too often
}

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
func (g *gossip) open(from *link, a *pb.Announcement) (n news, ok bool) {
	err := pb.CheckAnnouncement(a)
	var r *Record
	if err == nil {
		r, err = g.cfg.Open(a.GetRecord())
	}
	lost := a.GetType() == pb.AnnouncementType_LOST
	var words []*pb.Testimony
	if lost && err == nil {
		words, err = parseTestimonies(a.GetTestimonies())
	}
	if err != nil {
		return n, g.links.skip(from, err)
	}
	n = news{record: r, state: a.GetType(), hops: a.GetHops(), said: g.now - fromAge(a.GetAge()), broadcasts: a.GetBroadcasts()}
	if n.state != r.Type && (!lost || r.Type != pb.AnnouncementType_JOIN) {
		g.links.violation(from, "an announcement that its record does not bear out")
		return n, false
	}
	if r.Network != g.cfg.Network {
		g.links.violation(from, "an announcement of another network")
		return n, false
	}
	if lost {
		n.proof, n.witnesses = a.GetTestimonies(), words
		if why := n.judgeProof(); why != "" {
			g.links.violation(from, why)
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

func (g *gossip) signed(n news) bool {
	for _, claim := range n.claims() {
		if !g.knownClaim(n, claim) && !g.cfg.Verify(claim) {
			return false
		}
	}
	return true
}

// knownClaim says that the very same record stands in the table, verified.
func (g *gossip) knownClaim(n news, claim Claim) bool {
	if claim.Testimony {
		return false
	}
	held := g.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	return held != nil && (held.record == n.record || proto.Equal(held.record.Signed, n.record.Signed))
}

// isNews compares an announcement with what we hold.
func (g *gossip) isNews(from *link, n news) bool {
	held := g.table.lookup(n.record.tag, n.record.ID, n.record.Key)
	if !n.credible(from) || g.expired(n, held != nil) || n.state != pb.AnnouncementType_LOST && g.table.forgotten.covers(n.record) {
		return false
	}
	if held == nil {
		return true
	}
	order := n.version().compare(held.version())
	switch {
	case order == 0 && held.missing:
		g.table.found(held)
		fallthrough
	case order == 0:
		g.links.setHops(held, from, n.hops)
	case order < 0 && !held.missing:
		g.answerOlder(from, held)
	}
	return order > 0
}

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

// arrived notes a run that has just begun, see repeatBroadcasts.
func (bc *broadcasts) arrived(e *entry) {
	if bc.ready && len(bc.arrivals) < maxArrivals {
		bc.arrivals = append(bc.arrivals, arrival{e, e.said})
	}
}

// answerOlder tells who sent an older statement what we hold.
func (g *gossip) answerOlder(to *link, held *entry) {
	if to != nil && (held != g.table.self || !g.leaving) {
		g.announceTo(to, held)
	}
}

// flood queues an announcement for all neighbours, and guests, but the one it came from.
func (g *gossip) flood(from *link, e *entry) {
	a := g.announcement(e)
	for _, l := range g.links.list {
		if l != from && (l.neighbour || l.isGuest()) {
			l.pending = append(l.pending, a)
		}
	}
}

// announceTo queues an announcement for one link.
func (g *gossip) announceTo(l *link, e *entry) {
	l.pending = append(l.pending, g.announcement(e))
}

// announcement says what we hold of a peer.
func (g *gossip) announcement(e *entry) *pb.Announcement {
	a := &pb.Announcement{
		Type: e.state, Record: e.record.Signed, Hops: uint32(g.links.distance(e)),
		Age: toAge(g.now - e.said), Broadcasts: broadcastsOf(e),
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
