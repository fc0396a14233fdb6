package core

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// How broadcasts come out once and in the order of their author.
//
// The author numbers them from 1 on. What is new is passed on at once, over links
// that keep the order, so as long as no link comes or goes everybody gets the
// broadcasts of an author in its order: whoever passes on one has passed on those
// before it over the same links. Where links have changed one may come before those
// that it follows. It is held back until they have come, or for holdFor since the last
// one that did, longer if a neighbour has offered them; then they are passed over, and
// not shown any more. It has been passed on meanwhile, and nobody else's waits for it.
//
// Where a peer begins: the announcement or the handshake by which it first hears of a run
// says how many broadcasts its sender had by then, and those that follow come over the
// same link. Nobody has signed that, so it is only what is waited for: the first that
// comes is shown at the latest after holdFor, and then begins the order.

// Bounds of what is remembered, to be shown in order and for those who catch up. All
// are guesses.
const (
	memoryFor  = 5 * time.Minute
	maxRecent  = 4096
	maxRecentB = 8 << 20 // bytes; what is held back takes twice as much
	maxOfOne   = maxRecent / 2
	maxOfOneB  = maxRecentB / 2
	holdFor    = 5 * time.Second  // many round trips of catching up, over several peers
	holdLonger = 30 * time.Second // for what a neighbour has offered, which may be cut off again meanwhile
	lateFor    = 1 * time.Second  // an author that has gone is here again behind the last that was shown
)

// recentBroadcast is a broadcast of the last minutes.
type recentBroadcast struct {
	run     *run
	number  uint64
	at      time.Duration // when it came
	said    time.Duration // when it was said, as far as is known
	signed  *pb.Signed
	hops    uint32
	content *pb.BroadcastContent // until it is shown
	direct  bool                 // it came from its author
}

// run is what we have of the broadcasts of one run of a peer.
type run struct {
	entry *entry
	epoch uint64
	nonce uint64
	name  uint64 // its MessagePrefix
	// next is the number of the one to be shown next. All before it have been shown,
	// or never will be.
	next uint64
	// heard: one has been shown, or passed over. Until then next is what others say.
	heard    bool
	floor    uint64             // up to here they were shown before this peer started anew
	advanced time.Duration      // when one was shown last
	recent   []*recentBroadcast // by number; from next on they are held back
	bytes    int
	holding  bool // it is in Core.holding

	caughtUp  bool               // it is in Core.caughtUp
	promised  *pb.BroadcastRange // what a neighbour has offered last and we lacked
	asked     LinkID             // who was asked for some, see askOffered
	askedLast uint64
	askedTill time.Duration
	lateTill  time.Duration // see Core.reachesUser
	leave     *news         // of its author, held back until that has come, see awaitLastWords
	leaveTill time.Duration
}

// runOf returns the run of a peer that its record is of.
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

// isOf says that the run is the one of a record.
func (r *run) isOf(record *Record) bool { return r.epoch == record.Epoch && r.nonce == record.Nonce }

// beginRun notes what a neighbour says of a run that is new to us: how many broadcasts
// it has had. Those that we have been offered we can have.
func (bc *broadcasts) beginRun(e *entry, broadcasts uint64) {
	if broadcasts == 0 {
		return // and the first is 1
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

// broadcastsOf is what we say of it.
func broadcastsOf(e *entry) uint64 {
	if r := e.our().run; r != nil && r.isOf(e.record) {
		return r.next - 1
	}
	return 0
}

// search returns where the broadcast is, or would be.
func (r *run) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(r.recent, number, func(b *recentBroadcast, n uint64) int { return cmp.Compare(b.number, n) })
}

// has says that a broadcast has come before, or is not to be shown any more.
func (r *run) has(number uint64) bool {
	_, found := r.search(number)
	return found || number <= r.floor || r.heard && number < r.next
}

// audible says that the run's broadcasts are for us: it is not over, or our user has
// been shown it while it was not.
func (r *run) audible() bool {
	return r.entry.state != pb.AnnouncementType_LEAVE || r.entry.seen == r.epoch
}

// here says that the user has been shown the run.
func (r *run) here() bool { return r.entry.shown != nil && r.entry.shown.Epoch == r.epoch }

// held is the first broadcast that is held back, nil if none is.
func (r *run) held() *recentBroadcast {
	i, _ := r.search(r.next)
	if i == len(r.recent) {
		return nil
	}
	return r.recent[i]
}

// await notes that one is here, or can be had, of a run that we may not have heard yet:
// then it may come before what we thought to be the first.
func (r *run) await(number uint64) {
	if !r.heard {
		r.next = min(r.next, max(number, r.floor+1))
	}
}

// showBroadcasts shows what is next of a run.
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

// reachesUser says that broadcasts of the run can be shown. Its author has to be here;
// if our user was cut off, and so has not heard what it said before it went, it joins
// again for the moment that it takes.
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

// late says that a run is over that our user has been shown, and nobody else has its ID.
func (bc *broadcasts) late(r *run) bool {
	e := r.entry
	return bc.ready && !bc.leaving && !r.here() && e.buried() && !e.suspect(bc.now) && e.seen == r.epoch && e.record.Epoch == r.epoch &&
		bc.table.shown(e.record.ID) == nil && bc.table.owner(e.record.ID, bc.now) == nil
}

// dismissLate has those go again who were here for what they had said.
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

// passOver gives up waiting for what is missing before the held ones up to a number.
// They are shown, or never will be if their author is not here.
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

// lastWords shows what is held back of a run that has ended. Who is lost may come back,
// and so may what is missing.
func (bc *broadcasts) lastWords(e *entry) {
	if r := e.our().run; r != nil && r.here() {
		bc.passOver(r, pb.MaxNumber)
	}
}

// showHeld looks at those that are held back: what is missing is asked for, and after
// holdFor passed over.
func (bc *broadcasts) showHeld() {
	bc.holding = slices.DeleteFunc(bc.holding, func(r *run) bool {
		bc.showBroadcasts(r) // its author may have gone meanwhile
		b := r.held()
		switch {
		case bc.doubt.deaf:
			r.advanced = bc.now // nothing can come
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

// keepBounds forgets the oldest where there are too many. Nobody takes more than half.
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
