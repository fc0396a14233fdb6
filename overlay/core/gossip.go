package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// How often the news of one peer is passed on, guesses.
const (
	changeEvery   = 10 * time.Second // six announcements a minute of one peer
	changesAtOnce = 6
)

// announcements returns announcements of the entries, as we hold them.
func (g *gossip) announcements(list []*entry) []*pb.Announcement {
	out := make([]*pb.Announcement, 0, len(list))
	for _, e := range list {
		out = append(out, g.announcement(e))
	}
	return out
}

// gossip handles announcements: it opens and judges those that come, and queues those that go
// out.
type gossip struct {
	*env
	table    *table
	links    *links
	heldBack []*entry // entries that change too often to be announced at once
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
	ours      bool // found by a probe of our own
	// broadcasts is how many broadcasts of the run the sender has had.
	broadcasts uint64
}

func (n *news) version() version { return version{n.record.Epoch, n.record.Seq, n.state, n.record.tie} }

// claims returns the signatures that the announcement rests on.
func (n *news) claims() []Claim {
	list := make([]Claim, 0, 1+len(n.proof))
	list = append(list, Claim{Key: n.record.Key, Signed: n.record.Signed})
	for i, t := range n.witnesses {
		list = append(list, Claim{Testimony: true, Key: certs.PublicKey(t.GetKey()), Signed: n.proof[i]})
	}
	return list
}

// open checks an announcement by itself. One that can't be read is dropped: n.record is nil. ok
// is false if the link had to be closed for it. Signatures are checked later, and only if it is
// news.
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

// judgeProof says what is wrong with the testimonies of a LOST: it takes at least two, of
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

// knownClaim reports whether the very same record is in the table, verified.
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
	if !n.credible(from) || g.expired(n, held != nil) || n.state != pb.AnnouncementType_LOST && g.table.tombstones.covers(n.record) {
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

// answerOlder sends what we hold to a peer that has announced something older.
func (g *gossip) answerOlder(to *link, held *entry) {
	if to != nil && (held != g.table.self || !g.leaving) {
		g.announceTo(to, held)
	}
}

// flood queues an announcement for all neighbours and guests except the one that it came from.
func (g *gossip) flood(from *link, e *entry) {
	a := g.announcement(e)
	for _, l := range g.links.list {
		if l != from && (l.neighbour || l.leadsToGuest()) {
			l.pending = append(l.pending, a)
		}
	}
}

// announceTo queues an announcement for one link.
func (g *gossip) announceTo(l *link, e *entry) {
	l.pending = append(l.pending, g.announcement(e))
}

// announcement returns what we hold of a peer.
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

// expired reports whether an announcement is too old to be taken. A JOIN holds for a lease unless
// it is renewed; a lost peer is remembered for longer, so that no JOIN outlives the LOST that
// buries it. A LEAVE is remembered for minutes, and later taken only by a peer that still holds
// the JOIN it buries. Ages travel with announcements and grow by each peer's own clock; the time
// of day does not matter.
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

// mayFlood limits what is passed on of others: a peer that changes more than six times a minute
// is announced once in ten seconds, as it is then. So relaying a flood is bounded whatever its
// source does. Refutations are not held back, since there is at most one for each LOST.
func (g *gossip) mayFlood(e *entry) bool {
	if e.side == nil && e.record.Seq == 0 && !e.buried() {
		return true // its first announcement
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

// floodHeldBack announces the entries that had changed too often.
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

// credible reports whether an announcement of a visitor comes from the visitor itself; all others
// are credible. So no peer can make another one visible to a single peer by calling it that
// peer's visitor.
func (n *news) credible(from *link) bool {
	return !n.record.Visitor || from != nil && from.key == n.record.Key && n.state != pb.AnnouncementType_LOST
}

// told floods what has changed, except guests and entries that change too often: then it returns
// false.
func (g *gossip) told(ch change) bool {
	if ch.entry.isGuest() {
		return true
	}
	if !ch.news.ours && !ch.refutes() && !g.mayFlood(ch.entry) {
		return false
	}
	g.flood(ch.from, ch.entry)
	return true
}
