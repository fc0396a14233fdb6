package core

import (
	"cmp"
	"quicpeer/pb"
	"slices"
	"sort"
	"time"
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

// isOf says that the run is the one of a record.
func (r *run) isOf(record *Record) bool { return r.epoch == record.Epoch && r.nonce == record.Nonce }

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
