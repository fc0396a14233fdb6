package core

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/join"
	"quicpeer/pb"
)

func looking(t *testing.T) *rig { return newRig(t, func(c *base.Config) { c.Discover = true }) }

// begun reports whether the peer has become ready in the last input.
func (r *rig) begun() bool {
	for _, e := range r.out.Events {
		if _, ok := e.(base.Ready); ok {
			return true
		}
	}
	return false
}

// TestDiscover: a peer that finds nobody within two seconds begins a network; a peer that is
// found is joined.
func TestDiscover(t *testing.T) {
	r := looking(t)
	if r.begun() {
		t.Fatal("it has not looked")
	}
	r.pass(join.DiscoverFor - 10*time.Millisecond)
	if r.begun() {
		t.Error("it has given up too early")
	}
	if r.pass(20 * time.Millisecond); !r.begun() {
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
	if !r.begun() {
		t.Error("it has not joined")
	}
}

// TestFoundAgain: members and ourselves are not dialled again, nor without end a peer that does
// not answer; and everything is bounded.
func TestFoundAgain(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "one")
	for id, key := range map[certs.ID]uint64{"one": 1, "self": 0} {
		r.c.Step(r.now, Found{ID: id, Fingerprint: testIdentity(key).Key().String(), Addresses: []string{"10.9.9.5:5000"}})
		if r.drain(); len(r.out.Dials) != 0 {
			t.Errorf("%s is dialled", id)
		}
	}
	dials := 0
	r.c.Step(r.now, Found{ID: "deaf", Fingerprint: "SHA256:x", Addresses: []string{"10.9.9.6:5000"}})
	r.drain()
	for range 600 {
		for _, d := range r.out.Dials {
			dials++
			r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
		}
		r.pass(time.Second)
	}
	if dials != join.FoundTries {
		t.Errorf("a silent peer is dialled %d times", dials)
	}
	for i := range 200 {
		r.c.Step(r.now, Found{ID: "x", Fingerprint: fmt.Sprint("SHA256:", i), Addresses: []string{fmt.Sprintf("10.9.9.7:%d", i+1)}})
	}
	if n := len(r.c.join.Targets); n > join.MaxFound {
		t.Errorf("%d are remembered", n)
	}
}
