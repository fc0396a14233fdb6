package core

import (
	"fmt"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// Sizes of answers (guesses): how many announcements answer one request, in frames of
// pb.MaxAnnouncements, and how many buckets are asked about at once.
const (
	maxAnswer    = 512
	askedBuckets = 32
	maxRepeats   = 64
	syncTimeout  = 10 * time.Second // for each part of a table
	compareEvery = time.Minute      // of tables with one random neighbour, in case a flood has missed us
	maxVerifying = 8                // batches on their way for a link; then a newcomer asks for no more
)

// syncer synchronizes tables: a newcomer takes a whole one, and neighbours compare theirs.
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

// comparison is how far two tables have been compared over a link, on the side that asks.
type comparison struct {
	of      int      // buckets
	differ  []uint32 // buckets still to be compared, beginning with those asked about
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
// Two new neighbours, and once a minute two old ones, find out what differs. The peer whose
// request for neighbourhood was accepted asks: by then both flood to each other, so no change
// meanwhile is lost.
//
//	SyncDigest   ──▶  ◀── SyncReply(done): equal; else
//	                  ◀── SyncBuckets
//	SyncVersions ──▶  ◀── SyncReply ..., with what the asker lacks and the
//	                      versions that the other side lacks
//	Propagation  ──▶      these
//
// An entry that both hold in different versions is sent by both; the merge takes the greater.

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
	if p.asked == 0 { // a bucket too full to compare
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

// receiveSyncReply takes a part of a table. News in it is verified off the loop, so that a large
// table stalls nothing, and then merged.
func (sy *syncer) receiveSyncReply(l *link, reply *pb.SyncReply) {
	if l.fetch == nil && l.comparing == nil {
		sy.links.violation(l, "a table that was not asked for")
		return
	}
	b := &batch{link: l.id}
	read := false // whether anything could be read
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

// sendWanted announces the entries that the other side has found missing.
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

// batch is news from a table that is being verified.
type batch struct {
	link   LinkID
	news   []news
	claims []Claim
}

func (b *batch) add(n news) {
	b.news = append(b.news, n)
	b.claims = append(b.claims, n.claim())
}

// VerifyID names a batch.
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

// verified takes a batch whose signatures have been judged; nil if the name is not known.
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

// isJudged reports whether the very same statement is being verified already: a newcomer hears
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

// compareNow compares tables with one random neighbour now and then, in case a flood has missed
// us, and with all of them after we have found missing peers.
func (sy *syncer) compareNow() {
	var list []*link
	for _, l := range sy.links.list {
		if l.neighbour {
			list = append(list, l)
		}
	}
	switch {
	case len(list) == 0:
	case sy.compareAll:
		for _, l := range list {
			sy.compareTables(l)
		}
		sy.compareAll = false
	case sy.now >= sy.nextCompare:
		sy.nextCompare = sy.now + compareEvery/2 + sy.jitter(compareEvery)
		sy.compareTables(list[sy.cfg.Rand.IntN(len(list))])
	}
}

// A newcomer takes the whole table of one peer, a piece at a time. A slow, stuck or hostile door
// must not keep it from a good one: so the next door is asked when those asked so far bring
// nothing, or take long, and the first complete table is enough. The pieces of the others are
// kept, since they are signed.

// Times of that. The user notices the first; the others are guesses.
const (
	stuckAfter   = 2 * time.Second  // without a piece, before the next door is asked
	longAtIt     = 10 * time.Second // before a second door is asked as well; after twice that a third, and so on
	mostOvertime = 10 * time.Minute // above the time to join, while a table comes: 35 MB at 512 kbit/s
)

// minPace is how many entries of a table have to come in a second, in the mean, once the time
// to join is over: 64 kbit/s are 2 of the largest records, or 20 of the usual ones.
const minPace = 2

// maxFetched is more entries than any table has, which maxEntries bounds.
const maxFetched = 2 * maxEntries

// fetch is the taking of a whole table over a link.
type fetch struct {
	asked   time.Duration   // for the first piece
	moved   time.Duration   // when an entry came
	last    *Record         // the last entry that came; nil: none yet
	after   *Record         // the latest request was for the entries behind this one
	entries int             // that came
	next    *pb.SyncRequest // to be sent once fewer entries wait to be verified
	all     bool            // the last piece has come
}

// follows takes the next entry, and reports whether it lies behind all earlier ones in the order
// of tables: a door that repeats itself gets nowhere.
func (f *fetch) follows(r *Record, now time.Duration) bool {
	if f.last != nil && compareNames(r, f.last) <= 0 || f.entries == maxFetched {
		return false
	}
	f.last, f.moved = r, now
	f.entries++
	return true
}

// requestTable asks one door for its whole table, and the next one when that is due. Peers that
// have dialled us come after those that we have dialled, since they may be newcomers too. When
// the time to join is over all are asked.
func (sy *syncer) requestTable() {
	for {
		next, asked, stuck := (*link)(nil), 0, true
		newest := time.Duration(0)
		for _, l := range sy.links.list {
			switch {
			case l.state != linkUp:
			case l.fetch != nil:
				asked++
				newest = max(newest, l.fetch.asked)
				stuck = stuck && l.verifying == 0 && sy.now >= l.fetch.moved+stuckAfter
			case (next == nil || next.dial == nil && l.dial != nil) && sy.fetchFrom(l.key) == nil:
				next = l
			}
		}
		due := asked == 0 || stuck || sy.now >= newest+longAtIt<<min(asked-1, 16) || sy.joinBy != 0 && sy.now >= sy.joinBy
		if next == nil || !due {
			return
		}
		next.fetch = &fetch{asked: sy.now, moved: sy.now}
		sy.links.send(next, &pb.SyncRequest{})
	}
}

// fetchFrom is the fetch of a peer's table, over whichever link to it; nil if none is under way.
func (sy *syncer) fetchFrom(key certs.PublicKey) *fetch {
	for _, l := range sy.links.list {
		if l.key == key && l.state == linkUp && l.fetch != nil {
			return l.fetch
		}
	}
	return nil
}

// tableComes reports whether a table is coming fast enough to wait for it although the time to
// join is over.
func (sy *syncer) tableComes() bool {
	for _, l := range sy.links.list {
		f := l.fetch
		switch {
		case l.state != linkUp || f == nil || sy.now >= sy.joinBy+mostOvertime:
		case l.verifying > 0:
			return true
		case f.entries == 0:
			if sy.now < f.asked+stuckAfter {
				return true
			}
		case sy.now < f.moved+syncTimeout && f.entries >= minPace*int((sy.now-f.asked)/time.Second):
			return true
		}
	}
	return false
}

// receiveFetched decides what to ask for next of a whole table: the entries behind the last that
// could be read. If none of an answer could be read, the rest can't be asked for.
func (sy *syncer) receiveFetched(l *link, reply *pb.SyncReply) {
	f := l.fetch
	n := len(reply.GetAnnouncements())
	switch {
	case reply.GetDone():
		f.all = true
	case n == 0:
		sy.links.violation(l, "an empty piece of a table that is not the last")
	case reply.GetLast() && f.last == f.after:
		f.all = true
	case reply.GetLast():
		f.next, f.after = &pb.SyncRequest{AfterId: string(f.last.ID), AfterKey: f.last.Key[:]}, f.last
	}
}

// continueFetch asks for more of a whole table, now that some of it is merged. With all of it a
// newcomer is ready, and takes no other table to its end.
func (sy *syncer) continueFetch(l *link) {
	f := l.fetch
	switch {
	case f.all && l.verifying == 0:
		l.fetch = nil
		sy.happen(tableTaken{})
	case f.next != nil && sy.ready:
		l.fetch = nil
	case f.next != nil && l.verifying < maxVerifying:
		sy.links.send(l, f.next)
		f.next = nil
	}
	if l.fetch == nil && l.compareThen && l.neighbour {
		l.compareThen = false
		sy.compareTables(l)
	}
}

// tableSoFar describes, for the user, what a door has done since it let us in.
func (sy *syncer) tableSoFar(t *target) string {
	for _, l := range sy.links.list {
		if l.state != linkUp || l.door != t {
			continue
		}
		switch f := sy.fetchFrom(l.key); {
		case f == nil:
			return "let us in, and was not asked for its table"
		case f.entries > 0:
			return fmt.Sprintf("let us in, and sent %d entries of its table, but not all of it", f.entries)
		}
	}
	return "let us in, and its table did not come"
}
