package core

import (
	"cmp"
	"quicpeer/pb"
	"slices"
	"time"
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
	floor uint64 // shown up to this number before this peer was restarted
	// next is the number of the broadcast to show next. All before it have been shown, or never
	// will be.
	next uint64
	// heard: one has been shown or passed over. Until then next is only what others say.
	heard    bool
	known    uint64             // the last number that has come, or that somebody says to have
	advanced time.Duration      // when one was shown last, or we began to lack some
	recent   []*recentBroadcast // by number; from next on they are held back
	bytes    int
	behind   bool // it is in broadcasts.behind

	// The question for missing ones that is under way.
	asked     LinkID
	askedLast uint64
	askedTill time.Duration // somebody else is asked then
	endTill   time.Duration // see awaitsLastWords
}

// isOf reports whether the run is the one of a record.
func (r *run) isOf(record *Record) bool { return r.epoch == record.Epoch && r.nonce == record.Nonce }

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
	r.known = max(r.known, number)
}

// broadcastsOf is how many broadcasts we say that a peer has sent.
func broadcastsOf(e *entry) uint64 {
	if r := e.our().run; r != nil && r.isOf(e.record) {
		return r.next - 1
	}
	return 0
}

// lack returns the first missing numbers of a range; none if first is greater than last.
func (r *run) lack(from, to uint64) (first, last uint64) {
	first, last = max(from, r.next), min(to, r.known)
	i, _ := r.search(first)
	for ; i < len(r.recent) && r.recent[i].number == first; i++ {
		first++
	}
	if i < len(r.recent) {
		last = min(last, r.recent[i].number-1)
	}
	return first, last
}

// appendPosition appends how far we have come in a run, for a peer that gets what was said since
// then; nothing if that is none.
func (r *run) appendPosition(list []*pb.BroadcastRange, since time.Duration) []*pb.BroadcastRange {
	i := slices.IndexFunc(r.recent, func(b *recentBroadcast) bool { return b.said >= since })
	if i < 0 {
		return list
	}
	return append(list, &pb.BroadcastRange{
		Author: r.entry.record.tag, Run: r.name, First: r.recent[i].number, Last: r.recent[len(r.recent)-1].number,
	})
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
