package core

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// asks reports whether the frames of the last input ask for neighbourhood.
func (r *rig) asks() bool {
	for _, m := range r.frames() {
		if m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST {
			return true
		}
	}
	return false
}

// TestCrowdedDoor: a door asks for as many neighbours as it wants, even before any has answered.
func TestCrowdedDoor(t *testing.T) {
	r := newRig(t, nil)
	asked := 0
	for i := range uint64(30) {
		r.linked(100+i, fmt.Sprint("p", i))
		if r.asks() {
			asked++
		}
	}
	if asked != table.WantNeighbours {
		t.Errorf("asks %d", asked)
	}
}

// TestHalvesMeet: a peer that has reached a lost one becomes its neighbour even if it has enough,
// so that the two halves of a network become one; the lost peer gets the accusation, and its
// refutation is passed on.
func TestHalvesMeet(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(table.WantNeighbours) {
		r.neighbour(20+i, string(rune('a'+i)))
	}
	r.receive(1, propagation(say(pb.AnnouncementType_LOST, 5, "five", 10, 0)))
	for len(r.out.Dials) == 0 && r.now < time.Minute {
		r.pass(tickEvery)
	}
	if len(r.out.Dials) != 1 || r.out.Dials[0].Key != testIdentity(5).Key() {
		t.Fatalf("dials %v", r.out.Dials)
	}
	l := r.outbound(r.out.Dials[0].ID, 5)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(5, "five", pb.AnnouncementType_JOIN, 10, 0)})
	told := false
	for i, m := range r.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			told = told || r.out.Frames[i].Link == l && a.GetType() == pb.AnnouncementType_LOST
		}
	}
	if !r.asks() || !told {
		t.Errorf("asks %v, tells %v", r.asks(), told)
	}
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 1)))
	if !r.has("five") || len(r.out.Frames) != table.WantNeighbours {
		t.Errorf("is back %v, passed on to %d", r.has("five"), len(r.out.Frames))
	}
}

// TestStopped: a process that was stopped does not take the others to be silent.
func TestStopped(t *testing.T) {
	for _, stopped := range []time.Duration{4 * time.Second, time.Hour} {
		r := newRig(t, nil)
		for i := range uint64(table.WantNeighbours) {
			r.neighbour(20+i, string(rune('a'+i)))
		}
		r.pass(time.Second)
		r.now += stopped
		r.c.Step(r.now, Tick{})
		r.drain()
		if len(r.out.Dials) != 0 || len(r.out.Closes) != 0 {
			t.Errorf("after %v: dials %v, closes %v", stopped, r.out.Dials, r.out.Closes)
		}
	}
}

// TestNoAddress: a peer without an address to dial is lost when its link breaks. Here it was the
// only one, so nobody else can say so.
func TestNoAddress(t *testing.T) {
	r := newRig(t, nil)
	key := testIdentity(1).Key()
	record := testIdentity(1).SignRecord(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: "one", Key: key[:], Network: "net", Epoch: 1,
	})
	l := r.inbound(1)
	r.receive(l, &pb.HandshakeStart{Version: 1, Network: "net", Id: "one", Record: record})
	if !r.has("one") {
		t.Fatal("not let in")
	}
	r.c.Step(r.now, Disconnected{Link: l, Why: "broken"})
	r.drain()
	r.pass(link.IsolatedAfter + tickEvery)
	if r.has("one") || len(r.out.Dials) != 0 {
		t.Errorf("is still here, dials %v", r.out.Dials)
	}
}
