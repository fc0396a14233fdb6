package core

import (
	"slices"
	"testing"

	"quicpeer/certs"
	"quicpeer/pb"
)

// TestJudgedOnce: a statement that is being judged is not judged again, whoever else brings it,
// and counts even if the peer that brought it has gone meanwhile.
func TestJudgedOnce(t *testing.T) {
	for _, valid := range []bool{true, false} {
		r, l, l2 := letIn(t, nil)
		r.c.links.Link(l2).Exchange = asking()
		two := say(pb.AnnouncementType_JOIN, 2, "two", 1, 0)
		brought := pb.Wrap(piece(two))
		r.c.Step(r.now, Received{Link: l, Frame: brought})
		first := r.c.Drain().Verify
		r.c.Step(r.now, Received{Link: l2, Frame: brought})
		r.c.Step(r.now, Received{Link: l, Frame: pb.Wrap(propagation(two))})
		if again := r.c.Drain().Verify; len(first) != 1 || len(again) != 0 || len(r.c.table.Of("two")) > 0 {
			t.Fatalf("wants judged %v, then %v; holds %v", first, again, r.c.table.Of("two"))
		}
		other := say(pb.AnnouncementType_JOIN, 2, "two", 1, 1)
		r.c.links.Link(l2).Exchange = asking()
		r.c.Step(r.now, Received{Link: l2, Frame: pb.Wrap(piece(other))})
		if len(r.c.Drain().Verify) != 1 {
			t.Error("a later statement is not judged")
		}
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "over"})
		r.c.Step(r.now, Verified{ID: first[0].ID, Valid: []bool{valid}})
		r.c.Drain()
		if holds := len(r.c.table.Of("two")) > 0; holds != valid {
			t.Errorf("judged %v: holds it %v", valid, holds)
		}
	}
}

// TestDoubted: a missing peer that is here again by what others say is probed before any other.
func TestDoubted(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	for i := range uint64(50) {
		r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 100+i, string(wireID(int(i))), 10, 0)))
	}
	r.c.view.isolate()
	r.drain()
	again := []string{"p30", "p7"}
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 130, "p30", 10, 0), say(pb.AnnouncementType_JOIN, 107, "p7", 10, 0)))
	if !r.has("p30") || !r.has("p7") || r.has("p8") {
		t.Fatalf("shows %v", r.c.Peers())
	}
	r.pass(2 * tickEvery)
	var looked []string
	for _, m := range r.frames() {
		if m.GetRouted().GetPing() != nil && !slices.Contains(looked, m.GetRouted().GetTo()) {
			looked = append(looked, m.GetRouted().GetTo())
		}
	}
	if !slices.Equal(looked, again) {
		t.Errorf("looks for %v", looked)
	}
	if e := r.c.table.Get(certs.ID("p8"), testIdentity(108).Key()); !e.Missing {
		t.Error("a peer that nobody has named is here")
	}
}
