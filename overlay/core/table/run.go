package table

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// MaxStretches is how many ranges of a run a position has, a guess.
const MaxStretches = 16

// RecentBroadcast is a broadcast of the last minutes.
type RecentBroadcast struct {
	Run     *Run
	Number  uint64
	At      time.Duration // when it came
	Said    time.Duration // when it was said, as far as is known
	Signed  *pb.Signed
	Hops    uint32
	Content *pb.BroadcastContent // until it is shown
	Direct  bool                 // it came from its author
}

// Run is what we have of the broadcasts of one run of a peer.
type Run struct {
	Entry *Entry
	Epoch uint64
	Nonce uint64
	Name  uint64 // its MessagePrefix
	Floor uint64 // shown up to this number before this peer was restarted
	// Next is the number of the broadcast to show next. All before it have been shown, or never
	// will be.
	Next uint64
	// Heard: one has been shown or passed over. Until then next is only what others say.
	Heard    bool
	Known    uint64             // the last number that has come, or that somebody says to have
	Advanced time.Duration      // when one was shown last, or we began to lack some
	Recent   []*RecentBroadcast // by number; from next on they are held back
	Bytes    int
	Behind   bool // it is in broadcasts.behind

	// The question for missing ones that is under way.
	Asked     base.LinkID
	AskedLast uint64
	AskedTill time.Duration // somebody else is asked then
	Sayer     base.LinkID   // that was last asked because it says to have them; others are guesses
	EndTill   time.Duration // see AwaitsLastWords
	LateTill  time.Duration // an author that has gone is shown as here until then
}

// IsOf reports whether the run is the one of a record.
func (r *Run) IsOf(record *base.Record) bool {
	return r.Epoch == record.Epoch && r.Nonce == record.Nonce
}

// Search returns where the broadcast is, or would be.
func (r *Run) Search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(r.Recent, number, func(b *RecentBroadcast, n uint64) int { return cmp.Compare(b.Number, n) })
}

// Has reports whether a broadcast has come before, or is not to be shown any more.
func (r *Run) Has(number uint64) bool {
	_, found := r.Search(number)
	return found || number <= r.Floor || r.Heard && number < r.Next
}

// Audible reports whether the run's broadcasts are for us: it is not over, or our user saw it
// while it was not.
func (r *Run) Audible() bool {
	return !r.Entry.Over() || !r.Entry.Removed() && r.Entry.Seen == r.Epoch
}

// Here reports whether the user is shown the run.
func (r *Run) Here() bool { return r.Entry.Shown != nil && r.Entry.Shown.Epoch == r.Epoch }

// Held is the first broadcast that is held back, nil if none is.
func (r *Run) Held() *RecentBroadcast {
	i, _ := r.Search(r.Next)
	if i == len(r.Recent) {
		return nil
	}
	return r.Recent[i]
}

// Await records that a broadcast is here, or can be had, of a run that we may not have heard yet:
// it may then come before the one that we took for the first.
func (r *Run) Await(number uint64) {
	if !r.Heard {
		r.Next = min(r.Next, max(number, r.Floor+1))
	}
	r.Known = max(r.Known, number)
}

// BroadcastsOf is how many broadcasts we say that a peer has sent.
func BroadcastsOf(e *Entry) uint64 {
	if r := e.Our().Run; r != nil && r.IsOf(e.Record) {
		return r.Next - 1
	}
	return 0
}

// Lack returns the first missing numbers of a range; none if first is greater than last.
func (r *Run) Lack(from, to uint64) (first, last uint64) {
	first, last = max(from, r.Next), min(to, r.Known)
	i, _ := r.Search(first)
	for ; i < len(r.Recent) && r.Recent[i].Number == first && first <= last; i++ {
		first++
	}
	if i < len(r.Recent) {
		last = min(last, r.Recent[i].Number-1)
	}
	return first, last
}

// AppendPosition appends how far we have come in a run, for a peer that gets what was said since
// then: a range for each stretch without a hole, since nobody can have the holes from us. The last
// of many takes in all that follow.
func (r *Run) AppendPosition(list []*pb.BroadcastRange, since time.Duration) []*pb.BroadcastRange {
	var stretch *pb.BroadcastRange
	stretches := 0
	for _, b := range r.Recent {
		switch {
		case b.Said < since:
		case stretch != nil && (b.Number == stretch.Last+1 || stretches == MaxStretches):
			stretch.Last = b.Number
		default:
			stretch = &pb.BroadcastRange{Author: r.Entry.Record.Tag, Run: r.Name, First: b.Number, Last: b.Number}
			stretches++
			list = append(list, stretch)
		}
	}
	return list
}

// Rising returns the ranges of a list that lie behind earlier ones of the same run, as all do in
// an honest list. So nothing is examined twice for one frame.
func Rising(list []*pb.BroadcastRange) []*pb.BroadcastRange {
	last := make(map[uint64]uint64) // of a run
	return slices.DeleteFunc(slices.Clone(list), func(o *pb.BroadcastRange) bool {
		if o.GetFirst() <= last[o.GetRun()] {
			return true
		}
		last[o.GetRun()] = o.GetLast()
		return false
	})
}
