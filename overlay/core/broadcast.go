package core

import (
	"encoding/binary"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// How broadcasts reach everybody, once and in the order of their author.
//
// The author numbers them from 1 on. A new one is passed on at once, over links that keep the
// order: as long as no link comes or goes everybody gets an author's broadcasts in order, since a
// peer that passes one on has passed on those before it over the same links. Each peer remembers
// those of the last minutes.
//
//	BroadcastsHeld ──▶                 how far I have come in each run
//	               ◀── BroadcastsWanted   the next ones, from the peer that is behind
//	Broadcast ... ──▶, BroadcastsHeld
//
// Two peers tell each other their positions when they have become neighbours, and now and then
// after that; the one that is behind pulls what it lacks. So do the peers of Scuttlebutt (van
// Renesse, Dumitriu, Gough, Thomas 2008), by the highest number of each author. A peer that finds
// a hole asks a random neighbour. Pulled broadcasts are not flooded, since most have them: the
// other neighbours are told the new positions, as by Plumtree's lazy push (Leitão, Pereira,
// Rodrigues 2007).
//
// One that comes before its predecessors is held back until they have come, or for holdFor since
// the last that did; then they are passed over and never shown. A lost author may come back, and
// with it the missing ones: they are waited for as long as there is memory. Nobody signs a
// position, so it decides only what is waited for.

// Bounds, all guesses.
const (
	memoryFor  = 5 * time.Minute
	maxRecent  = 4096
	maxRecentB = 8 << 20 // bytes; a broadcast held back takes twice its size
	maxOfOne   = maxRecent / 2
	maxOfOneB  = maxRecentB / 2
	holdFor    = 7 * time.Second // many round trips; by then a peer that was cut off is called lost

	recentFor = 5 * time.Second // how long a broadcast waits for a record, which may come by another way
	maxEarly  = 64

	askAgain     = 1 * time.Second       // without an answer, or for a hole to close by itself
	tellAfter    = 50 * time.Millisecond // to collect what else is pulled
	tellAgain    = 2 * time.Second       // to a new neighbour, which has all records by then as a rule
	tellEvery    = time.Minute
	lastWordsFor = 2 * time.Second // how long the end of a peer is not shown while some are missing
	answerB      = 256 << 10       // bytes in an answer, a small part of what may wait on a link
	answerMost   = 256             // broadcasts in an answer, which take 13 ms to verify

	// Rate limit of a link's positions and questions: everything there is at once, and a little
	// afterwards.
	positionBurst = 64
	positionEvery = 100 * time.Millisecond

	broadcastID = 1 << 63 // the counters of broadcasts have this bit
)

// broadcasts floods messages to everyone, and shows those of each author once and in its order.
type broadcasts struct {
	*env
	table *table
	links *links
	doubt *doubt

	said        uint64             // by us
	runs        map[uint64]*run    // with remembered broadcasts, by name
	recent      []*recentBroadcast // in the order in which they came
	recentBytes int
	behind      []*run // that lack some, or hold some back
	early       []earlyBroadcast
}

// earlyBroadcast waits for its author's record.
type earlyBroadcast struct {
	at      time.Duration
	link    LinkID
	author  certs.ID
	message *pb.Broadcast
}

// say handles Broadcast.
func (bc *broadcasts) say(body string, sentAt int64) [pb.MessageIDSize]byte {
	bc.said++
	key := bc.cfg.Identity.Key()
	prefix := certs.MessagePrefix(key, bc.cfg.Epoch, bc.cfg.Nonce)
	id := binary.BigEndian.AppendUint64(prefix[:], broadcastID|bc.said)
	content := bc.cfg.Identity.SignBroadcast(&pb.BroadcastContent{
		Id: id, Sender: string(bc.cfg.ID), Key: key[:], Network: bc.cfg.Network, Content: body, SentAt: sentAt,
	})
	r := bc.runOf(bc.table.self)
	r.next, r.known, r.heard = bc.said+1, bc.said, true
	bc.remember(&recentBroadcast{run: r, number: bc.said, at: bc.now, said: bc.now, signed: content})
	bc.keepBounds(r)
	bc.spread(nil, content, 0, bc.now)
	return [pb.MessageIDSize]byte(id)
}

// spread sends a broadcast to all neighbours and guests except the one that it came from. A peer
// without neighbours uses whatever links it has.
func (bc *broadcasts) spread(from *link, content *pb.Signed, hops uint32, said time.Duration) {
	if hops > pb.MaxHops {
		return
	}
	alone := bc.links.neighbours() == 0
	var data []byte
	for _, l := range bc.links.list {
		if l == from || l.state != linkUp || !l.neighbour && !l.leadsToGuest() && !alone {
			continue
		}
		bc.links.flushLink(l)
		if data == nil {
			data = encode(&pb.Broadcast{Content: content, Hops: hops, Age: toAge(bc.now - said)})
		}
		bc.out.Frames = append(bc.out.Frames, Frame{Link: l.id, Data: data, Relayed: from != nil})
	}
}

// receiveBroadcast takes a broadcast: a new one is kept, passed on at once, and shown when its
// turn comes.
func (bc *broadcasts) receiveBroadcast(l *link, m *pb.Broadcast) {
	content, err := pb.ParseBroadcast(m.GetContent())
	if err != nil {
		bc.links.skip(l, err)
		return
	}
	if content.GetNetwork() != bc.cfg.Network {
		bc.links.violation(l, "a broadcast of another network")
		return
	}
	id, key := certs.ID(content.GetSender()), certs.PublicKey(content.GetKey())
	if key == bc.cfg.Identity.Key() {
		return
	}
	e := bc.table.get(id, key)
	if e == nil || [8]byte(content.GetId()[:8]) != certs.MessagePrefix(key, e.record.Epoch, e.record.Nonce) {
		// A run that we don't know may be over, or about to be announced.
		if len(bc.early) < maxEarly {
			bc.early = append(bc.early, earlyBroadcast{bc.now, l.id, id, m})
		}
		return
	}
	counter := binary.BigEndian.Uint64(content.GetId()[8:])
	r := bc.runOf(e)
	number := counter &^ broadcastID
	if counter&broadcastID == 0 || !r.audible() || r.has(number) {
		return
	}
	if !bc.cfg.Verify(Claim{Broadcast: true, Key: key, Signed: m.GetContent()}) {
		bc.links.violation(l, "a broadcast that its author has not signed")
		return
	}
	hops, said := min(m.GetHops()+1, pb.MaxHops), bc.now-min(fromAge(m.GetAge()), memoryFor)
	bc.remember(&recentBroadcast{
		run: r, number: number, at: bc.now, said: said, signed: m.GetContent(), hops: hops, content: content, direct: l.key == key,
	})
	r.await(number)
	if !bc.answers(l, r, number) {
		bc.spread(l, m.GetContent(), m.GetHops()+1, said)
	}
	bc.showBroadcasts(r)
	bc.keepBounds(r)
}

// releaseEarly is called once the user has been shown that the author is here: the broadcasts
// that came before its record, and those held back, follow.
func (bc *broadcasts) releaseEarly(author certs.ID) {
	waiting := bc.early
	bc.early = nil
	for _, b := range waiting {
		if b.author != author {
			bc.early = append(bc.early, b)
		} else if l := bc.links.link(b.link); l != nil && l.state == linkUp {
			bc.receiveBroadcast(l, b.message)
		}
	}
	if e := bc.table.shown(author); e != nil && e.our().run != nil {
		r := e.our().run
		r.advanced = bc.now // what is missing may come with its author
		bc.showBroadcasts(r)
	}
}

// repeatBroadcasts sends our latest broadcasts over a link to a peer that is not our neighbour,
// so that our goodbye overtakes none of them.
func (bc *broadcasts) repeatBroadcasts(l *link) {
	since := l.since()
	for _, b := range bc.recent {
		if b.run.entry == bc.table.self && b.said >= since && bc.now <= b.at+recentFor {
			bc.links.send(l, &pb.Broadcast{Content: b.signed, Age: toAge(bc.now - b.said)})
		}
	}
}

// expireBroadcasts forgets broadcasts whose time is over, pulls what is lacking, and tells the
// neighbours how far we have come.
func (bc *broadcasts) expireBroadcasts() {
	for len(bc.recent) > 0 && bc.now > bc.recent[0].at+memoryFor {
		bc.forgetBroadcast(bc.recent[0])
	}
	bc.early = slices.DeleteFunc(bc.early, func(b earlyBroadcast) bool { return bc.now > b.at+recentFor })
	bc.behind = slices.DeleteFunc(bc.behind, func(r *run) bool { return !bc.pursue(r) })
	for _, l := range bc.links.list {
		if l.neighbour && bc.now >= l.tellAt {
			bc.tell(l)
		}
	}
}

// told ends the old run of a peer and begins the new one, at the number that the sender says.
func (bc *broadcasts) told(ch change) {
	if !ch.begins() {
		return
	}
	if ch.old != nil {
		bc.lastWords(ch.entry)
	}
	if n := ch.news.broadcasts; n > 0 {
		if r := bc.runOf(ch.entry); !r.heard && len(r.recent) == 0 {
			r.next = max(n, r.floor) + 1
		}
	}
}

// runOf returns the run that the record of a peer belongs to.
func (bc *broadcasts) runOf(e *entry) *run {
	d := e.with()
	if d.run == nil || !d.run.isOf(e.record) {
		prefix := certs.MessagePrefix(e.record.Key, e.record.Epoch, e.record.Nonce)
		name := binary.BigEndian.Uint64(prefix[:])
		d.run = bc.runs[name]
		if d.run == nil {
			floor := bc.cfg.Shown[ShownBroadcasts{e.record.Key, e.record.Epoch, e.record.Nonce}]
			d.run = &run{epoch: e.record.Epoch, nonce: e.record.Nonce, name: name, floor: floor, next: floor + 1}
		}
		d.run.entry = e
	}
	return d.run
}

// showBroadcasts shows the next broadcasts of a run.
func (bc *broadcasts) showBroadcasts(r *run) {
	for b := r.held(); b != nil && b.number == r.next && bc.reachesUser(b); b = r.held() {
		bc.out.Events = append(bc.out.Events, Broadcasted{b.content, b.direct, r.epoch, r.nonce, b.number})
		b.content = nil
		r.next, r.heard, r.advanced = r.next+1, true, bc.now
	}
	if r.held() != nil {
		bc.fallBehind(r)
	}
}

// reachesUser reports whether a broadcast can be shown: its author has to be here. One that has
// gone may have said it while our user was cut off: then it is shown after its author has left,
// or once the author, called lost, has not come back for a while.
func (bc *broadcasts) reachesUser(b *recentBroadcast) bool {
	r, e := b.run, b.run.entry
	gone := e.state == pb.AnnouncementType_LEAVE || e.state == pb.AnnouncementType_LOST && bc.now >= b.at+holdFor && !e.suspect(bc.now)
	return r.here() || bc.ready && gone && e.seen == r.epoch && r.isOf(e.record) && bc.table.owner(e.record.ID, bc.now) == nil
}

// fallBehind puts a run among those that lack some.
func (bc *broadcasts) fallBehind(r *run) {
	if !r.behind {
		r.behind, r.advanced = true, bc.now
		bc.behind = append(bc.behind, r)
	}
}

// pursue asks for what a run lacks, and passes it over after holdFor. It reports whether the run
// still lacks something.
func (bc *broadcasts) pursue(r *run) bool {
	bc.showBroadcasts(r) // its author may have gone meanwhile
	b, since := r.held(), r.advanced
	if b != nil {
		since = max(since, b.at)
	}
	switch {
	case bc.doubt.deaf:
		r.advanced = bc.now // no link, so nothing can come
	case bc.now < since+askAgain: // what is missing may be on its way
	case bc.now < since+holdFor:
		bc.askAnybody(r)
	case b == nil:
		r.known = 0 // nobody had what somebody said to have
	case r.here() || r.entry.state == pb.AnnouncementType_LEAVE:
		bc.passOver(r, b.number)
	}
	first, last := r.lack(0, pb.MaxNumber)
	r.behind = r.held() != nil || first <= last
	return r.behind
}

// passOver stops waiting for the broadcasts missing below a number. The held ones up to it are
// shown now, or never if their author is not here.
func (bc *broadcasts) passOver(r *run, number uint64) {
	advanced := r.advanced
	for b := r.held(); b != nil && b.number <= number; b = r.held() {
		if missed := b.number - r.next; missed > 0 && r.heard {
			bc.note(Warn, "broadcasts were missed", "of", string(r.entry.record.ID), "how many", missed)
		}
		r.next = b.number
		if bc.showBroadcasts(r); r.next == b.number {
			r.next, r.heard = r.next+1, true
			b.content = nil
		}
	}
	r.advanced = advanced // the next gap does not begin now
}

// lastWords shows the broadcasts held back of a run that has ended. A lost author may come back,
// and so may the missing broadcasts.
func (bc *broadcasts) lastWords(e *entry) {
	if r := e.our().run; r != nil && r.here() {
		bc.passOver(r, pb.MaxNumber)
	}
}

// remember keeps a broadcast.
func (bc *broadcasts) remember(b *recentBroadcast) {
	r := b.run
	i, _ := r.search(b.number)
	r.recent = slices.Insert(r.recent, i, b)
	bc.recent = append(bc.recent, b)
	r.bytes += len(b.signed.GetPayload())
	bc.recentBytes += len(b.signed.GetPayload())
	bc.runs[r.name] = r
}

// keepBounds forgets the oldest broadcasts when there are too many. No author takes more than
// half of the room.
func (bc *broadcasts) keepBounds(r *run) {
	for len(r.recent) > maxOfOne || r.bytes > maxOfOneB {
		bc.forgetBroadcast(r.recent[0])
	}
	for len(bc.recent) > maxRecent || bc.recentBytes > maxRecentB {
		bc.forgetBroadcast(bc.recent[0])
	}
}

func (bc *broadcasts) forgetBroadcast(b *recentBroadcast) {
	r := b.run
	if b.number >= r.next {
		bc.passOver(r, b.number) // now or never
	}
	if i, found := r.search(b.number); found {
		r.recent = slices.Delete(r.recent, i, i+1)
	}
	if i := slices.Index(bc.recent, b); i == 0 {
		bc.recent[0] = nil
		bc.recent = bc.recent[1:]
	} else if i > 0 {
		bc.recent = slices.Delete(bc.recent, i, i+1)
	}
	r.bytes -= len(b.signed.GetPayload())
	bc.recentBytes -= len(b.signed.GetPayload())
	if len(r.recent) == 0 {
		delete(bc.runs, r.name)
	}
}

// showGone tells the user that the run of a peer that was shown is over.
func (bc *broadcasts) showGone(e *entry) {
	farewell := e.state == pb.AnnouncementType_LEAVE && e.record.Epoch == e.shown.Epoch
	if farewell {
		bc.lastWords(e)
	}
	e.shown = nil
	bc.out.Events = append(bc.out.Events, Left{e.record.ID, farewell})
}

// greet tells a new neighbour how far we have come.
func (bc *broadcasts) greet(l *link) {
	bc.tell(l)
	l.tellAt = bc.now + tellAgain
}

// tell tells a neighbour how far we have come in the runs of others, but for what was said before
// it came.
func (bc *broadcasts) tell(l *link) {
	l.tellAt = bc.now + tellEvery
	since := l.since()
	var list []*pb.BroadcastRange
	for _, b := range bc.recent {
		if r := b.run; b == r.recent[0] && r.entry.record.Key != l.key {
			list = r.appendPosition(list, since)
		}
	}
	bc.sendHeld(l, list)
}

func (bc *broadcasts) sendHeld(l *link, list []*pb.BroadcastRange) {
	for part := range slices.Chunk(list, pb.MaxRanges) {
		bc.links.send(l, &pb.BroadcastsHeld{Ranges: part})
	}
}

// receiveHeld takes a peer's positions, and pulls what we lack. They also end an answer: if it
// has brought something, the rest can be asked for.
func (bc *broadcasts) receiveHeld(l *link, m *pb.BroadcastsHeld) {
	if !l.positions.take(bc.now, positionBurst, positionEvery) {
		return
	}
	var wants []*pb.BroadcastRange
	for _, o := range rising(m.GetRanges()) {
		r := bc.runNamed(o)
		if r == nil {
			continue
		}
		r.await(o.GetFirst())
		r.known = max(r.known, o.GetLast())
		if l.answered && r.asked == l.id {
			r.askedTill = 0
		}
		wants = bc.question(wants, l, r, o.GetFirst(), o.GetLast())
		bc.showBroadcasts(r)
	}
	l.answered = false
	bc.ask(l, wants)
}

// runNamed finds the run that a position names, of a peer that we know or that our user knew.
func (bc *broadcasts) runNamed(o *pb.BroadcastRange) *run {
	i, _ := slices.BinarySearch(bc.table.tags, o.GetAuthor())
	for ; i < len(bc.table.tags) && bc.table.tags[i] == o.GetAuthor(); i++ {
		e := bc.table.entries[i]
		if e == bc.table.self {
			continue
		}
		if r := bc.runOf(e); r.name == o.GetRun() && r.audible() {
			return r
		}
	}
	return nil
}

// question appends what we lack of a run within a range to the questions for a link. One peer is
// asked at a time, and the next after askAgain without an answer.
func (bc *broadcasts) question(list []*pb.BroadcastRange, l *link, r *run, from, to uint64) []*pb.BroadcastRange {
	first, last := r.lack(from, to)
	if first > last {
		return list
	}
	bc.fallBehind(r)
	if asked := bc.links.link(r.asked); bc.now < r.askedTill && asked != nil && asked.state == linkUp {
		return list
	}
	r.asked, r.askedLast, r.askedTill = l.id, last, bc.now+askAgain
	return append(list, &pb.BroadcastRange{Author: r.entry.record.tag, Run: r.name, First: first, Last: last})
}

func (bc *broadcasts) ask(l *link, list []*pb.BroadcastRange) {
	if len(list) > 0 {
		bc.links.send(l, &pb.BroadcastsWanted{Ranges: list})
	}
}

// awaitsLastWords reports whether the end of a peer is not shown yet because we know that we lack
// some of its broadcasts: word of its end may have taken a faster way. Each run is waited for
// once.
func (bc *broadcasts) awaitsLastWords(e *entry) bool {
	r := e.our().run
	if r == nil || !e.buried() || !r.here() || !r.isOf(e.record) {
		return false
	}
	first, last := r.lack(0, pb.MaxNumber)
	if first <= last && r.endTill == 0 {
		r.endTill = bc.now + lastWordsFor
	}
	return first <= last && bc.now < r.endTill
}

// askAnybody asks a random neighbour for what is missing in a run.
func (bc *broadcasts) askAnybody(r *run) {
	var list []*link
	for _, l := range bc.links.list {
		if l.neighbour {
			list = append(list, l)
		}
	}
	if len(list) > 0 {
		l := list[bc.cfg.Rand.IntN(len(list))]
		bc.ask(l, bc.question(nil, l, r, 0, pb.MaxNumber))
	}
}

// answers reports whether a broadcast answers a question that we put to this link. If so, others
// may lack it too, and are told that we have it.
func (bc *broadcasts) answers(l *link, r *run, number uint64) bool {
	if r.asked != l.id || number > r.askedLast || bc.now >= r.askedTill {
		return false
	}
	l.answered, r.askedTill = true, bc.now+askAgain
	for _, other := range bc.links.list {
		other.tellAt = min(other.tellAt, bc.now+tellAfter)
	}
	bc.wake(bc.now + tellAfter)
	return true
}

// receiveWanted sends broadcasts that a peer lacks, as many as one answer holds, and our
// positions, which end it.
func (bc *broadcasts) receiveWanted(l *link, m *pb.BroadcastsWanted) {
	if !l.answers.take(bc.now, positionBurst, positionEvery) {
		bc.note(Debug, "too many questions for broadcasts from one link, dropped", "peer", string(l.peer))
		return
	}
	since := l.since()
	sent, bytes := 0, 0
	var list []*pb.BroadcastRange
	for _, o := range rising(m.GetRanges()) {
		r := bc.runs[o.GetRun()]
		if r == nil {
			continue
		}
		list = r.appendPosition(list, since)
		for i, _ := r.search(o.GetFirst()); i < len(r.recent) && r.recent[i].number <= o.GetLast() && sent < answerMost && bytes <= answerB; i++ {
			b := r.recent[i]
			if b.said < since {
				continue
			}
			sent, bytes = sent+1, bytes+len(b.signed.GetPayload())
			bc.links.send(l, &pb.Broadcast{Content: b.signed, Hops: b.hops, Age: toAge(bc.now - b.said)})
			bc.out.Frames[len(bc.out.Frames)-1].Relayed = true
		}
	}
	bc.sendHeld(l, list)
}
