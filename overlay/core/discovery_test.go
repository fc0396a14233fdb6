package core

import (
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/join"
	"quicpeer/pb"
)

func looking(t *testing.T) *rig { return newRig(t, func(c *base.Config) { c.Discover = true }) }

// TestDiscover: a peer that finds nobody within two seconds begins a network; a peer that is
// found is joined.
func TestDiscover(t *testing.T) {
	r := looking(t)
	if isReady(r) {
		t.Fatal("it has not looked")
	}
	r.pass(join.DiscoverFor - 10*time.Millisecond)
	if isReady(r) {
		t.Error("it has given up too early")
	}
	if r.pass(20 * time.Millisecond); !isReady(r) {
		t.Error("it looks for ever")
	}

	r = looking(t)
	r.c.Step(r.now, Found{ID: "door", Fingerprint: testIdentity(1).Key().String(), Addresses: []string{"10.9.9.5:5000"}})
	r.drain()
	if len(r.out.Dials) != 1 || r.out.Dials[0].Candidates[0].Address != "10.9.9.5:5000" {
		t.Fatalf("it dials %v", r.out.Dials)
	}
	l := r.outbound(r.out.Dials[0].ID, 1)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 1000, 0)})
	r.brings(l)
	if !isReady(r) {
		t.Error("it has not joined")
	}
}
