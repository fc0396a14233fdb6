package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// TestForgottenBound: the latest tombstones are kept.
func TestForgottenBound(t *testing.T) {
	var f tombstones
	record := func(i, epoch uint64) *Record { return &Record{ID: wireID(int(i)), Epoch: epoch} }
	for epoch := range uint64(10) {
		f.add(record(0, epoch+1))
	}
	for i := range uint64(maxForgotten) - 1 {
		f.add(record(i+1, 5))
	}
	if !f.covers(record(0, 10)) || f.covers(record(0, 11)) || f.covers(record(1, 6)) || !f.covers(record(maxForgotten-1, 5)) {
		t.Error("the last are not remembered")
	}
	f.add(record(maxForgotten, 5))
	if f.covers(record(0, 10)) || !f.covers(record(1, 5)) || len(f.ring) != maxForgotten || len(f.epochs) != maxForgotten {
		t.Errorf("%d and %d are remembered", len(f.ring), len(f.epochs))
	}
}

// TestLivingFirst: in a full table a living peer takes the place of one that has left, then of a
// lost one; a buried one takes the place of buried ones only.
func TestLivingFirst(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Members = manyMembers(maxEntries - 7) })
	l := r.neighbour(1, "bob")
	for i, kind := range []pb.AnnouncementType{pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
		r.receive(l, propagation(aged(say(kind, 10+uint64(i), fmt.Sprintf("gone-%d", i), 5, 1), time.Duration(4-i)*time.Minute)))
	}
	if n := len(r.c.table.entries); n != maxEntries {
		t.Fatalf("%d entries", n)
	}
	join := func(i uint64) bool {
		id := fmt.Sprintf("new-%d", i)
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 20+i, id, 5, 1)))
		return len(r.c.table.of(certs.ID(id))) > 0
	}
	for i, goes := range []certs.ID{"gone-1", "gone-3", "w1", "gone-0", "gone-2"} { // w1 is the accuser
		if r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 30, "buried", 5, 1))); len(r.c.table.of("buried")) > 0 {
			t.Error("a buried peer has taken a place")
		}
		if !join(uint64(i)) || len(r.c.table.of(goes)) > 0 || len(r.c.table.entries) != maxEntries {
			t.Fatalf("%d: %s is still there", i, goes)
		}
	}
	if join(5) || r.c.table.gone != 0 {
		t.Error("a living peer has gone")
	}
	r.receive(r.inbound(40), start(40, "late", 5))
	if answer := r.frames()[0].GetHandshakeResponse(); answer.GetCode() != pb.HandshakeCode_FULL || answer.GetReason() != "the table is full: the network has 100000 peers" {
		t.Errorf("the door says %v", answer)
	}
}

// comeAndGo lets a peer come and leave in good order at once.
func comeAndGo(r *rig, l LinkID, i int) {
	key := make([]byte, pb.KeySize)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}).Read(key)
	record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: fmt.Sprintf("visitor-%d", i), Key: key, Network: "net", Epoch: uint64(i) + 1,
		Addresses: []string{"192.168.178.20:49152"}, SealingKey: key}
	join := &pb.Announcement{Type: record.Type, Record: unsigned(record).Signed}
	record.Type, record.Seq, record.Addresses, record.SealingKey = pb.AnnouncementType_LEAVE, 1, nil, nil
	r.c.learn(r.c.links.link(l), join)
	r.c.learn(r.c.links.link(l), &pb.Announcement{Type: record.Type, Record: unsigned(record).Signed})
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
		{"at once", 20_020 * times, 2 * time.Second, maxTombstones + 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Verify = func(Claim) bool { return true } })
			l := r.neighbour(1, "bob")
			steps := max(int(test.over/time.Minute), 8)
			for i := range test.visitors {
				r.c.links.link(l).introduced = limiter{} // they have come by several
				comeAndGo(r, l, i)
				if i%(test.visitors/steps) == 0 {
					if test.over > time.Minute {
						r.jump(time.Minute)
					} else {
						r.pass(tickEvery)
					}
				}
			}
			before := len(r.c.table.entries)
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
