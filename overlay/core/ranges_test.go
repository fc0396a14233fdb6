package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// manyMembers returns n records, as peers with a few interfaces have them.
func manyMembers(n int) []*base.Record {
	list := make([]*base.Record, n)
	for i := range list {
		list[i] = manyMember(i, 0)
	}
	return list
}

func manyMember(i int, seq uint32) *base.Record {
	key := make([]byte, pb.KeySize)
	binary.BigEndian.PutUint64(key, uint64(i)+1)
	return unsigned(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: fmt.Sprintf("member-%d", i), Key: key, Network: "net", Epoch: 1_700_000_000_000, Seq: seq,
		Addresses: []string{"192.168.178.20:49152", "[2001:db8:1234:5678:9abc:def0:1234:5678]:49152", "203.0.113.77:50000"},
	})
}

// difference is how the tables of two peers differ: by how many entries that only one has, and
// how many of which it has a newer version.
type difference struct{ onlyLeft, onlyRight, newerLeft, newerRight int }

func (d difference) total() int { return d.onlyLeft + d.onlyRight + d.newerLeft + d.newerRight }

// tables returns two tables of n members with the difference.
func (d difference) tables(n int) (left, right []*base.Record) {
	left, right = manyMembers(n), manyMembers(n)
	place := func(k int) int { return k * (n / max(d.total(), 1)) } // spread over the table
	k := 0
	for range d.newerLeft {
		left[place(k)], k = manyMember(place(k), 1), k+1
	}
	for range d.newerRight {
		right[place(k)], k = manyMember(place(k), 1), k+1
	}
	for range d.onlyLeft {
		right[place(k)], k = nil, k+1
	}
	for range d.onlyRight {
		left[place(k)], k = nil, k+1
	}
	missing := func(r *base.Record) bool { return r == nil }
	return slices.DeleteFunc(left, missing), slices.DeleteFunc(right, missing)
}

// pair is two peers with these tables, and the bytes of their frames.
func pair(t testing.TB, left, right []*base.Record) (w *wire, p, q *wired, size *int) {
	w, size = newWire(t), new(int)
	p = w.add(0, func(c *base.Config) { c.Members = left })
	q = w.add(1, func(c *base.Config) { c.Members = right })
	w.watch = func(_, _ *wired, _ *pb.PeerMessage, n int) { *size += n }
	return w, p, q, size
}

// makeNeighbours makes neighbours of two peers without a handshake, so that nothing else is said.
func makeNeighbours(p, q *wired) (l *link.Link) {
	for _, d := range [][2]*wired{{q, p}, {p, q}} {
		d[0].c.accept(nil, link.News{Record: d[1].c.table.Self.Record, State: pb.AnnouncementType_JOIN})
		d[0].last, d[0].ends[1] = 1, wireEnd{d[1], 1}
		d[0].c.Step(0, Connected{Link: 1, Dial: 0, Key: d[1].c.env.Cfg.Identity.Key(), Address: ""})
		l = d[0].c.links.Link(1)
		l.State, l.Peer, l.Neighbour = link.LinkUp, d[1].id, true
	}
	return l
}

// compared lets two peers with these tables compare them once, and returns the bytes that this
// took.
func compared(t testing.TB, left, right []*base.Record) (p, q *wired, size int) {
	w, p, q, bytes := pair(t, left, right)
	l := makeNeighbours(p, q)
	p.c.sync.CompareTables(l)
	w.drain(p)
	w.deliver()
	if l.Exchange != nil || len(p.closes)+len(q.closes) > 0 {
		t.Fatalf("the comparison ends as %+v, closes %v %v", l.Exchange, p.closes, q.closes)
	}
	return p, q, *bytes
}

// TestBytesCompared: a comparison costs as much as the difference and not as the table: 10 among
// 10,000 in at most 25 kB, and equal tables a few bytes.
func TestBytesCompared(t *testing.T) {
	for _, test := range []struct {
		n    int
		d    difference
		most int
	}{
		{10_000, difference{}, 100},
		{10_000, difference{3, 2, 3, 2}, 25_000},
		{10_000, difference{10, 0, 0, 0}, 25_000},
		{10_000, difference{0, 10, 0, 0}, 25_000},
		{10_000, difference{0, 0, 10, 0}, 25_000},
		{10_000, difference{0, 0, 0, 10}, 25_000},
		{10_000, difference{25, 25, 25, 25}, 100_000},
		{10_000, difference{250, 250, 250, 250}, 600_000},
		{200, difference{1, 1, 1, 1}, 4_000},
	} {
		left, right := test.d.tables(test.n)
		p, q, size := compared(t, left, right)
		t.Logf("%d of %d differ as %+v: %d bytes", test.d.total(), test.n, test.d, size)
		if size > test.most {
			t.Errorf("%d of %d differ as %+v: %d bytes, at most %d", test.d.total(), test.n, test.d, size, test.most)
		}
		if !bytes.Equal(p.c.Digest(), q.c.Digest()) {
			t.Errorf("%+v: the tables are not equal", test.d)
		}
	}
}

// TestBytesOfNeighbours: two new neighbours pay no more than twice that, since both may have
// asked.
func TestBytesOfNeighbours(t *testing.T) {
	const n = 10_000
	left, right := difference{3, 2, 3, 2}.tables(n)
	w, p, q, size := pair(t, left, right)
	w.connect(p, q)
	t.Logf("%d bytes", *size)
	if *size > 2*25_000 || !bytes.Equal(p.c.Digest(), q.c.Digest()) {
		t.Errorf("%d bytes, and the tables are equal: %v", *size, bytes.Equal(p.c.Digest(), q.c.Digest()))
	}
}

// TestTablesBecomeEqual: whatever two tables hold, after a comparison both hold the greater of
// each entry; also if one is empty, or more differs than an answer holds.
func TestTablesBecomeEqual(t *testing.T) {
	check := func(t testing.TB, n int, d difference) {
		left, right := d.tables(n)
		p, q, _ := compared(t, left, right)
		if !bytes.Equal(p.c.Digest(), q.c.Digest()) {
			t.Fatalf("%d entries that differ as %+v: the tables are not equal", n, d)
		}
		if len(p.c.table.Entries) != n+2 {
			t.Fatalf("%d entries that differ as %+v: %d afterwards", n, d, len(p.c.table.Entries))
		}
		newer := 0
		for _, e := range p.c.table.Entries {
			newer += int(e.Record.Seq)
		}
		if newer != d.newerLeft+d.newerRight {
			t.Fatalf("%d entries that differ as %+v: %d of the newer versions are held", n, d, newer)
		}
	}
	for _, d := range []difference{
		{2000, 0, 0, 0}, {0, 2000, 0, 0}, {0, 0, 2000, 0}, {0, 0, 0, 2000}, {500, 500, 500, 500}, {1, 1999, 0, 0}, {1, 0, 1999, 0},
	} {
		check(t, 2000, d)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(rt, "n")
		share := func(what string) int { return rapid.IntRange(0, n/4).Draw(rt, what) }
		check(t, n, difference{share("only left"), share("only right"), share("newer left"), share("newer right")})
	})
}

// TestManyInOneRange: if the ranges asked about have more entries than an answer holds, the rest is
// asked for.
func TestManyInOneRange(t *testing.T) {
	all := manyMembers(8000)
	for name, tables := range map[string][2][]*base.Record{
		"a small table asks": {all[:20], all},
		"a large table asks": {all, all[:20]},
	} {
		p, q, _ := compared(t, tables[0], tables[1])
		if !bytes.Equal(p.c.Digest(), q.c.Digest()) || len(p.c.table.Entries) != len(all)+2 {
			t.Errorf("%s: %d and %d entries", name, len(p.c.table.Entries), len(q.c.table.Entries))
		}
	}
}

// TestBurialsAreCompared: an entry buried in one table is buried in both, and has the same accusers.
func TestBurialsAreCompared(t *testing.T) {
	w := newWire(t)
	w.network(6)
	p, q := w.peers[0], w.peers[1]
	bury := func(p *wired, i int, kind pb.AnnouncementType) {
		a := say(kind, uint64(i), string(wireID(i)), 1000, 1)
		if kind == pb.AnnouncementType_LOST {
			a.Accusers = []string{string(wireID(4)), string(wireID(5))}
		}
		n, ok := p.c.gossip.Open(nil, a)
		if !ok {
			t.Fatal("not opened")
		}
		p.c.accept(nil, n)
	}
	bury(p, 2, pb.AnnouncementType_LOST)
	bury(q, 3, pb.AnnouncementType_LEAVE)
	w.connect(p, q)
	w.pass(table.SuspectAlone + time.Second)
	for _, side := range []*wired{p, q} {
		for i, want := range map[int]pb.AnnouncementType{2: pb.AnnouncementType_LOST, 3: pb.AnnouncementType_LEAVE, 4: pb.AnnouncementType_JOIN} {
			if e := side.c.table.Owner(wireID(i), w.now); (e != nil) != (want == pb.AnnouncementType_JOIN) {
				t.Errorf("%s: %s has the owner %v", side.id, wireID(i), e)
			}
			if e := side.c.table.Of(wireID(i))[0]; e.State != want {
				t.Errorf("%s holds %s as %v", side.id, wireID(i), e.State)
			} else if lost := want == pb.AnnouncementType_LOST; lost != slices.Equal(e.Our().Accusers, []certs.ID{wireID(4), wireID(5)}) {
				t.Errorf("%s holds %s as called lost by %q", side.id, wireID(i), e.Our().Accusers)
			}
		}
	}
}

// TestMissingIsOurs: a peer missing to us alone is told to nobody, and is back when the other side
// has it.
func TestMissingIsOurs(t *testing.T) {
	all := manyMembers(1000)
	w := newWire(t)
	p, q := w.add(0, func(c *base.Config) { c.Members = all }), w.add(1, func(c *base.Config) { c.Members = all[:900] })
	p.c.view.isolate()
	w.drain(p)
	w.link(p, q)
	w.link(q, p)
	for _, side := range []*wired{p, q} {
		l := side.c.links.LinkTo(w.peers[1-slices.Index(w.peers, side)].c.env.Cfg.Identity.Key())
		l.Neighbour, l.Slot = true, -1
		side.c.sync.CompareTables(l)
		w.drain(side)
		w.deliver()
	}
	for i, r := range all {
		if mine, theirs := p.there(r.ID), q.c.table.Shown(r.ID) != nil; mine != (i < 900) || theirs != (i < 900) {
			t.Fatalf("entry %d: shown here %v, there %v", i, mine, theirs)
		}
	}
}

// TestNewcomerTakesTheTable: a newcomer that becomes a neighbour at once takes a table of many
// pieces, is ready when it has them all, and loses no link.
func TestNewcomerTakesTheTable(t *testing.T) {
	for _, n := range []int{600, 5000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { takeTable(t, manyMembers(n)) })
	}
}

func takeTable(t *testing.T, all []*base.Record) {
	w := newWire(t)
	door := w.add(0, func(c *base.Config) { c.Members = all })
	newcomer := w.add(1, func(c *base.Config) { c.Join = []string{"door"} })
	w.watch = func(_, to *wired, m *pb.PeerMessage, _ int) {
		if to == newcomer && newcomer.c.env.Ready && len(newcomer.c.table.Entries) < len(all) {
			t.Fatalf("ready with %d of %d", len(newcomer.c.table.Entries), len(all))
		}
	}
	w.answer(newcomer, door, newcomer.c.reach.LastDial)
	w.pass(20 * time.Second)
	if !newcomer.c.env.Ready || len(newcomer.closes)+len(door.closes) > 0 || !bytes.Equal(newcomer.c.Digest(), door.c.Digest()) {
		t.Errorf("ready %v with %d of %d, closes %v %v", newcomer.c.env.Ready, len(newcomer.c.table.Entries), len(all), newcomer.closes, door.closes)
	}
}

// TestTableIsJudgedFirst: a newcomer is ready once the signatures of the table have been judged,
// and takes nothing of a piece with an invalid one.
func TestTableIsJudgedFirst(t *testing.T) {
	for _, valid := range []bool{true, false} {
		r, l := joining(t)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0)})
		r.c.Step(r.now, Received{Link: l, Frame: pb.Wrap(piece(say(pb.AnnouncementType_JOIN, 2, "two", 1, 0)))})
		r.c.Step(r.now, Received{Link: l, Frame: pb.Wrap(piece())}) // with nothing to be judged
		out := r.c.Drain()
		if len(out.Verify) != 1 || len(out.Verify[0].Claims) != 1 || len(out.Events) > 0 {
			t.Fatalf("wants judged %v, shows %v", out.Verify, out.Events)
		}
		r.c.Step(r.now, Verified{ID: out.Verify[0].ID, Valid: []bool{valid}})
		r.drain()
		if ready := slices.Contains(r.out.Events, base.Event(base.Ready{})); ready != valid || r.has("two") != valid || (len(r.out.Closes) > 0) == valid {
			t.Errorf("judged %v: is ready %v, shows %v, closes %v", valid, ready, r.c.Peers(), r.out.Closes)
		}
	}
}

// TestIsolatedDoor: a peer that reaches nobody, and so has no member to hand over, is a door all
// the same.
func TestIsolatedDoor(t *testing.T) {
	w := newWire(t)
	door := w.add(0, func(c *base.Config) { c.Members = manyMembers(2000) })
	door.c.view.isolate()
	newcomer := w.add(1, func(c *base.Config) { c.Join = []string{"door"} })
	w.answer(newcomer, door, newcomer.c.reach.LastDial)
	w.pass(time.Second)
	if !newcomer.c.env.Ready || len(newcomer.closes)+len(door.closes) > 0 {
		t.Errorf("ready %v, closes %v %v", newcomer.c.env.Ready, newcomer.closes, door.closes)
	}
}

// TestQuestionsAreBounded: a link that never stops asking gets no more answers, and another link does.
func TestQuestionsAreBounded(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(1000) })
	one, two := r.linked(1, "one"), r.linked(2, "two")
	question := &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: []uint64{1}}}}
	answered := 0
	for range 2 * reconcile.ComparedBurst / 1000 {
		r.receive(one, question)
		answered += len(r.out.Frames)
	}
	if answered < reconcile.ComparedBurst/1003 || answered > reconcile.ComparedBurst/1000+1 || len(r.out.Closes) > 0 {
		t.Errorf("%d are answered, closes %v", answered, r.out.Closes)
	}
	if r.receive(two, question); len(r.out.Frames) != 1 {
		t.Error("another link is not answered")
	}
}

// TestLeftOpenTwice: what an answer leaves open lies behind all that it has announced, which has
// an end.
func TestLeftOpenTwice(t *testing.T) {
	said := inOrder(table.MaxAnswer)
	for name, test := range map[string]struct {
		left   *pb.Reconcile
		closed bool
	}{
		"behind the last": {leftFrom(said[table.MaxAnswer-1]), false},
		"before it":       {leftFrom(said[table.MaxAnswer-2]), true},
	} {
		r, l := joining(t)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0)})
		for part := range slices.Chunk(said, pb.MaxAnnouncements) {
			r.receive(l, piece(part...))
		}
		r.receive(l, test.left)
		if closed := len(r.out.Closes) > 0; closed != test.closed || len(r.out.Events) > 0 {
			t.Errorf("%s: closes %v, events %v", name, r.out.Closes, r.out.Events)
		}
	}
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0)})
	for n := 1; len(r.out.Closes) == 0; n++ {
		if r.receive(l, piece(unreadable())); (len(r.out.Closes) > 0) != (n == 2*table.MaxAnswer+1) {
			t.Fatalf("after %d: closes %v", n, r.out.Closes)
		}
	}
}
