package table

import (
	"testing"

	"pgregory.net/rapid"

	"quicpeer/overlay/core/base"
)

// naiveLack is Lack by checking one number after the other.
func naiveLack(r *Run, from, to uint64) (first, last uint64) {
	first, to = max(from, r.Next), min(to, r.Known)
	for first <= to && r.Has(first) {
		first++
	}
	for last = first; last <= to && !r.Has(last); last++ {
	}
	return first, last - 1
}

// TestLack: the first missing numbers are found, whatever is held back.
func TestLack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Run{Next: rapid.Uint64Range(1, 12).Draw(t, "next"), Heard: rapid.Bool().Draw(t, "heard")}
		for n := range uint64(20) {
			if rapid.IntRange(0, 2).Draw(t, "held") > 0 {
				r.Recent = append(r.Recent, &RecentBroadcast{Number: n + 1})
				r.Known = n + 1
			}
		}
		r.Known = max(r.Known, rapid.Uint64Range(0, 30).Draw(t, "known"))
		from := rapid.Uint64Range(0, 24).Draw(t, "from")
		to := from + rapid.Uint64Range(0, 24).Draw(t, "more")
		first, last := naiveLack(r, from, to)
		gotFirst, gotLast := r.Lack(from, to)
		if none := first > last; none != (gotFirst > gotLast) || !none && (gotFirst != first || gotLast != last) {
			t.Fatalf("%d to %d, not %d to %d", gotFirst, gotLast, first, last)
		}
	})
}

// TestHolesInPositions: a position names the stretches that we have, since nobody can have the
// holes from us; the last of too many takes in the rest.
func TestHolesInPositions(t *testing.T) {
	r := &Run{Entry: &Entry{Record: &base.Record{}}}
	for n := range uint64(2 * MaxStretches) {
		r.Recent = append(r.Recent, &RecentBroadcast{Number: 2*n + 1})
	}
	list := r.AppendPosition(nil, 0)
	if len(list) != MaxStretches || list[0].First != 1 || list[0].Last != 1 ||
		list[MaxStretches-1].First != 2*MaxStretches-1 || list[MaxStretches-1].Last != 4*MaxStretches-1 {
		t.Errorf("tells %v", list)
	}
}
