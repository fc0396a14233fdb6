package core

import (
	"errors"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/link"
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

// TestFoundNameless: a peer of a private network is found by its address alone, and whoever answers
// there may be it. It is dialled once; members and we ourselves are not dialled at all.
func TestFoundNameless(t *testing.T) {
	r := newRig(t, nil)
	neighbour := r.neighbour(1, "one")
	found := func(addresses ...string) (dials int) {
		r.c.Step(r.now, Found{Addresses: addresses})
		r.drain()
		return len(r.out.Dials)
	}
	own := r.c.where.Own[0].String()
	record := r.c.table.Of("one")[0].Record.Addresses[0]
	for what, addresses := range map[string][]string{
		"a member": {record}, "a member on this host": {"10.9.9.4:5000", record}, "ourselves": {own},
	} {
		if found(addresses...) != 0 {
			t.Errorf("%s at %v is dialled", what, addresses)
		}
	}
	const elsewhere = "10.9.9.5:5000" // not in its record
	if found(elsewhere) != 1 {
		t.Fatal("a peer that was found is not dialled")
	}
	l := base.LinkID(1000)
	r.c.Step(r.now, Connected{Link: l, Dial: r.out.Dials[0].ID, Key: testIdentity(2).Key(), Address: elsewhere})
	r.drain()
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(2, "two", pb.AnnouncementType_JOIN, 1000, 0)})
	if got := r.c.links.Link(l).State; got != link.LinkUp {
		t.Fatalf("the link is in state %v", got)
	}
	dials := 0
	for range 20 {
		dials += found(elsewhere)
		r.pass(time.Second)
	}
	if dials != 0 {
		t.Errorf("a member is dialled %d times more", dials)
	}
	r.receive(neighbour, propagation(say(pb.AnnouncementType_LEAVE, 2, "two", 1000, 1)))
	if found(elsewhere) != 1 {
		t.Error("a peer that has come back is not dialled")
	}
}
