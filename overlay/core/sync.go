package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Sizes of answers (guesses): so many announcements answer one request, in frames
// of pb.MaxAnnouncements; so many buckets are asked about at once.
const (
	maxAnswer    = 512
	askedBuckets = 32
	maxRepeats   = 64
	maxVerifying = 8 // batches on their way for a link; then a newcomer asks for no more
)

// syncer takes the table of another peer, and compares ours with those of neighbours.
type syncer struct {
	*env
	table  *table
	links  *links
	gossip *gossip

	batches     map[VerifyID]*batch // what is being verified
	judged      map[uint64]*Record  // the records in them, by tie
	lastVerify  VerifyID
	nextCompare time.Duration
	compareAll  bool // with every neighbour, now
}

// comparison is how far two tables have been compared over a link, on the side
// that asks.
type comparison struct {
	of      int      // buckets
	differ  []uint32 // buckets that are still to be compared, those asked about first
	asked   int      // of these
	repeats int      // of the same question, since the answer was too long
	read    bool     // something in the answer could be read
	again   bool     // it is to be repeated when what came is verified
	updated time.Duration
}

// A newcomer takes the whole table of one peer:
//
//	SyncRequest ──▶  ◀── SyncReply ... SyncReply(last)  and so on until done
//
// Two that have become neighbours, and once a minute two that are, find out what
// differs. The one who asks is the one whose request for neighbourhood was
// accepted: then both flood to each other, so what changes meanwhile is not lost.
//
//	SyncDigest   ──▶  ◀── SyncReply(done): equal; else
//	                  ◀── SyncBuckets
//	SyncVersions ──▶  ◀── SyncReply ..., with what the asker lacks and the
//	                      versions that the other side lacks
//	Propagation  ──▶      these
//
// An entry that both hold in different versions is sent by both; the merge takes
// the greater.

// receiveSyncRequest sends the next part of our table.
func (sy *syncer) receiveSyncRequest(l *link, request *pb.SyncRequest) {
	rest := sy.table.entries
	if len(request.GetAfterKey()) != 0 {
		rest = sy.table.after(certs.ID(request.GetAfterId()), certs.PublicKey(request.GetAfterKey()))
	}
	var part []*entry
	for len(rest) > 0 && len(part) < maxAnswer {
		if rest[0].public() {
			part = append(part, rest[0])
		}
		rest = rest[1:]
	}
	sy.answer(l, sy.gossip.announcements(part), len(rest) == 0, nil)
}

// announcements says what we hold of the entries.
func (g *gossip) announcements(list []*entry) []*pb.Announcement {
	out := make([]*pb.Announcement, 0, len(list))
	for _, e := range list {
		out = append(out, g.announcement(e))
	}
	return out
}

// answer sends announcements in as many frames as they need.
func (sy *syncer) answer(l *link, list []*pb.Announcement, done bool, wants []uint64) {
	for {
		n := takeBatch(list)
		reply := &pb.SyncReply{Announcements: list[:n]}
		list = list[n:]
		if len(list) == 0 {
			reply.Last, reply.Done, reply.Wants = true, done, wants
		}
		sy.links.send(l, reply)
		if len(list) == 0 {
			return
		}
	}
}

// compareTables begins a comparison with a neighbour.
func (sy *syncer) compareTables(l *link) {
	if l.fetch != nil {
		l.compareThen = true
		return
	}
	if l.comparing == nil {
		l.comparing = &comparison{updated: sy.now}
		sy.links.send(l, &pb.SyncDigest{Root: sy.table.digest()})
	}
}

func (sy *syncer) receiveSyncDigest(l *link, m *pb.SyncDigest) {
	if slices.Equal(m.GetRoot(), sy.table.digest()) {
		sy.links.send(l, &pb.SyncReply{Done: true, Last: true})
		return
	}
	sy.links.send(l, &pb.SyncBuckets{Hashes: sy.table.bucketHashes(bucketCount(len(sy.table.entries)))})
}

func (sy *syncer) receiveSyncBuckets(l *link, m *pb.SyncBuckets) {
	if l.comparing == nil || l.comparing.of != 0 {
		sy.links.violation(l, "hashes of a table that were not asked for")
		return
	}
	p := l.comparing
	p.of = len(m.GetHashes())
	for i, own := range sy.table.bucketHashes(p.of) {
		if own != m.GetHashes()[i] {
			p.differ = append(p.differ, uint32(i))
		}
	}
	sy.askVersions(l)
}

// askVersions asks about the next buckets that differ, or ends the comparison.
func (sy *syncer) askVersions(l *link) {
	p := l.comparing
	p.updated, p.read = sy.now, false
	if len(p.differ) == 0 {
		l.comparing = nil
		return
	}
	request := &pb.SyncVersions{Of: uint32(p.of)}
	for p.asked = 0; p.asked < min(len(p.differ), askedBuckets); p.asked++ {
		i := p.differ[p.asked]
		bucket := sy.table.bucket(int(i), p.of)
		if len(request.Versions)+len(bucket) > pb.MaxVersions {
			break
		}
		request.Buckets = append(request.Buckets, i)
		for _, e := range bucket {
			if e.public() {
				request.Versions = append(request.Versions, e.versionHash())
			}
		}
	}
	if p.asked == 0 { // a bucket that is too full to be compared
		p.differ = p.differ[1:]
		sy.askVersions(l)
		return
	}
	sy.links.send(l, request)
}

func (sy *syncer) receiveSyncVersions(l *link, m *pb.SyncVersions) {
	theirs := slices.Clone(m.GetVersions())
	slices.Sort(theirs)
	wanted := make([]bool, len(theirs))
	for i := range wanted {
		wanted[i] = true
	}
	var lacking []*entry
	for _, b := range m.GetBuckets() {
		for _, e := range sy.table.bucket(int(b), int(m.GetOf())) {
			switch i, ok := slices.BinarySearch(theirs, e.versionHash()); {
			case !e.public(): // as if we did not have it
			case ok:
				wanted[i] = false
			default:
				lacking = append(lacking, e)
			}
		}
	}
	var wants []uint64
	for i, w := range wanted {
		if w {
			wants = append(wants, theirs[i])
		}
	}
	part := lacking[:min(len(lacking), maxAnswer)]
	sy.answer(l, sy.gossip.announcements(part), len(part) == len(lacking), wants)
}

// receiveSyncReply takes a part of a table. What is new in it is verified off the
// loop, so that a large table stalls nothing, and then merged.
func (sy *syncer) receiveSyncReply(l *link, reply *pb.SyncReply) {
	if l.fetch == nil && l.comparing == nil {
		sy.links.violation(l, "a table that was not asked for")
		return
	}
	b := &batch{link: l.id}
	read := false // anything that can be
	for _, a := range reply.GetAnnouncements() {
		n, ok := sy.gossip.open(l, a)
		if !ok {
			return
		}
		if n.record == nil {
			continue
		}
		read = true
		if l.fetch != nil && !l.fetch.follows(n.record, sy.now) {
			sy.links.violation(l, "a piece of a table that does not go on")
			return
		}
		if sy.gossip.isNews(l, n) && !sy.isJudged(n) {
			b.add(n)
		}
	}
	if l.fetch != nil {
		sy.receiveFetched(l, reply)
	} else {
		sy.receiveCompared(l, reply, read)
	}
	if l.state == linkUp {
		sy.verify(l, b)
	}
}

// receiveCompared sends what the other side lacks and goes on comparing.
func (sy *syncer) receiveCompared(l *link, reply *pb.SyncReply, read bool) {
	p := l.comparing
	p.updated, p.read = sy.now, p.read || read
	sy.sendWanted(l, reply.GetWants())
	switch {
	case !reply.GetLast():
	case p.of == 0:
		l.comparing = nil // the tables are equal
	case reply.GetDone() || !p.read || p.repeats == maxRepeats:
		p.differ, p.asked, p.repeats = p.differ[p.asked:], 0, 0
		sy.askVersions(l)
	default:
		p.again = true
		p.repeats++
	}
}

// sendWanted announces what the other side has found out to lack.
func (sy *syncer) sendWanted(l *link, wants []uint64) {
	if len(wants) == 0 {
		return
	}
	p := l.comparing
	wants = slices.Clone(wants)
	slices.Sort(wants)
	for _, i := range p.differ[:p.asked] {
		for _, e := range sy.table.bucket(int(i), p.of) {
			if _, ok := slices.BinarySearch(wants, e.versionHash()); ok && e.public() {
				sy.gossip.announceTo(l, e)
			}
		}
	}
}

// batch is news from a table on its way to be verified.
type batch struct {
	link   LinkID
	news   []news
	claims []Claim
}

func (b *batch) add(n news) {
	b.news = append(b.news, n)
	b.claims = append(b.claims, n.claims()...)
}

// VerifyID names a wish to verify.
type VerifyID uint64

// verify has the signatures of a batch judged, off the loop.
func (sy *syncer) verify(l *link, b *batch) {
	l.verifying++
	if len(b.claims) == 0 {
		sy.happen(judged{b, nil})
		return
	}
	for _, n := range b.news {
		if n.state == n.record.Type { // a LOST is not the JOIN that it carries
			sy.judged[n.record.tie] = n.record
		}
	}
	sy.lastVerify++
	sy.batches[sy.lastVerify] = b
	sy.out.Verify = append(sy.out.Verify, Verify{sy.lastVerify, b.claims})
}

// verified ends the wish to have a batch judged; nil if there is none of that name.
func (sy *syncer) verified(id VerifyID) *batch {
	b := sy.batches[id]
	if b == nil {
		return nil
	}
	delete(sy.batches, id)
	for _, n := range b.news {
		delete(sy.judged, n.record.tie)
	}
	return b
}

// isJudged says that the very same statement is being verified: a newcomer hears
// everything from several sides at once.
func (sy *syncer) isJudged(n news) bool {
	r := sy.judged[n.record.tie]
	return r != nil && n.state == r.Type && (r == n.record || proto.Equal(r.Signed, n.record.Signed))
}

// continueSync goes on with a table, now that some of it is merged.
func (sy *syncer) continueSync(l *link) {
	if l.fetch != nil {
		sy.continueFetch(l)
	}
	if p := l.comparing; p != nil && p.again && l.verifying == 0 {
		p.again = false
		sy.askVersions(l)
	}
}
