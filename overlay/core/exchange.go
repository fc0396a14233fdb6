package core

import (
	"quicpeer/pb"
	"slices"
	"time"
)

// syncTimeout bounds for each part of an answer.
const syncTimeout = 10 * time.Second

// maxFetched bounds entries that come: more than any table has.
const maxFetched = 2 * maxEntries

// tables is how the tables of the peers at both ends are made equal.
type tables struct {
	exchange  *exchange // that we have begun; nil: none
	due       bool      // another one is to begin
	verifying int       // batches of its table whose signatures are being judged
}

// exchange is an exchange over a link that we have begun.
type exchange struct {
	asked   []*pb.TableRange // the question that waits for its answer; nil: none does
	open    []*pb.TableRange // what the other side has described, not compared with ours yet
	last    *Record          // the last entry in the answer so far; nil: none yet
	piece   int              // announcements in it
	entries int              // that came in all
	began   time.Duration
	moved   time.Duration // when the other side last answered
}

// follows takes the next entry, and reports whether it was asked for and lies behind those
// before: a door that repeats itself gets nowhere.
func (x *exchange) follows(r *Record) bool {
	asked := slices.ContainsFunc(x.asked, func(a *pb.TableRange) bool { return a.GetFirst() <= r.tag && r.tag <= a.GetLast() })
	if !asked || x.last != nil && compareNames(r, x.last) <= 0 || x.entries == maxFetched {
		return false
	}
	x.last = r
	x.entries++
	return true
}

// isForeign reports whether a range may not be in the answer: it has to lie within a range asked
// about; within a part if it is to be divided further; and, if it has been left open, behind
// what was announced.
func (x *exchange) isForeign(r *pb.TableRange) bool {
	within := func(first, last uint64) bool { return first <= r.GetFirst() && r.GetLast() <= last }
	i := slices.IndexFunc(x.asked, func(a *pb.TableRange) bool { return within(a.GetFirst(), a.GetLast()) })
	switch kind := r.GetKind(); {
	case i < 0:
		return true
	case kind == pb.RangeKind_OPEN:
		return x.piece < maxAnswer || x.last != nil && r.GetFirst() <= x.last.tag
	case kind == pb.RangeKind_FINGERPRINTS || kind == pb.RangeKind_HELD:
		a := x.asked[i]
		for k := range a.GetHashes() {
			if a.GetKind() == pb.RangeKind_FINGERPRINTS && within(Part(a.GetFirst(), a.GetLast(), k, len(a.GetHashes()))) {
				return false
			}
		}
		return true
	}
	return false
}
