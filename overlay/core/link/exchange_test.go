package link

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestFollows: an entry of an answer was asked for and lies behind those before.
func TestFollows(t *testing.T) {
	at := func(tag uint64, id certs.ID) *base.Record { return &base.Record{Tag: tag, ID: id} }
	x := &Exchange{Asked: []*pb.TableRange{{First: 10, Last: 20}, {First: 30, Last: 40}}}
	for i, test := range []struct {
		r       *base.Record
		follows bool
	}{
		{at(9, "a"), false}, {at(21, "a"), false}, {at(10, "b"), true}, {at(10, "b"), false}, {at(10, "a"), false}, {at(10, "c"), true},
		{at(30, "a"), true}, {at(20, "a"), false}, {at(40, "a"), true}, {at(41, "a"), false},
	} {
		if x.Follows(test.r) != test.follows {
			t.Errorf("%d: entry %d %s follows: %v", i, test.r.Tag, test.r.ID, !test.follows)
		}
	}
	if x.Entries != 4 {
		t.Errorf("%d have come", x.Entries)
	}
	x.Last, x.Entries = nil, maxFetched
	if x.Follows(at(10, "a")) {
		t.Error("more follow than a table has")
	}
}

// TestIsForeign: a range of an answer lies in one that was asked about, in a part if it is divided
// further, and behind all that was announced if it is left open.
func TestIsForeign(t *testing.T) {
	const open, prints, held, wanted = pb.RangeKind_OPEN, pb.RangeKind_FINGERPRINTS, pb.RangeKind_HELD, pb.RangeKind_WANTED
	x := &Exchange{Asked: []*pb.TableRange{{First: 0, Last: 99, Kind: prints, Hashes: make([]uint64, 2)}, {First: 200, Last: 299, Kind: held}}}
	for _, test := range []struct {
		kind        pb.RangeKind
		first, last uint64
		piece       int
		foreign     bool
	}{
		{held, 0, 48, 0, false}, {held, 10, 20, 0, false}, {held, 49, 99, 0, false}, {prints, 0, 48, 0, false},
		{held, 0, 99, 0, true}, {prints, 0, 99, 0, true}, {held, 48, 49, 0, true}, {held, 100, 150, 0, true}, {held, 90, 110, 0, true},
		{held, 210, 220, 0, true}, // what was listed is not divided further
		{wanted, 0, 99, 0, false}, {wanted, 200, 299, 0, false}, {wanted, 99, 200, 0, true},
		{open, 50, 99, 0, true}, {open, 50, 99, table.MaxAnswer - 1, true}, {open, 50, 99, table.MaxAnswer, false},
		{open, 40, 99, table.MaxAnswer, true}, {open, 41, 99, table.MaxAnswer, false},
	} {
		x.Piece, x.Last = test.piece, &base.Record{Tag: 40}
		if x.IsForeign(&pb.TableRange{First: test.first, Last: test.last, Kind: test.kind}) != test.foreign {
			t.Errorf("%+v: is foreign: %v", test, !test.foreign)
		}
	}
}

// TestOffences: each offence of a peer is told once, several kinds of it at most, and forgotten in
// time; the last offenders are remembered.
func TestOffences(t *testing.T) {
	var o offences
	key := certs.PublicKey{1}
	for i, test := range []struct {
		why   string
		at    time.Duration
		many  int
		again bool
	}{
		{"a", 0, 1, false}, {"a", 1, 2, true}, {"b", 2, 3, false}, {"c", 3, 4, false}, {"d", 4, 5, true},
		{"d", 3 + offenceFor, 6, true}, {"d", 3 + 2*offenceFor, 1, false},
	} {
		if many, again := o.note(key, test.why, test.at); many != test.many || again != test.again {
			t.Errorf("%d: the offence %d, told before: %v", i, many, again)
		}
	}
	for i := range byte(maxOffenders) {
		o.note(certs.PublicKey{2, i}, "a", 3*offenceFor)
	}
	kept := func(key certs.PublicKey) bool {
		return slices.ContainsFunc(o.list, func(f offence) bool { return f.key == key })
	}
	if len(o.list) != maxOffenders || kept(key) || !kept(certs.PublicKey{2, 0}) {
		t.Errorf("%d are remembered, the first of them: %v", len(o.list), kept(key))
	}
}
