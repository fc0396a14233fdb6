package link

import (
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// SyncTimeout bounds for each part of an answer.
const SyncTimeout = 10 * time.Second

// maxFetched bounds entries that come: more than any table has.
const maxFetched = 2 * table.MaxEntries

// tables is how the tables of the peers at both ends are made equal.
type tables struct {
	Exchange  *Exchange // that we have begun; nil: none
	Due       bool      // another one is to begin
	Verifying int       // batches of its table whose signatures are being judged
}

// Exchange is an exchange over a link that we have begun.
type Exchange struct {
	Asked   []*pb.TableRange // the question that waits for its answer; nil: none does
	Open    []*pb.TableRange // what the other side has described, not compared with ours yet
	Last    *base.Record     // the last entry in the answer so far; nil: none yet
	Piece   int              // announcements in it
	Entries int              // that came in all
	Began   time.Duration
	Moved   time.Duration // when the other side last answered
}

// Follows takes the next entry, and reports whether it was asked for and lies behind those
// before: a door that repeats itself gets nowhere.
func (x *Exchange) Follows(r *base.Record) bool {
	asked := slices.ContainsFunc(x.Asked, func(a *pb.TableRange) bool { return a.GetFirst() <= r.Tag && r.Tag <= a.GetLast() })
	if !asked || x.Last != nil && base.CompareNames(r, x.Last) <= 0 || x.Entries == maxFetched {
		return false
	}
	x.Last = r
	x.Entries++
	return true
}

// IsForeign reports whether a range may not be in the answer: it has to lie within a range asked
// about; within a part if it is to be divided further; and, if it has been left open, behind
// what was announced.
func (x *Exchange) IsForeign(r *pb.TableRange) bool {
	within := func(first, last uint64) bool { return first <= r.GetFirst() && r.GetLast() <= last }
	i := slices.IndexFunc(x.Asked, func(a *pb.TableRange) bool { return within(a.GetFirst(), a.GetLast()) })
	switch kind := r.GetKind(); {
	case i < 0:
		return true
	case kind == pb.RangeKind_OPEN:
		return x.Piece < table.MaxAnswer || x.Last != nil && r.GetFirst() <= x.Last.Tag
	case kind == pb.RangeKind_FINGERPRINTS || kind == pb.RangeKind_HELD:
		a := x.Asked[i]
		for k := range a.GetHashes() {
			if a.GetKind() == pb.RangeKind_FINGERPRINTS && within(table.Part(a.GetFirst(), a.GetLast(), k, len(a.GetHashes()))) {
				return false
			}
		}
		return true
	}
	return false
}
