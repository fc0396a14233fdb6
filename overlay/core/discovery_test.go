package core

import (
	"errors"
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

// TestTwoLookForEachOther: of two peers of one ID that meet before any door has let either in, the
// younger gives way.
func TestTwoLookForEachOther(t *testing.T) {
	for epoch, stays := range map[uint64]bool{500: false, 2000: true} { // of the other; ours is 1000
		r := looking(t)
		r.receive(r.inbound(1), start(1, "self", epoch))
		var duplicate *base.DuplicateIDError
		if gone := errors.As(r.out.Err, &duplicate); gone == stays || gone && duplicate.Holder != testIdentity(1).Key() {
			t.Errorf("the other has epoch %d: ends with %v", epoch, r.out.Err)
		}
		answer := r.frames()[0].GetHandshakeResponse()
		if refused := answer.GetCode() == pb.HandshakeCode_DUPLICATE_ID; refused != stays {
			t.Errorf("the other has epoch %d: the answer is %v", epoch, answer.GetCode())
		}
	}
}
