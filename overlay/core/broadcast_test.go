package core

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/pb"
)

// texts returns the broadcasts among the events of the last input.
func (r *rig) texts() []string {
	var list []string
	for _, e := range r.out.Events {
		if b, ok := e.(base.Broadcasted); ok {
			list = append(list, b.Content.GetContent())
		}
	}
	return list
}

// rangeOf is a range of broadcasts of a test identity.
func rangeOf(identity uint64, id string, epoch, first, last uint64) *pb.BroadcastRange {
	prefix := certs.MessagePrefix(testIdentity(identity).Key(), epoch, 0)
	return &pb.BroadcastRange{Author: base.TagOf(certs.ID(id)), Run: binary.BigEndian.Uint64(prefix[:]), First: first, Last: last}
}

// TestLyingPositions: a peer that says to have broadcasts it does not have, of any author, makes
// us ask seldom and remember little.
func TestLyingPositions(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	asked := 0
	count := func() {
		for _, m := range r.frames() {
			asked += len(m.GetBroadcastsWanted().GetRanges())
		}
	}
	for i := range uint64(100) {
		lie := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(2, "two", 1000, 1, pb.MaxNumber)}}
		for n := range uint64(pb.MaxRanges - 1) {
			lie.Ranges = append(lie.Ranges, &pb.BroadcastRange{Author: n, Run: i, First: 1, Last: 2})
		}
		r.receive(one, lie)
		count()
		if len(r.c.broadcasts.Behind) > 1 {
			t.Fatalf("%d runs are behind", len(r.c.broadcasts.Behind))
		}
		r.pass(100 * time.Millisecond)
		count()
	}
	if asked == 0 || asked > 12 {
		t.Errorf("asks %d times in 10 s", asked)
	}
	r.receive(two, saidBroadcast(2, "two", 1000, 1, "1"))
	if !slices.Equal(r.texts(), []string{"1"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(2 * broadcast.HoldFor)
	if len(r.c.broadcasts.Behind) != 0 {
		t.Errorf("%d runs are behind", len(r.c.broadcasts.Behind))
	}
}

// TestMemory: the latest broadcasts are remembered, within bounds of number, bytes, author and
// age; one that is held back and has to go is shown.
func TestMemory(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
	r.receive(l, saidBroadcast(5, "five", 1, 2, "2"))
	for range broadcast.MaxOfOne + 100 {
		r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	}
	if n := len(r.c.broadcasts.Recent); n != broadcast.MaxOfOne+1 || r.c.broadcasts.Recent[0].Run.Entry == r.c.table.Self {
		t.Errorf("%d are remembered", n)
	}
	r.drain()
	body := string(make([]byte, pb.MaxBroadcast))
	for range broadcast.MaxOfOneB/pb.MaxBroadcast + 1 {
		r.c.Step(r.now, Broadcast{Body: body, SentAt: 0})
	}
	if r.c.broadcasts.RecentBytes > broadcast.MaxOfOneB+1000 || r.c.broadcasts.Recent[0].Run.Entry == r.c.table.Self {
		t.Errorf("%d bytes are remembered", r.c.broadcasts.RecentBytes)
	}
	r.drain()
	b := r.c.broadcasts.Recent[0]
	r.c.broadcasts.ForgetBroadcast(b)
	r.drain()
	if !slices.Equal(r.texts(), []string{"2"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(broadcast.MemoryFor + time.Second)
	if len(r.c.broadcasts.Recent) != 0 || r.c.broadcasts.RecentBytes != 0 || len(r.c.broadcasts.Runs) != 0 {
		t.Errorf("%d are remembered, %d bytes, %d runs", len(r.c.broadcasts.Recent), r.c.broadcasts.RecentBytes, len(r.c.broadcasts.Runs))
	}
}
