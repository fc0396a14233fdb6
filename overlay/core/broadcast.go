package core

import (
	"encoding/binary"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Bounds of the broadcasts that wait for a record, guesses: long enough for one to come by
// another way.
const (
	recentFor   = 5 * time.Second
	maxEarly    = 64
	maxArrivals = 4096
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
	holding     []*run // with broadcasts held back
	caughtUp    []*run // runs whose missed broadcasts have come, not yet offered to the neighbours
	leaves      []*run // of authors whose LEAVE is held back
	lateRuns    []*run // of authors that have gone, shown as here again for their last broadcasts
	offers      []broadcastOffer
	early       []earlyBroadcast
	arrivals    []arrival
}

// earlyBroadcast waits for its author's record.
type earlyBroadcast struct {
	at      time.Duration
	link    LinkID
	author  certs.ID
	message *pb.Broadcast
}

// arrival is when we first saw a run: it is sent no broadcast from before.
type arrival struct {
	entry *entry
	at    time.Duration
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
	r.next, r.heard = bc.said+1, true
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
	r.await(number)
	bc.remember(&recentBroadcast{
		run: r, number: number, at: bc.now, said: said, signed: m.GetContent(), hops: hops, content: content, direct: l.key == key,
	})
	if !bc.answered(l, r, number) {
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
		r.advanced = bc.now
		bc.showBroadcasts(r)
	}
}

// repeatBroadcasts sends our latest broadcasts over a link to a peer that is not our neighbour,
// so that our goodbye overtakes none of them.
func (bc *broadcasts) repeatBroadcasts(l *link) {
	since := bc.arrivedAt(l)
	for _, b := range bc.recent {
		if b.run.entry == bc.table.self && b.said >= since && bc.now <= b.at+recentFor {
			bc.links.send(l, &pb.Broadcast{Content: b.signed, Age: toAge(bc.now - b.said)})
		}
	}
}

// arrivedAt is when the run at the other end of a link began; 0 if long ago.
func (bc *broadcasts) arrivedAt(l *link) (since time.Duration) {
	for _, a := range bc.arrivals {
		if a.entry.record.Key == l.key {
			since = a.at
		}
	}
	return since
}

// expireBroadcasts forgets broadcasts whose time is over, and continues catching up.
func (bc *broadcasts) expireBroadcasts() {
	for len(bc.recent) > 0 && bc.now > bc.recent[0].at+memoryFor {
		bc.forgetBroadcast(bc.recent[0])
	}
	for len(bc.arrivals) > 0 && bc.now > bc.arrivals[0].at+memoryFor {
		bc.arrivals = bc.arrivals[1:]
	}
	bc.early = slices.DeleteFunc(bc.early, func(b earlyBroadcast) bool { return bc.now > b.at+recentFor })
	bc.showHeld()
	bc.dismissLate()
	bc.offerCaughtUp()
	bc.askOffered()
}

// told ends the old run of a peer and begins the new one.
func (bc *broadcasts) told(ch change) {
	if !ch.begins() {
		return
	}
	e := ch.entry
	switch {
	case ch.old != nil:
		bc.lastWords(e)
		bc.arrived(e, ch.said)
	case ch.news.state == pb.AnnouncementType_JOIN:
		bc.arrived(e, e.said)
	}
	bc.beginRun(e, ch.news.broadcasts)
}

// arrived records a run that has just begun, see repeatBroadcasts.
func (bc *broadcasts) arrived(e *entry, at time.Duration) {
	if bc.ready && len(bc.arrivals) < maxArrivals {
		bc.arrivals = append(bc.arrivals, arrival{e, at})
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

// beginRun records how many broadcasts a run new to us has had, as a neighbour says. Those that
// we have been offered we can still get.
func (bc *broadcasts) beginRun(e *entry, broadcasts uint64) {
	if broadcasts == 0 {
		return // numbers begin at 1
	}
	r := bc.runOf(e)
	if r.heard || len(r.recent) > 0 {
		return
	}
	r.next = max(broadcasts, r.floor) + 1
	for _, o := range bc.offers {
		if o.what.GetRun() == r.name {
			r.await(o.what.GetFirst())
		}
	}
}

// showBroadcasts shows the next broadcasts of a run.
func (bc *broadcasts) showBroadcasts(r *run) {
	for b := r.held(); b != nil && b.number == r.next && bc.reachesUser(r); b = r.held() {
		bc.out.Events = append(bc.out.Events, Broadcasted{b.content, b.direct, r.epoch, r.nonce, b.number})
		b.content = nil
		r.next, r.heard, r.advanced = r.next+1, true, bc.now
	}
	if !r.holding && r.held() != nil {
		r.holding = true
		bc.holding = append(bc.holding, r)
	}
}

// reachesUser reports whether broadcasts of the run can be shown. The author has to be here. If
// our user was cut off and so missed what the author said before it left, the author is shown as
// joined again for that moment.
func (bc *broadcasts) reachesUser(r *run) bool {
	switch {
	case r.here():
	case bc.late(r):
		e := r.entry
		e.shown = e.record
		bc.out.Events = append(bc.out.Events, Joined{e.record.ID, e.record.Key, bc.links.toldBy(e)})
		bc.lateRuns = append(bc.lateRuns, r)
	default:
		return false
	}
	r.lateTill = bc.now + lateFor
	return true
}

// late reports whether the run is over, our user has seen it, and its ID has no other owner.
func (bc *broadcasts) late(r *run) bool {
	e := r.entry
	return bc.ready && !bc.leaving && !r.here() && e.buried() && !e.suspect(bc.now) && e.seen == r.epoch && e.record.Epoch == r.epoch &&
		bc.table.shown(e.record.ID) == nil && bc.table.owner(e.record.ID, bc.now) == nil
}

// dismissLate shows those authors as gone again who were back only for their last broadcasts.
func (bc *broadcasts) dismissLate() {
	bc.lateRuns = slices.DeleteFunc(bc.lateRuns, func(r *run) bool {
		switch {
		case !r.here() || !r.entry.buried():
			return true // gone, or really back
		case bc.now < r.lateTill || bc.awaitsAnswer(r):
			return false
		}
		bc.showGone(r.entry)
		return true
	})
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

// showHeld asks for the broadcasts that those held back wait for, and passes them over after
// holdFor.
func (bc *broadcasts) showHeld() {
	bc.holding = slices.DeleteFunc(bc.holding, func(r *run) bool {
		bc.showBroadcasts(r) // its author may have gone meanwhile
		b := r.held()
		switch {
		case bc.doubt.deaf:
			r.advanced = bc.now // no link, so nothing can come
		case b != nil && (r.here() || bc.late(r)):
			hold := holdFor
			if p := r.promised; p != nil && p.GetLast() >= r.next && p.GetFirst() < b.number {
				hold = holdLonger
			}
			switch since := max(b.at, r.advanced); {
			case bc.now >= since+hold:
				bc.passOver(r, b.number)
			case bc.now >= since+missAfter:
				bc.askAnybody(r, b.number-1)
			}
		}
		r.holding = r.held() != nil
		return !r.holding
	})
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

// Catching up: a peer that was cut off gets the broadcasts it has missed from its neighbours,
// which remember those of the last minutes, whether their author is still there or not.
//
//	BroadcastsHeld ──▶              when the two have become neighbours
//	               ◀── BroadcastsWanted
//	Broadcast ... ──▶, and BroadcastsHeld of the rest if that was not all
//
// A link that stands loses nothing, even if its peer was frozen or the network cut for a while;
// and a peer that was called lost, and is therefore flooded nothing more, has to become a
// neighbour again. So that is the one moment at which there is something to catch up on. An
// overloaded link may skip some broadcasts: the receiver notices when the next one of the author
// comes by another way, and asks.
//
// Broadcasts obtained this way are not flooded but offered to the other neighbours, most of which
// have them, as Plumtree's lazy push does (Leitão, Pereira, Rodrigues 2007). So they go from
// neighbour to neighbour until nobody lacks them.
//
// Tables are compared afterwards, so a peer that has left meanwhile is as a rule shown as gone
// after its last words.

// Guesses unless said otherwise.
const (
	offerAfter   = 50 * time.Millisecond // to collect what else comes
	offerFor     = 10 * time.Second      // how long an offer waits for its author's record, or for another neighbour's answer
	askAgain     = 2 * time.Second       // without an answer, from another neighbour
	missAfter    = 1 * time.Second       // after one is held back, before the missing ones are asked for
	maxOffers    = 4096
	offersAtOnce = 512       // looked at in a tick
	answerB      = 256 << 10 // bytes in an answer, a small part of what may wait on a link
	answerMost   = 256       // broadcasts in an answer, which take 13 ms to verify

	// Rate limit of a link's questions: everything there is at once, and a little afterwards.
	summaryBurst = 64
	summaryEvery = 100 * time.Millisecond
)

// broadcastOffer lists broadcasts that a neighbour has and we lack, or may come to lack.
type broadcastOffer struct {
	link  LinkID
	what  *pb.BroadcastRange
	until time.Duration
}

// offerBroadcasts tells a neighbour which broadcasts it can have: all, or only those of runs that
// we have caught up on; never its own, nor any from before it came.
func (bc *broadcasts) offerBroadcasts(l *link, all bool) {
	since := bc.arrivedAt(l)
	listed := make(map[*run]bool)
	var list []*pb.BroadcastRange
	for _, b := range bc.recent {
		if r := b.run; !listed[r] && r.entry.record.Key != l.key && (all || r.caughtUp) {
			listed[r] = true
			list = r.appendRanges(list, since)
		}
	}
	bc.sendHeld(l, list)
}

func (bc *broadcasts) sendHeld(l *link, list []*pb.BroadcastRange) {
	for part := range slices.Chunk(list, pb.MaxRanges) {
		bc.links.send(l, &pb.BroadcastsHeld{Ranges: part})
	}
}

// receiveHeld takes an offer. An offer also ends an answer that was cut short.
func (bc *broadcasts) receiveHeld(l *link, m *pb.BroadcastsHeld) {
	if !l.summaries.take(bc.now, summaryBurst, summaryEvery) {
		return
	}
	list := rising(m.GetRanges())
	for _, o := range list {
		if r := bc.runNamed(o); r != nil && r.asked == l.id {
			r.askedTill = 0
		}
	}
	wants := make(map[LinkID][]*pb.BroadcastRange)
	for _, o := range list {
		if r := bc.runNamed(o); r != nil {
			r.await(o.GetFirst())
			if lack := r.lacking(o); lack != nil {
				r.promised = lack
			}
		}
		offer := broadcastOffer{l.id, o, bc.now + offerFor}
		if !bc.useOffer(offer, wants) && len(bc.offers) < maxOffers {
			bc.offers = append(bc.offers, offer)
		}
	}
	bc.askFor(wants)
}

// runNamed finds the run that an offer names, of a peer that we know or that our user knew.
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

// askOffered tries again the offers that could not be used at once, some in each tick.
func (bc *broadcasts) askOffered() {
	n := min(len(bc.offers), offersAtOnce)
	looked := slices.Clone(bc.offers[:n])
	bc.offers = slices.Delete(bc.offers, 0, n)
	wants := make(map[LinkID][]*pb.BroadcastRange)
	for _, o := range looked {
		if !bc.useOffer(o, wants) {
			bc.offers = append(bc.offers, o)
		}
	}
	bc.askFor(wants)
}

// useOffer asks for the offered broadcasts that we lack, and reports whether the offer is used
// up. For each run one neighbour is asked at a time, and the next one after askAgain without an
// answer. An offer is good for one question.
func (bc *broadcasts) useOffer(o broadcastOffer, wants map[LinkID][]*pb.BroadcastRange) (used bool) {
	l := bc.links.link(o.link)
	if l == nil || l.state != linkUp || bc.now >= o.until {
		return true
	}
	r := bc.runNamed(o.what)
	if r == nil {
		return false
	}
	want := r.lacking(o.what)
	if want == nil {
		return true
	}
	if bc.awaitsAnswer(r) || len(wants[o.link]) == pb.MaxRanges {
		return false
	}
	r.asked, r.askedLast, r.askedTill = o.link, want.Last, bc.now+askAgain
	wants[o.link] = append(wants[o.link], want)
	return true
}

// askFor sends the questions.
func (bc *broadcasts) askFor(wants map[LinkID][]*pb.BroadcastRange) {
	for _, l := range bc.links.list {
		if list := wants[l.id]; list != nil {
			bc.links.send(l, &pb.BroadcastsWanted{Ranges: list})
		}
	}
}

// awaitsAnswer reports whether a neighbour has been asked for broadcasts of the run and may still
// answer.
func (bc *broadcasts) awaitsAnswer(r *run) bool {
	l := bc.links.link(r.asked)
	return bc.now < r.askedTill && l != nil && l.state == linkUp
}

// askAnybody asks a random neighbour for what is missing up to a number.
func (bc *broadcasts) askAnybody(r *run, last uint64) {
	var list []*link
	for _, l := range bc.links.list {
		if l.neighbour {
			list = append(list, l)
		}
	}
	if bc.awaitsAnswer(r) || len(list) == 0 {
		return
	}
	l := list[bc.cfg.Rand.IntN(len(list))]
	r.asked, r.askedLast, r.askedTill = l.id, last, bc.now+missAfter
	bc.links.send(l, &pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{
		{Author: r.entry.record.tag, Run: r.name, First: r.next, Last: last},
	}})
}

// awaitLastWords holds back the LEAVE of an author, for at most askAgain, while a neighbour is
// asked for its earlier broadcasts: the LEAVE may have taken a faster way.
func (bc *broadcasts) awaitLastWords(e *entry, n news) bool {
	r := e.our().run
	if n.state != pb.AnnouncementType_LEAVE || r == nil || r.epoch != n.record.Epoch || !r.here() || bc.now >= r.askedTill {
		return false
	}
	if r.leaveTill == 0 {
		r.leaveTill = bc.now + askAgain
		bc.leaves = append(bc.leaves, r)
	}
	r.leave = &n
	return bc.now < r.leaveTill
}

// leavesDue returns the LEAVEs held back whose authors' last broadcasts have come, or will not
// come.
func (bc *broadcasts) leavesDue() (list []news) {
	var due []*run
	bc.leaves = slices.DeleteFunc(bc.leaves, func(r *run) bool {
		if bc.now < min(r.leaveTill, r.askedTill) {
			return false
		}
		due = append(due, r)
		return true
	})
	for _, r := range due {
		n := *r.leave
		r.leave, r.leaveTill = nil, bc.now // it waits once
		if e := bc.table.lookup(n.record.tag, n.record.ID, n.record.Key); e != nil && n.version().compare(e.version()) > 0 {
			list = append(list, n)
		}
	}
	return list
}

// answered reports whether a broadcast answers a question that we put to this link. If so, others
// may lack it too.
func (bc *broadcasts) answered(l *link, r *run, number uint64) bool {
	if r.asked != l.id || number > r.askedLast || bc.now >= r.askedTill {
		return false
	}
	r.askedTill = bc.now + askAgain
	if number == r.askedLast {
		r.askedTill = 0
	}
	if !r.caughtUp {
		r.caughtUp = true
		bc.caughtUp = append(bc.caughtUp, r)
	}
	bc.wake(bc.now + offerAfter)
	return true
}

// offerCaughtUp tells the neighbours what we have caught up on.
func (bc *broadcasts) offerCaughtUp() {
	if len(bc.caughtUp) == 0 {
		return
	}
	for _, l := range bc.links.list {
		if l.neighbour {
			bc.offerBroadcasts(l, false)
		}
	}
	for _, r := range bc.caughtUp {
		r.caughtUp = false
	}
	bc.caughtUp = nil
}

// receiveWanted sends broadcasts that a peer lacks, as many as one answer holds; the rest is
// offered once more.
func (bc *broadcasts) receiveWanted(l *link, m *pb.BroadcastsWanted) {
	if !l.answers.take(bc.now, summaryBurst, summaryEvery) {
		bc.note(Debug, "too many questions for broadcasts from one link, dropped", "peer", string(l.peer))
		return
	}
	since := bc.arrivedAt(l)
	sent, bytes := 0, 0
	var rest []*pb.BroadcastRange
	for _, o := range rising(m.GetRanges()) {
		r := bc.runs[o.GetRun()]
		if r == nil {
			continue
		}
		for i, _ := r.search(o.GetFirst()); i < len(r.recent) && r.recent[i].number <= o.GetLast(); i++ {
			b := r.recent[i]
			if b.said < since {
				continue
			}
			if sent == answerMost || bytes > answerB {
				rest = append(rest, &pb.BroadcastRange{Author: r.entry.record.tag, Run: r.name, First: b.number, Last: o.GetLast()})
				break
			}
			sent, bytes = sent+1, bytes+len(b.signed.GetPayload())
			bc.links.send(l, &pb.Broadcast{Content: b.signed, Hops: b.hops, Age: toAge(bc.now - b.said)})
			bc.out.Frames[len(bc.out.Frames)-1].Relayed = true
		}
	}
	bc.sendHeld(l, rest)
}
