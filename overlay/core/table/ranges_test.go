package table

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestParts: the parts of a range follow each other and make it up.
func TestParts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.Uint64().Draw(rt, "first")
		of := rapid.IntRange(1, pb.MaxHashes).Draw(rt, "of")
		last := rapid.Uint64Range(first, math.MaxUint64).Draw(rt, "last")
		if of > 1 && last-first < uint64(of) {
			rt.Skip() // not divided
		}
		next := first
		for i := range of {
			from, to := Part(first, last, i, of)
			if from != next || to < from || i == of-1 != (to == last) {
				rt.Fatalf("part %d of %d of %d to %d is %d to %d", i, of, first, last, from, to)
			}
			next = to + 1
		}
	})
}

// TestDigest: equal tables have equal digests, whatever order their entries came in; each part of
// a version makes a difference; peers that only we miss and guests make none.
func TestDigest(t *testing.T) {
	list := many(20)
	left, right := newTable(), newTable()
	for i := range list {
		left.Insert(NewEntry(list[i], join, 0))
		right.Insert(NewEntry(list[len(list)-1-i], join, 7))
	}
	if !bytes.Equal(left.Digest(), right.Digest()) {
		t.Error("the order makes a difference")
	}
	for name, change := range map[string]func(r *base.Record){
		"epoch": func(r *base.Record) { r.Epoch++ },
		"seq":   func(r *base.Record) { r.Seq++ },
		"tie":   func(r *base.Record) { r.Tie++ },
	} {
		r := *list[5]
		change(&r)
		e := right.Lookup(r.Tag, r.ID, r.Key)
		if right.Set(e, &r, join); bytes.Equal(left.Digest(), right.Digest()) {
			t.Errorf("another %s makes no difference", name)
		}
		right.Set(e, list[5], join)
	}
	e := right.Entries[3]
	if right.Set(e, e.Record, lost); bytes.Equal(left.Digest(), right.Digest()) {
		t.Error("another state makes no difference")
	}
	right.Set(e, e.Record, join)
	guest := record("guest", 1, 1, 0)
	guest.Visitor = true
	missing := NewEntry(record("missing", 1, 1, 0), join, 0)
	missing.Missing = true
	right.Insert(NewEntry(guest, join, 0))
	if right.Insert(missing); !bytes.Equal(left.Digest(), right.Digest()) {
		t.Error("a guest or a missing peer makes a difference")
	}
	if right.Found(missing); bytes.Equal(left.Digest(), right.Digest()) {
		t.Error("a peer that is found makes no difference")
	}
}

// takeGreater puts entries of another table into ours, where they are greater.
func (t *Table) takeGreater(list []*Entry) {
	for _, f := range list {
		e := t.Lookup(f.Record.Tag, f.Record.ID, f.Record.Key)
		switch {
		case e == nil:
			t.Insert(NewEntry(f.Record, f.State, 0))
		case f.Version().Compare(e.Version()) > 0:
			t.Set(e, f.Record, f.State)
		}
	}
}

// TestTablesBecomeEqual: whatever two tables hold, and however little an answer may bring, they
// are equal once nothing is open between them, and hold the greater of each entry. No answer
// brings more than it may, but for the entries of one tag.
func TestTablesBecomeEqual(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, left, right *Table, room int) {
		best := newTable()
		best.takeGreater(left.Entries)
		best.takeGreater(right.Entries)
		sides := [2]*Table{right, left}
		said := []*pb.TableRange{left.Everything()}
		for step := 0; len(said) > 0; step++ {
			if step > 1000 {
				t.Fatalf("does not end: %v", said)
			}
			hears, says := sides[step%2], sides[(step+1)%2]
			var back []*pb.TableRange
			for _, r := range said {
				lacks, more := hears.Compare(r, room)
				if r.GetKind() == pb.RangeKind_HELD && len(lacks) > room {
					t.Fatalf("brings %d for %d", len(lacks), room)
				}
				says.takeGreater(lacks)
				back = append(back, more...)
			}
			said = back
		}
		if !bytes.Equal(left.Digest(), right.Digest()) || !bytes.Equal(left.Digest(), best.Digest()) {
			t.Fatalf("%d and %d entries, not %d", len(left.Entries), len(right.Entries), len(best.Entries))
		}
	}
	draw := func(rt *rapid.T, n int) (left, right *Table) {
		left, right = newTable(), newTable()
		kind := rapid.SliceOfN(rapid.IntRange(0, 15), n, n).Draw(rt, "differences")
		for i, r := range many(n) {
			for side, tb := range []*Table{left, right} {
				switch kind[i] {
				case side: // the other side lacks it
				case 2 + side: // or has an older version
					tb.Insert(NewEntry(record(string(r.ID), uint64(i), 1, 1), join, 0))
				case 4 + side:
					tb.Insert(NewEntry(r, lost, 0))
				default:
					tb.Insert(NewEntry(r, join, 0))
				}
			}
		}
		return left, right
	}
	rapid.Check(t, func(rt *rapid.T) {
		left, right := draw(rt, rapid.IntRange(0, 300).Draw(rt, "n"))
		check(rt, left, right, rapid.IntRange(1, 40).Draw(rt, "room"))
	})
	all := many(5000)
	for name, sizes := range map[string][2]int{"one is empty": {0, 5000}, "the other is": {5000, 0}, "one has few": {10, 5000}, "they are equal": {5000, 5000}} {
		t.Run(name, func(t *testing.T) {
			left, right := newTable(), newTable()
			left.Load(slices.Clone(all[:sizes[0]]), 0)
			right.Load(slices.Clone(all[:sizes[1]]), 0)
			check(t, left, right, MaxAnswer)
		})
	}
}

// TestLongAnswer: an answer about more entries than it may bring leaves open exactly what lies
// behind them; those that nobody else is told of take no place in it.
func TestLongAnswer(t *testing.T) {
	tb := newTable()
	tb.Load(many(100), 0)
	var told []*Entry
	for i, e := range tb.Entries {
		if e.Missing = i%3 == 0; !e.Missing {
			told = append(told, e)
		}
	}
	for room := 1; room <= len(told)+1; room++ {
		lacks, back := tb.Compare(&pb.TableRange{Last: math.MaxUint64, Kind: pb.RangeKind_HELD}, room)
		want := min(room, len(told))
		if !slices.Equal(lacks, told[:want]) {
			t.Fatalf("room for %d: brings %d", room, len(lacks))
		}
		var open []string
		for _, r := range back {
			open = append(open, fmt.Sprint(r.GetKind(), r.GetFirst(), r.GetLast()))
		}
		var left []string
		if want < len(told) {
			left = []string{fmt.Sprint(pb.RangeKind_OPEN, told[want].Record.Tag, uint64(math.MaxUint64))}
		}
		if !slices.Equal(open, left) {
			t.Fatalf("room for %d: leaves %v, not %v", room, open, left)
		}
	}
}
