package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
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

// TestBytesOfNeighbours: two new neighbours, both of which may have asked, pay no more than twice
// what a comparison of 10,000 entries costs of which 10 differ.
func TestBytesOfNeighbours(t *testing.T) {
	const n = 10_000
	left, right := manyMembers(n)[:n-2], manyMembers(n)[3:]
	for i := range 3 {
		left[100+i] = manyMember(100+i, 1)
	}
	for i := range 2 {
		right[200+i] = manyMember(203+i, 1)
	}
	w, size := newWire(t), 0
	p := w.add(0, func(c *base.Config) { c.Members = left })
	q := w.add(1, func(c *base.Config) { c.Members = right })
	w.watch = func(_, _ *wired, _ *pb.PeerMessage, n int) { size += n }
	w.connect(p, q)
	t.Logf("%d bytes", size)
	if size > 2*25_000 || !bytes.Equal(p.c.Digest(), q.c.Digest()) {
		t.Errorf("%d bytes, and the tables are equal: %v", size, bytes.Equal(p.c.Digest(), q.c.Digest()))
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
		if mine, theirs := p.there(r.ID), q.c.table.Called(r.ID) != nil; mine != (i < 900) || theirs != (i < 900) {
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
