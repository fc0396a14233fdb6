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
// The author numbers them from 1 on. A new broadcast is passed on at once, over links that keep
// the order, so as long as no link comes or goes everybody gets an author's broadcasts in order:
// a peer that passes one on has passed on those before it over the same links. After a change of
// links one may come too early. It is held back until those before it have come, or for holdFor
// since the last that did, longer if a neighbour has offered them; then they are passed over and
// never shown. Meanwhile it has been passed on, and the broadcasts of other authors do not wait
// for it.
//
// The first number: the announcement or handshake by which a peer first hears of a run says how
// many broadcasts its sender had by then, and those that follow come over the same link. That
// number is not signed, so it only decides what is waited for: the first broadcast that comes is
// shown after holdFor at the latest, and the order begins there.

// Bounds of the broadcasts remembered, for showing them in order and for peers that catch up. All
// are guesses.
const (
	memoryFor  = 5 * time.Minute
	maxRecent  = 4096
	maxRecentB = 8 << 20 // bytes; a broadcast held back takes twice its size
	maxOfOne   = maxRecent / 2
	maxOfOneB  = maxRecentB / 2
	holdFor    = 5 * time.Second  // many round trips of catching up, over several peers
	holdLonger = 30 * time.Second // for broadcasts that a neighbour has offered; it may be cut off again meanwhile
	lateFor    = 1 * time.Second  // how long a departed author stays shown after its last broadcast
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
	// next is the number of the broadcast to show next. All before it have been shown, or never
	// will be.
	next uint64
	// heard: one has been shown or passed over. Until then next is only what others say.
	heard    bool
	floor    uint64             // shown up to this number before this peer was restarted
	advanced time.Duration      // when one was shown last
	recent   []*recentBroadcast // by number; from next on they are held back
	bytes    int
	holding  bool // it is in Core.holding

	caughtUp  bool               // it is in Core.caughtUp
	promised  *pb.BroadcastRange // the last offer of a neighbour that we lacked
	asked     LinkID             // the link asked for some, see askOffered
	askedLast uint64
	askedTill time.Duration
	lateTill  time.Duration // see Core.reachesUser
	leave     *news         // of its author, held back for missing broadcasts, see awaitLastWords
	leaveTill time.Duration
}

// isOf reports whether the run is the one of a record.
func (r *run) isOf(record *Record) bool { return r.epoch == record.Epoch && r.nonce == record.Nonce }

// broadcastsOf is how many broadcasts we say that a peer has sent.
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

// has reports whether a broadcast has come before, or is not to be shown any more.
func (r *run) has(number uint64) bool {
	_, found := r.search(number)
	return found || number <= r.floor || r.heard && number < r.next
}

// audible reports whether the run's broadcasts are for us: it is not over, or our user saw it
// while it was not.
func (r *run) audible() bool {
	return r.entry.state != pb.AnnouncementType_LEAVE || r.entry.seen == r.epoch
}

// here reports whether the user is shown the run.
func (r *run) here() bool { return r.entry.shown != nil && r.entry.shown.Epoch == r.epoch }

// held is the first broadcast that is held back, nil if none is.
func (r *run) held() *recentBroadcast {
	i, _ := r.search(r.next)
	if i == len(r.recent) {
		return nil
	}
	return r.recent[i]
}

// await records that a broadcast is here, or can be had, of a run that we may not have heard yet:
// it may then come before the one that we took for the first.
func (r *run) await(number uint64) {
	if !r.heard {
		r.next = min(r.next, max(number, r.floor+1))
	}
}

// appendRanges appends the ranges of the run's broadcasts that have come since then.
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

// rising returns the ranges of a list that lie behind earlier ones of the same run, as all do in
// an honest list. So nothing is examined twice for one frame.
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

// lacking is the part of a range that we don't have, nil if we have all of it.
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

// inARow counts how many of n rising numbers are 0, 1, 2, ...
func inARow(n int, number func(int) uint64) int {
	return sort.Search(n, func(i int) bool { return number(i) != uint64(i) })
}
