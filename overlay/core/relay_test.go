package core

import (
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// sentOver returns the routed frames of the last input on a link.
func (r *rig) sentOver(l base.LinkID) []*pb.Routed {
	r.t.Helper()
	var list []*pb.Routed
	for i, m := range r.frames() {
		if routed := m.GetRouted(); routed != nil && r.out.Frames[i].Link == l {
			list = append(list, routed)
		}
	}
	return list
}

// route is Route, drained.
func (r *rig) route(to certs.ID, number uint64, sealed []byte) bool {
	ok := r.c.Step(r.now, Route{To: to, Number: number, Sealed: sealed}).OK
	r.drain()
	return ok
}

// TestForgedSender: frames under forged names are treated like others: one that claims to be ours and
// has come back ends here, and under our name nothing comes to us.
func TestForgedSender(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	envelope := func(to string) *pb.Routed {
		return &pb.Routed{
			From: "self", To: to, Passed: []string{"self", "bob"}, Parents: []byte{0, 0},
			Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Number: 1, Parts: 1, Sealed: make([]byte, pb.MaxPart)}},
		}
	}
	for range 1000 {
		r.receive(bob, envelope("nobody"))
		if len(r.out.Frames) != 0 || len(r.out.Closes) != 0 {
			t.Fatalf("%d frames, closes %v", len(r.out.Frames), r.out.Closes)
		}
	}
	if r.receive(bob, envelope("self")); len(r.out.Envelopes)+len(r.out.Closes) > 0 {
		t.Errorf("%d envelopes of ourselves, closes %v", len(r.out.Envelopes), r.out.Closes)
	}
}
