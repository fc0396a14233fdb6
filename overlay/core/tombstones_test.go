package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestFullTable: a door whose table is full of the living says so.
func TestFullTable(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(table.MaxEntries - 1) })
	r.receive(r.inbound(40), start(40, "late", 5))
	if answer := r.frames()[0].GetHandshakeResponse(); answer.GetCode() != pb.HandshakeCode_FULL || answer.GetReason() != "the table is full: the network has 100000 peers" {
		t.Errorf("the door says %v", answer)
	}
}

// TestGuestsLeaveNoTombstone: the run of a member that has left is over, that of a guest is not: it
// may come back.
func TestGuestsLeaveNoTombstone(t *testing.T) {
	for _, visitor := range []bool{false, true} {
		r := newRig(t, nil)
		key := testIdentity(5).Key()
		record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: "five", Key: key[:], Network: "net", Epoch: 7, Visitor: visitor}
		l := r.inbound(5)
		r.receive(l, &pb.HandshakeStart{Version: 1, Network: "net", Id: "five", Record: testIdentity(5).SignRecord(record)})
		if !r.has("five") {
			t.Fatalf("visitor %v: not let in", visitor)
		}
		record.Type, record.Seq = pb.AnnouncementType_LEAVE, 1
		r.receive(l, propagation(&pb.Announcement{Type: record.Type, Record: testIdentity(5).SignRecord(record)}))
		r.jump(table.RememberLeft + time.Minute)
		if e := r.c.table.Get("five", key); e != nil {
			t.Fatalf("visitor %v: it is still in the table", visitor)
		}
		if over := r.c.table.Tombstones.Over("five", key); (over == 0) != visitor {
			t.Errorf("visitor %v: the run %d is over", visitor, over)
		}
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
