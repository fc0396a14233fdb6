package table

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

const (
	join  = pb.AnnouncementType_JOIN
	lost  = pb.AnnouncementType_LOST
	leave = pb.AnnouncementType_LEAVE
)

func newTable() *Table {
	return &Table{Env: &base.Env{Cfg: base.Config{Rand: rand.New(rand.NewPCG(1, 2))}}}
}

// record is a JOIN of the key of this number.
func record(id string, key, epoch uint64, seq uint32) *base.Record {
	r := &base.Record{ID: certs.ID(id), Epoch: epoch, Seq: seq, Tag: base.TagOf(certs.ID(id))}
	for i := range 8 {
		r.Key[7-i] = byte(key >> (8 * i))
	}
	return r
}

// many returns records of so many peers.
func many(n int) []*base.Record {
	list := make([]*base.Record, n)
	for i := range list {
		list[i] = record(fmt.Sprint("m", i), uint64(i), 1, 0)
	}
	return list
}

// TestTableKeepsOrder: whatever is inserted, changed and removed, the entries are in order, each
// is found, ranges hold what lies in them, and the buried and the goodbyes are counted.
func TestTableKeepsOrder(t *testing.T) {
	tags := []uint64{0, 1, 1<<32 - 1, 1 << 32, 1<<32 + 5, math.MaxUint64 - 1, math.MaxUint64}
	rapid.Check(t, func(rt *rapid.T) {
		tb := newTable()
		var model []*Entry
		for i := range rapid.IntRange(0, 40).Draw(rt, "steps") {
			r := record(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id"), rapid.Uint64Range(0, 1).Draw(rt, "key"), 1, 0)
			r.Tag = rapid.SampledFrom(tags).Draw(rt, "tag")
			state, said := pb.AnnouncementType(rapid.IntRange(1, 3).Draw(rt, "state")), time.Duration(rapid.IntRange(0, 5).Draw(rt, "said"))
			e := tb.Lookup(r.Tag, r.ID, r.Key)
			if held := slices.IndexFunc(model, func(f *Entry) bool { return base.CompareNames(f.Record, r) == 0 }); (held >= 0) != (e != nil) || e != nil && model[held] != e {
				rt.Fatalf("step %d: finds %v", i, e)
			}
			switch {
			case e == nil:
				e = NewEntry(r, state, said)
				tb.Insert(e)
				model = append(model, e)
			case rapid.Bool().Draw(rt, "remove"):
				tb.Remove(e)
				model = slices.DeleteFunc(model, func(f *Entry) bool { return f == e })
			default:
				e.Said = said
				tb.Set(e, r, state)
			}
		}
		slices.SortFunc(model, func(e, f *Entry) int { return base.CompareNames(e.Record, f.Record) })
		if !slices.Equal(tb.Entries, model) {
			rt.Fatalf("%d entries, not %d in order", len(tb.Entries), len(model))
		}
		gone, firstLeft := 0, time.Duration(math.MaxInt64)
		for i, e := range model {
			if tb.Tags[i] != e.Record.Tag {
				rt.Fatalf("entry %d has the tag %d", i, tb.Tags[i])
			}
			if e.Buried() {
				gone++
			}
			if e.State == leave {
				firstLeft = min(firstLeft, e.Said)
			}
		}
		if first := tb.FirstLeft(); tb.Gone != gone || (first != nil) != (firstLeft < math.MaxInt64) || first != nil && first.Said != firstLeft {
			rt.Fatalf("%d are gone, not %d; the first has left at %v, not %v", tb.Gone, gone, first, firstLeft)
		}
		within := func(first, last uint64) []*Entry {
			return slices.DeleteFunc(slices.Clone(model), func(e *Entry) bool { return e.Record.Tag < first || e.Record.Tag > last })
		}
		for _, first := range tags {
			for _, last := range tags {
				if first <= last && !slices.Equal(tb.In(first, last), within(first, last)) {
					rt.Fatalf("from %d to %d it has %v", first, last, tb.In(first, last))
				}
			}
			if short := first >> 32 << 32; !slices.Equal(tb.Named(base.ShortTag(first)), within(short, short+1<<32-1)) {
				rt.Fatalf("%d names %v", base.ShortTag(first), tb.Named(base.ShortTag(first)))
			}
		}
	})
}

// TestOwner: an ID belongs to the key that was met first, as long as that is here or was not lost for
// long; a suspect may still refute.
func TestOwner(t *testing.T) {
	const now = time.Hour
	long := func(e *Entry) { e.Said = now - HoldsFor }
	for _, test := range []struct {
		name   string
		states []pb.AnnouncementType // of keys 0, 1 and so on, which come in this order, in epochs 9, 8 and so on
		change func(*Table, []*Entry)
		owner  int // -1: none
		called string
	}{
		{"nobody", nil, nil, -1, ""},
		{"the first, not the older run", []pb.AnnouncementType{join, join, join}, nil, 0, "-++"},
		{"the living", []pb.AnnouncementType{join, lost, leave}, nil, 0, "-++"},
		{"a suspect", []pb.AnnouncementType{lost, join}, func(_ *Table, l []*Entry) { l[0].With().Until = now + 1 }, 0, "-+"},
		{"one that was just lost keeps it", []pb.AnnouncementType{lost, join}, nil, -1, "-+"},
		{"not one that was lost for long", []pb.AnnouncementType{lost, join}, func(_ *Table, l []*Entry) { long(l[0]) }, 1, "--"},
		{"nor one that has left", []pb.AnnouncementType{leave, join}, nil, 1, "--"},
		{"one that has left while the other was there keeps it", []pb.AnnouncementType{join, join}, func(tb *Table, l []*Entry) { tb.Set(l[0], l[0].Record, leave); l[0].Said = now + 1 }, -1, "-+"},
		{"not for long", []pb.AnnouncementType{join, join}, func(tb *Table, l []*Entry) {
			tb.Set(l[0], l[0].Record, leave)
			l[1].Side.met, l[0].Said = now-HoldsFor-1, now-HoldsFor
		}, 1, "--"},
		{"nor after its start", []pb.AnnouncementType{join, join}, func(tb *Table, l []*Entry) {
			tb.Set(l[0], l[0].Record, leave)
			l[0].Said, l[0].Began = now+1, now+2-settled
		}, 1, "--"},
		{"one that has just been missing keeps it", []pb.AnnouncementType{join, join}, func(tb *Table, l []*Entry) { l[0].Missing, tb.MissingSince = true, now }, -1, "-+"},
		{"not one that is missing for long", []pb.AnnouncementType{join, join}, func(tb *Table, l []*Entry) { l[0].Missing, tb.MissingSince = true, now-HoldsFor }, 1, "--"},
		{"the next in turn", []pb.AnnouncementType{leave, join, join}, nil, 1, "--+"},
		{"it is given for good", []pb.AnnouncementType{leave, join}, func(tb *Table, l []*Entry) { l[1].Inherits(l); tb.Set(l[0], l[0].Record, join) }, 1, "+-"},
		{"all have gone", []pb.AnnouncementType{leave, leave}, nil, -1, "--"},
	} {
		tb := newTable()
		tb.Now = now
		tb.Insert(NewEntry(record("another", 7, 1, 0), join, 0))
		var list []*Entry
		for i, state := range test.states {
			list = append(list, NewEntry(record("id", uint64(i), uint64(9-i), 0), state, now))
			tb.Insert(list[i])
		}
		if test.change != nil {
			test.change(tb, list)
		}
		owner := tb.Owner("id", now)
		if i := slices.Index(list, owner); i != test.owner || owner == nil != (test.owner < 0) {
			t.Errorf("%s: %v", test.name, owner)
		}
		for i, e := range list {
			want := certs.ID("id")
			if test.called[i] == '+' {
				want = certs.Alias("id", e.Record.Key)
			}
			if name := tb.NameOf(e, now); name != want {
				t.Errorf("%s: key %d is called %s", test.name, i, name)
			}
		}
	}
}

// TestOwnerForNewcomers: those whom the door has met later come behind those it has met first, in
// whatever order the table comes.
func TestOwnerForNewcomers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tb, first := newTable(), -1
		for n, i := range rapid.Permutation([]int{0, 1, 2, 3}).Draw(rt, "order") {
			e := NewEntry(record("id", uint64(i), uint64(9-i), 0), join, 0)
			if i > 0 {
				e.Later()
			}
			if tb.Insert(e); n == 0 {
				first = i
			}
			if i == 0 {
				first = 0
			}
			if owner := tb.Owner("id", 0); owner.Record.Key != record("id", uint64(first), 0, 0).Key {
				rt.Fatalf("after %d the owner is %v", i, owner.Record)
			}
		}
	})
}

// TestCalled: a claimant that is shown is found by its name, and by its ID only who is shown as that.
func TestCalled(t *testing.T) {
	tb := newTable()
	first, second := NewEntry(record("id", 1, 9, 0), join, 0), NewEntry(record("id", 2, 8, 0), join, 0)
	tb.Insert(first)
	tb.Insert(second)
	alias := tb.NameOf(second, 0)
	if tb.Called("id") != nil || tb.Called(alias) != nil || tb.ByName("id", 0) != first || tb.ByName(alias, 0) != nil {
		t.Error("finds those that are not shown")
	}
	first.Shown, second.Shown, second.With().Called = first.Record, second.Record, alias
	if tb.Called("id") != first || tb.Called(alias) != second || tb.ByName(alias, 0) != second || tb.Called("id~aaaa") != nil {
		t.Errorf("%s is %v", alias, tb.Called(alias))
	}
}

// take puts a statement of a new peer into the table if there is room.
func (t *Table) take(r *base.Record, state pb.AnnouncementType) (evicted *Entry, ok bool) {
	if evicted, ok = t.Room(r, state, t.Self, t.Now); evicted != nil && ok {
		t.Remove(evicted)
	}
	if ok {
		t.Insert(NewEntry(r, state, t.Now))
	}
	return evicted, ok
}

// TestManyKeys: of the keys of one ID the first is held, and of the others the best three, in whatever
// order they come; a displaced one does not come back.
func TestManyKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tb := newTable()
		var best []uint64
		first := uint64(0)
		for _, epoch := range rapid.SliceOfN(rapid.Uint64Range(1, 9), 1, 30).Draw(rt, "epochs") {
			if r := record("crowd", epoch, epoch, 0); tb.Get(r.ID, r.Key) == nil {
				tb.take(r, join)
			}
			if first == 0 {
				first = epoch
			}
			if epoch != first {
				best = append(best, epoch)
			}
			slices.Sort(best)
			best = slices.Compact(best)
			best = best[:min(len(best), MaxKeysPerID-1)]
			want := append([]uint64{first}, best...)
			slices.Sort(want)
			var held []uint64
			for _, e := range tb.Of("crowd") {
				held = append(held, e.Record.Epoch)
			}
			if slices.Sort(held); !slices.Equal(held, want) {
				rt.Fatalf("after %d holds %v, not %v", epoch, held, want)
			}
		}
	})
}

// TestRoomOfKeys: which of the keys of an ID goes for another one; and that we ourselves stay.
func TestRoomOfKeys(t *testing.T) {
	for _, test := range []struct {
		name     string
		states   string // of the keys 0 to 3, in epochs 10, 20 and so on: alive, Lost, left, suspect
		epoch    uint64 // of the newcomer
		state    pb.AnnouncementType
		self     int
		evicts   int
		hasPlace bool
	}{
		{"the youngest goes for an older one", "aaaa", 5, join, -1, 3, true},
		{"a younger one has no place", "aaaa", 50, join, -1, -1, false},
		{"we do not go", "aaaa", 5, join, 3, 2, true},
		{"nor when we have left", "aaaL", 50, join, 3, -1, false},
		{"another that has left goes", "aaLL", 50, join, 2, 3, true},
		{"a lost one goes for any", "aala", 50, join, -1, 2, true},
		{"one that has left goes before the lost", "alLa", 50, join, -1, 2, true},
		{"of the lost the older goes", "alla", 50, join, -1, 1, true},
		{"a suspect stays", "asaa", 50, join, -1, -1, false},
		{"a suspect stays, another goes", "asaa", 5, join, -1, 3, true},
		{"a buried newcomer has no place", "lLaa", 5, lost, -1, -1, false},
		{"nor has one that has left", "lLaa", 5, leave, -1, -1, false},
	} {
		tb := newTable()
		list := make([]*Entry, len(test.states))
		for i, c := range test.states {
			list[i] = NewEntry(record("id", uint64(i), uint64(10*(i+1)), 0), map[rune]pb.AnnouncementType{'a': join, 'l': lost, 's': lost, 'L': leave}[c], 0)
			if c == 's' {
				list[i].With().Until = time.Second
			}
			tb.Insert(list[i])
		}
		if test.self >= 0 {
			tb.Self = list[test.self]
		}
		evicted, ok := tb.take(record("id", 9, test.epoch, 0), test.state)
		if ok != test.hasPlace || ok && slices.Index(list, evicted) != test.evicts {
			t.Errorf("%s: takes it %v, for %v", test.name, ok, slices.Index(list, evicted))
		}
	}
}

// TestLivingFirst: in a full table a living peer takes the place of one that has left, then of a
// lost one; a buried one takes the place of buried ones only.
func TestLivingFirst(t *testing.T) {
	tb := newTable()
	tb.Load(many(MaxEntries-4), 0)
	for i, state := range []pb.AnnouncementType{lost, leave, lost, leave} {
		tb.Now = time.Duration(i) * time.Minute
		if evicted, ok := tb.take(record(fmt.Sprint("gone", i), 1, 5, 1), state); !ok || evicted != nil {
			t.Fatalf("%d: takes it %v, for %v", i, ok, evicted)
		}
	}
	for i, goes := range []certs.ID{"gone1", "gone3", "gone0", "gone2"} {
		if _, ok := tb.take(record("buried", 1, 5, 1), leave); ok {
			t.Error("a buried peer has taken a place")
		}
		if tb.Full(tb.Now) {
			t.Errorf("%d: the table is full", i)
		}
		evicted, ok := tb.take(record(fmt.Sprint("new", i), 1, 5, 0), join)
		if !ok || evicted.Record.ID != goes || len(tb.Entries) != MaxEntries {
			t.Fatalf("%d: takes it %v, for %v", i, ok, evicted)
		}
	}
	if evicted, ok := tb.take(record("new5", 1, 5, 0), join); ok || !tb.Full(tb.Now) || tb.Gone != 0 {
		t.Errorf("a living peer goes for another: %v", evicted)
	}
}

// TestWeStayWhenWeLeave: a full table gives up whoever else has left, but not ourselves.
func TestWeStayWhenWeLeave(t *testing.T) {
	tb := newTable()
	tb.Load(many(MaxEntries-2), 0)
	for _, id := range []string{"self", "gone"} {
		tb.take(record(id, 1, 5, 0), join)
	}
	tb.Self = tb.Of("self")[0]
	tb.Set(tb.Self, record("self", 1, 5, 1), leave)
	if evicted, ok := tb.take(record("new", 1, 5, 0), join); ok || !tb.Full(tb.Now) {
		t.Errorf("takes a newcomer %v, for %v", ok, evicted)
	}
	tb.Set(tb.Of("gone")[0], record("gone", 1, 5, 1), leave)
	if evicted, ok := tb.take(record("new", 1, 5, 0), join); !ok || evicted.Record.ID != "gone" {
		t.Errorf("takes a newcomer %v, for %v", ok, evicted)
	}
}

// TestRoomOfTheBuried: buried peers that nobody has known in life have so many places, of which
// those that have left are given up.
func TestRoomOfTheBuried(t *testing.T) {
	tb := newTable()
	for i := range uint64(MaxTombstones) {
		state := lost
		if i == 7 {
			state = leave
		}
		tb.take(record(fmt.Sprint("b", i), i, 1, 0), state)
	}
	if evicted, ok := tb.take(record("one", 1, 1, 0), lost); !ok || evicted.Record.ID != "b7" {
		t.Errorf("takes one more %v, for %v", ok, evicted)
	}
	if evicted, ok := tb.take(record("two", 1, 1, 0), leave); ok {
		t.Errorf("takes two more, for %v", evicted)
	}
	if evicted, ok := tb.take(record("three", 1, 1, 0), join); !ok || evicted != nil {
		t.Errorf("takes a living one %v, for %v", ok, evicted)
	}
}

// TestPick: a pick is a random one of those that meet the condition, however few do.
func TestPick(t *testing.T) {
	tb := newTable()
	if e := tb.Pick(func(*Entry) bool { return true }); e != nil {
		t.Errorf("picks %v of nobody", e)
	}
	tb.Load(many(500), 0)
	picked := make(map[*Entry]int)
	for range 400 {
		picked[tb.Pick(func(e *Entry) bool { return e.Record.Key[7]%128 == 5 })]++ // 4 of them
	}
	if len(picked) != 4 || picked[nil] > 0 {
		t.Errorf("picks %v", picked)
	}
	if e := tb.Pick(func(*Entry) bool { return false }); e != nil {
		t.Errorf("picks %v", e)
	}
}
