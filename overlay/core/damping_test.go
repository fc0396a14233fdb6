package core

import (
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/pb"
)

// announced returns the seqs of a peer in the frames of the last input to a link.
func (r *rig) announced(to base.LinkID, id string) []uint32 {
	r.t.Helper()
	var list []uint32
	for i, m := range r.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			record, err := pb.ParseRecord(a.GetRecord())
			if err != nil {
				r.t.Fatal(err)
			}
			if r.out.Frames[i].Link == to && record.GetId() == id {
				list = append(list, record.GetSeq())
			}
		}
	}
	return list
}

// TestRefutationsAreNotDamped: of many losses of a peer some are flooded, the others passed on by
// one way to the accused. Each refutation is passed on at once to all that have heard of the loss.
func TestRefutationsAreNotDamped(t *testing.T) {
	r := newRig(t, nil)
	one, way, other := r.neighbour(1, "one"), r.neighbour(2, "two"), r.neighbour(3, "three")
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
	lost := 0
	for seq := range uint32(20) {
		r.receive(one, propagation(say(pb.AnnouncementType_LOST, 5, "five", 10, seq)))
		flooded := len(r.announced(other, "five"))
		lost += flooded
		if len(r.announced(way, "five")) != 1 {
			t.Errorf("the accused does not hear of loss %d", seq)
		}
		r.receive(way, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, seq+1)))
		if len(r.announced(one, "five")) == 0 || len(r.announced(other, "five")) < flooded {
			t.Errorf("refutation %d is not passed on", seq)
		}
	}
	if lost < gossip.ChangesAtOnce-1 || lost > gossip.ChangesAtOnce || !r.has("five") {
		t.Errorf("of 20 losses floods %d", lost)
	}
	r.pass(gossip.ChangeEvery + time.Second)
	if last := r.announced(other, "five"); len(last) > 1 || len(last) == 1 && last[0] != 20 {
		t.Errorf("the last state is passed on as %v", last)
	}
}
