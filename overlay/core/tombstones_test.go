package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestForgottenBound: the latest tombstones are kept.
func TestForgottenBound(t *testing.T) {
	var f table.Tombstones
	record := func(i, epoch uint64) *base.Record { return &base.Record{ID: wireID(int(i)), Epoch: epoch} }
	for epoch := range uint64(10) {
		f.Add(record(0, epoch+1))
	}
	for i := range uint64(table.MaxForgotten) - 1 {
		f.Add(record(i+1, 5))
	}
	if !f.Covers(record(0, 10)) || f.Covers(record(0, 11)) || f.Covers(record(1, 6)) || !f.Covers(record(table.MaxForgotten-1, 5)) {
		t.Error("the last are not remembered")
	}
	f.Add(record(table.MaxForgotten, 5))
	if f.Covers(record(0, 10)) || !f.Covers(record(1, 5)) || len(f.Ring) != table.MaxForgotten || len(f.Epochs) != table.MaxForgotten {
		t.Errorf("%d and %d are remembered", len(f.Ring), len(f.Epochs))
	}
}

// TestLivingFirst: in a full table a living peer takes the place of one that has left, then of a
// lost one; a buried one takes the place of buried ones only.
func TestLivingFirst(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(table.MaxEntries - 7) })
	l := r.neighbour(1, "bob")
	for i, kind := range []pb.AnnouncementType{pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
		r.receive(l, propagation(aged(say(kind, 10+uint64(i), fmt.Sprintf("gone-%d", i), 5, 1), time.Duration(4-i)*time.Minute)))
	}
	if n := len(r.c.table.Entries); n != table.MaxEntries {
		t.Fatalf("%d entries", n)
	}
	join := func(i uint64) bool {
		id := fmt.Sprintf("new-%d", i)
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 20+i, id, 5, 1)))
		return len(r.c.table.Of(certs.ID(id))) > 0
	}
	for i, goes := range []certs.ID{"gone-1", "gone-3", "w1", "gone-0", "gone-2"} { // w1 is the accuser
		if r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 30, "buried", 5, 1))); len(r.c.table.Of("buried")) > 0 {
			t.Error("a buried peer has taken a place")
		}
		if !join(uint64(i)) || len(r.c.table.Of(goes)) > 0 || len(r.c.table.Entries) != table.MaxEntries {
			t.Fatalf("%d: %s is still there", i, goes)
		}
	}
	if join(5) || r.c.table.Gone != 0 {
		t.Error("a living peer has gone")
	}
	r.receive(r.inbound(40), start(40, "late", 5))
	if answer := r.frames()[0].GetHandshakeResponse(); answer.GetCode() != pb.HandshakeCode_FULL || answer.GetReason() != "the table is full: the network has 100000 peers" {
		t.Errorf("the door says %v", answer)
	}
}

// comeAndGo lets a peer come and leave in good order at once.
func comeAndGo(r *rig, l base.LinkID, i int) {
	key := make([]byte, pb.KeySize)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}).Read(key)
	record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: fmt.Sprintf("visitor-%d", i), Key: key, Network: "net", Epoch: uint64(i) + 1,
		Addresses: []string{"192.168.178.20:49152"}, SealingKey: key}
	join := &pb.Announcement{Type: record.Type, Record: unsigned(record).Signed}
	record.Type, record.Seq, record.Addresses, record.SealingKey = pb.AnnouncementType_LEAVE, 1, nil, nil
	r.c.learn(r.c.links.Link(l), join)
	r.c.learn(r.c.links.Link(l), &pb.Announcement{Type: record.Type, Record: unsigned(record).Signed})
	r.drain()
}

// TestVisitorsOfADay: peers that come, say a line and leave, 50,000 in a day, leave next to
// nothing in the table that a newcomer takes, and very many at once do not keep others out. (As
// many as in a day give the same figures: go test -run TestVisitorsOfADay -sim.seeds=5.)
func TestVisitorsOfADay(t *testing.T) {
	times := max(1, *SimSeeds)
	for _, test := range []struct {
		name     string
		visitors int
		over     time.Duration
		most     int // entries
	}{
		{"in a day", 10_000 * times, 5 * time.Hour * time.Duration(times), 400},
		{"at once", 20_020 * times, 2 * time.Second, table.MaxTombstones + 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } })
			l := r.neighbour(1, "bob")
			steps := max(int(test.over/time.Minute), 8)
			for i := range test.visitors {
				r.c.links.Link(l).Introduced = base.Limiter{} // they have come by several
				comeAndGo(r, l, i)
				if i%(test.visitors/steps) == 0 {
					if test.over > time.Minute {
						r.jump(time.Minute)
					} else {
						r.pass(tickEvery)
					}
				}
			}
			before := len(r.c.table.Entries)
			newcomer := r.linked(7, "newcomer")
			if !r.has("newcomer") {
				t.Fatal("a newcomer is not let in")
			}
			bytes, entries := 0, 0
			for ask := allHeld(); len(ask.Ranges) > 0; {
				r.receive(newcomer, ask)
				for i, m := range r.frames() {
					if reply := m.GetReconcile(); reply != nil {
						bytes += len(r.out.Frames[i].Data)
						entries += len(reply.GetAnnouncements())
						ask.Ranges = withNothing(reply.GetRanges())
					}
				}
			}
			t.Logf("%d visitors: a table of %d entries, a newcomer takes %d in %d bytes", test.visitors, before, entries, bytes)
			if entries > test.most {
				t.Errorf("a newcomer takes %d entries", entries)
			}
		})
	}
}
