package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// A goodbye is dropped after some minutes, counted from when it was said and not from when we
// heard it; later statements about that run are old news.
func TestForgetting(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "bob")
	holds := func(id certs.ID) bool { return len(r.c.table.of(id)) > 0 }
	told := func(kind pb.AnnouncementType, identity, epoch uint64, age time.Duration) certs.ID {
		id := fmt.Sprintf("gone-%d", identity)
		r.receive(l, propagation(aged(say(kind, identity, id, epoch, 1), age)))
		return certs.ID(id)
	}
	const join, lost, leave = pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE
	now, before, long := told(leave, 10, 5, 0), told(leave, 11, 5, rememberLeft/2), told(leave, 12, 5, rememberLeft)
	if !holds(now) || !holds(before) || holds(long) {
		t.Fatalf("at first: %v %v %v", holds(now), holds(before), holds(long))
	}
	if a := r.c.gossip.announcement(r.c.table.of(before)[0]); fromAge(a.GetAge()) < rememberLeft/2 {
		t.Errorf("passed on with the age %v", a.GetAge())
	}
	told(join, 12, 5, time.Hour)
	if told(leave, 12, 5, time.Hour); !holds(long) || r.c.table.of(long)[0].state != leave {
		t.Error("the goodbye of a peer thought to be here is too old")
	}
	r.jump(rememberLeft/2 + time.Minute)
	if !holds(now) || holds(before) || holds(long) {
		t.Errorf("after 6 minutes: %v %v %v", holds(now), holds(before), holds(long))
	}
	if r.jump(rememberLeft / 2); holds(now) || len(r.c.table.left) > 0 {
		t.Error("after 11 minutes it is still there")
	}
	for _, kind := range []pb.AnnouncementType{join, leave} {
		if told(kind, 10, 5, time.Minute); holds(now) || len(r.out.Frames) > 0 {
			t.Errorf("%v of a run that is over is taken, or passed on", kind)
		}
	}
	// Peers that were cut off from it hold it as lost, and our tables have to agree.
	told(lost, 10, 5, 11*time.Minute)
	if told(join, 10, 5, 0); !holds(now) || r.has(now) {
		t.Error("it is not lost, or back")
	}
	if told(join, 10, 6, 0); !r.has(now) {
		t.Error("its next run is kept out")
	}
}

// TestForgottenAtTheDoor: an identity whose clock went back, and whose last run only has a
// tombstone, gets the epoch alone, and comes in above it.
func TestForgottenAtTheDoor(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "bob")
	l := r.inbound(5)
	r.receive(l, start(5, "five", 2000))
	r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 5, "five", 2000, 1)))
	r.jump(rememberLeft + time.Minute)
	r.receive(r.inbound(5), start(5, "five", 2000))
	answer := r.frames()[0].GetHandshakeResponse()
	if answer.GetCode() != pb.HandshakeCode_STALE || answer.GetEpoch() != 2000 {
		t.Fatalf("answers %v", answer)
	}
	five, door := joining(t)
	five.receive(door, answer)
	if five.out.Epoch != 2001 || five.c.table.self.record.Epoch != 2001 {
		t.Errorf("its epoch is %d", five.out.Epoch)
	}
	r.receive(r.inbound(5), start(5, "five", 2001))
	if r.frames()[0].GetHandshakeResponse().GetCode() != pb.HandshakeCode_OK {
		t.Errorf("with a later epoch: %v", r.frames())
	}
}

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

// TestAwayForLong: a peer that was stopped for longer than goodbyes are remembered announces none
// of the peers that no other names, and shows them as gone.
func TestAwayForLong(t *testing.T) {
	for name, away := range map[string]func(*rig){
		"stopped": func(r *rig) { r.now += time.Hour; r.c.Step(r.now, Tick{}) },
		"asleep":  func(r *rig) { r.c.Step(r.now, Slept{For: time.Hour}) },
	} {
		r := newRig(t, nil)
		l := r.neighbour(1, "bob")
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0), say(pb.AnnouncementType_JOIN, 6, "six", 10, 0)))
		away(r)
		r.drain()
		if len(r.out.Events) > 0 || len(r.out.Closes) > 0 {
			t.Errorf("%s: at once %v %v", name, r.out.Events, r.out.Closes)
		}
		r.receive(l, propagation(aged(say(pb.AnnouncementType_JOIN, 6, "six", 10, 0), time.Hour)))
		newcomer := r.linked(7, "newcomer")
		r.receive(newcomer, allHeld())
		var ids []string
		for _, m := range r.frames() {
			for _, a := range m.GetReconcile().GetAnnouncements() {
				ids = append(ids, mustRecord(t, a).GetId())
			}
		}
		if slices.Sort(ids); fmt.Sprint(ids) != "[newcomer self six]" {
			t.Errorf("%s: a newcomer is sent %v", name, ids)
		}
		r.pass(sureAfter + time.Second)
		if !r.has("bob") || !r.has("six") || r.has("five") {
			t.Errorf("%s: bob %v, six %v, five %v", name, r.has("bob"), r.has("six"), r.has("five"))
		}
		r.receive(l, propagation(aged(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0), time.Hour)))
		if !r.has("five") {
			t.Errorf("%s: a peer that is named later is not back", name)
		}
	}
}
