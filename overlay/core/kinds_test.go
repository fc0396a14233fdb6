package core

import (
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestKindsOfNotes: notes that the simulators count have the right kind.
func TestKindsOfNotes(t *testing.T) {
	told := func(r *rig, kind base.Kind) (n int) {
		for _, note := range r.out.Notes {
			if note.Kind == kind {
				n++
			}
		}
		return n
	}
	r := newRig(t, nil)
	l := r.neighbour(1, "a")
	r.receive(l, propagation(say(pb.AnnouncementType_LOST, 0, "self", 1000, 0)))
	before := told(r, base.Refutation)
	r.pass(time.Second)
	if n := before + told(r, base.Refutation); n != 1 {
		t.Errorf("%d refutations are told of one", n)
	}
	r.receive(l, start(1, "a", 1000))
	if n := told(r, base.Violation); n != 1 {
		t.Errorf("%d violations are told of one", n)
	}
}
