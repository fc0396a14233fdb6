package core

import (
	"slices"
	"sort"
	"time"

	"quicpeer/pb"
)

// How who was cut off gets the broadcasts that it has missed: from its neighbours, which
// remember those of the last minutes, be their author still there or not.
//
//	BroadcastsHeld ──▶              when the two have become neighbours
//	               ◀── BroadcastsWanted
//	Broadcast ... ──▶, and BroadcastsHeld of the rest if that was not all
//
// Nothing is lost on a link that stands, whether its peer was frozen or the network cut
// for a while; and who was called lost, and so is flooded nothing any more, has to become
// a neighbour again. So that is the one moment at which there is something to catch up
// on. A link that is overloaded may go without some broadcasts: then they are found
// missing when the next of their author has come by another way, and asked for.
//
// What was caught up on is not passed on but offered to the other neighbours: most of
// them have it. So it goes from neighbour to neighbour until nobody lacks it.
//
// Tables are compared behind that, so who has left meanwhile is as a rule shown to go
// after its last words.

// Guesses, if not said otherwise.
const (
	offerAfter   = 50 * time.Millisecond // in which more is caught up on
	offerFor     = 10 * time.Second      // an offer of somebody whose record is not here yet, or whom another is asked for
	askAgain     = 2 * time.Second       // without an answer: another neighbour
	missAfter    = 1 * time.Second       // one is held back: somebody is asked for what is missing
	maxOffers    = 4096
	offersAtOnce = 512       // looked at in a tick
	answerB      = 256 << 10 // bytes in an answer, a small part of what may wait on a link
	answerMost   = 256       // broadcasts in an answer: to verify them takes 13 ms

	// What a link may have us do: to take all there is at once, and some after that.
	summaryBurst = 64
	summaryEvery = 100 * time.Millisecond
)

// broadcastOffer is what a neighbour has and we lack, or may come to lack.
type broadcastOffer struct {
	link  LinkID
	what  *pb.BroadcastRange
	until time.Duration
}

// offerBroadcasts tells a neighbour what it can have: all, or of the runs that we have
// caught up on, but nothing from before it came, and nothing of its own.
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

// appendRanges adds what we have of a run and has come since then.
func (r *run) appendRanges(list []*pb.BroadcastRange, since time.Duration) []*pb.BroadcastRange {
	var last *pb.BroadcastRange
	for _, b := range r.recent {
		switch {
		case b.said < since:
		case last != nil && last.Last+1 == b.number:
			last.Last++
		default:
			last = &pb.BroadcastRange{Author: r.entry.record.tag, Run: r.name, First: b.number, Last: b.number}
			list = append(list, last)
		}
	}
	return list
}

func (bc *broadcasts) sendHeld(l *link, list []*pb.BroadcastRange) {
	for part := range slices.Chunk(list, pb.MaxRanges) {
		bc.links.send(l, &pb.BroadcastsHeld{Ranges: part})
	}
}

// receiveHeld takes an offer. It is also the end of an answer that was not all.
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

// rising are the ranges of a list that lie behind those of the same run before them, as
// all do in a list that is no lie. So nothing is looked at twice for one frame.
func rising(list []*pb.BroadcastRange) []*pb.BroadcastRange {
	last := make(map[uint64]uint64) // of a run
	return slices.DeleteFunc(slices.Clone(list), func(o *pb.BroadcastRange) bool {
		if o.GetFirst() <= last[o.GetRun()] {
			return true
		}
		last[o.GetRun()] = o.GetLast()
		return false
	})
}

// runNamed is the run that is meant, of a peer that we know, or that our user knew.
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

// lacking is the part of a range that we don't have, nil if there is none.
func (r *run) lacking(o *pb.BroadcastRange) *pb.BroadcastRange {
	first, last := max(o.GetFirst(), r.next), o.GetLast()
	i, _ := r.search(first)
	first += uint64(inARow(len(r.recent)-i, func(n int) uint64 { return r.recent[i+n].number - first }))
	if first > last {
		return nil
	}
	i, _ = r.search(last + 1)
	last -= uint64(inARow(i, func(n int) uint64 { return last - r.recent[i-1-n].number }))
	return &pb.BroadcastRange{Author: o.GetAuthor(), Run: o.GetRun(), First: first, Last: last}
}

// inARow is how many of n rising numbers are 0, 1, 2, ...
func inARow(n int, number func(int) uint64) int {
	return sort.Search(n, func(i int) bool { return number(i) != uint64(i) })
}

// askOffered goes on with the offers that could not be used at once, a part of them in
// each tick.
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

// useOffer has asked for what is offered and we lack, and says whether the offer is of no
// more use: of each run one neighbour is asked at a time, and the next one after askAgain
// without an answer. An offer is good for one question.
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

// awaitsAnswer says that somebody is asked for broadcasts of the run and may answer.
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

// awaitLastWords holds back for askAgain at most that the author of a run has left, while
// somebody is asked for what it said before: another may have been faster.
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

// leavesDue are those held back whose last words have come, or don't come.
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

// answered says that a broadcast is the answer of a link to a question, and notes that
// others may lack it too.
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

// receiveWanted sends what a peer lacks, as much as an answer holds; what is left is
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
