package core

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// TestFullDoor: a door with as many links as it can hold names other peers to try, but none of its
// guests.
func TestFullDoor(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(link.MaxLinks) {
		key := testIdentity(100 + i).Key()
		record := &pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: fmt.Sprint("p", i), Key: key[:], Network: "net", Epoch: 1000,
			Addresses: []string{"10.1.1.1:5000"}, Visitor: i%2 == 0,
		}
		r.receive(r.inbound(100+i), &pb.HandshakeStart{Version: 1, Network: "net", Id: record.Id, Record: testIdentity(100 + i).SignRecord(record)})
	}
	r.receive(r.inbound(1), start(1, "new", 1000))
	a := r.frames()[0].GetHandshakeResponse()
	if a.GetCode() != pb.HandshakeCode_FULL || len(a.GetCandidates()) != pb.MaxCandidates {
		t.Errorf("answers %v", a)
	}
	for _, signed := range a.GetCandidates() {
		if record, err := pb.ParseRecord(signed); err != nil || record.GetVisitor() {
			t.Errorf("names %v: %v", record, err)
		}
	}
}

// joining is a rig that has dialled one address, and the link to it.
func joining(t *testing.T) (*rig, base.LinkID) {
	r := newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"door:1"}, 10*time.Second })
	l := r.outbound(r.out.Dials[0].ID, 1)
	if s := r.frames()[0].GetHandshakeStart(); s.GetId() != "self" || s.GetNetwork() != "net" {
		t.Fatalf("begins with %v", s)
	}
	return r, l
}

// TestJoinFails: the error names what each address has met, and a peer that has refused us.
func TestJoinFails(t *testing.T) {
	var join *base.JoinError
	r := newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1", "b:1"}, 4*time.Second })
	for r.out.Err == nil && r.now < time.Minute {
		for _, d := range r.out.Dials {
			r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "timeout"})
		}
		r.pass(tickEvery)
	}
	if !errors.As(r.out.Err, &join) || r.now < 4*time.Second || r.now > 5*time.Second || len(join.Failures) != 2 ||
		join.Failures[0] != "a:1: timeout" || join.Refusal != nil {
		t.Errorf("nobody there: %v after %v", r.out.Err, r.now)
	}

	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL})
	for r.out.Err == nil && r.now < time.Minute {
		r.pass(time.Second)
	}
	if !errors.As(r.out.Err, &join) || !slices.Equal(join.Obstacles, []base.Obstacle{base.ObstacleFull}) {
		t.Errorf("full: %v", r.out.Err)
	}
}
