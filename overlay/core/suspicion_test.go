package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestSlandered: however often a member says that a living peer is lost, in the name of whoever
// it likes, the peer is shown all the time if it refutes, the losses are passed on at a limited
// rate, and later a true one counts; as two accusers were wrong just now, it is shown after the time of one.
func TestSlandered(t *testing.T) {
	r := newRig(t, nil)
	var links []base.LinkID
	for i, id := range []string{"subject", "a", "b", "c", "d"} {
		links = append(links, r.neighbour(uint64(5+i), id))
	}
	seq, passed := uint32(0), 0
	lose := func() {
		for _, accuser := range []string{"a", "b"} {
			a := say(pb.AnnouncementType_LOST, 5, "subject", 1000, seq)
			a.Accusers = []string{accuser}
			r.receive(links[4], propagation(a))
			for i, m := range r.frames() {
				if r.out.Frames[i].Link == links[3] {
					passed += len(m.GetPropagation().GetAnnouncements())
				}
			}
		}
	}
	for r.now < time.Minute {
		lose()
		r.pass(table.SuspectFor - 50*time.Millisecond)
		if !r.c.table.Of("subject")[0].Alive() {
			seq++
			r.receive(links[0], propagation(say(pb.AnnouncementType_JOIN, 5, "subject", 1000, seq)))
		}
		if !r.has("subject") || len(r.out.Closes) > 0 {
			t.Fatalf("after %v it is shown: %v; closes %v", r.now, r.has("subject"), r.out.Closes)
		}
	}
	if most := 2 * (gossip.ChangesAtOnce + int(time.Minute/gossip.ChangeEvery) + 1); passed > most || passed < most/2 {
		t.Errorf("passes on %d losses in a minute, not at most %d", passed, most)
	}
	silent := func(l base.LinkID) bool { return l != links[0] }
	r.pass(gossip.ChangeEvery)
	r.passWith(link.FreshWithin+1, silent)
	lose()
	if r.passWith(table.SuspectAlone+tickEvery, silent); r.has("subject") {
		t.Error("is never shown as lost again")
	}
}

// TestLinkOfLosses: a link has so many losses taken at once, and then so many a second.
func TestLinkOfLosses(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(link.IntroducedBurst + 1000) })
	liar := r.neighbour(1, "liar")
	for _, e := range slices.Clone(r.c.table.Entries) {
		if e != r.c.table.Self && e.Record.ID != "liar" {
			r.c.accept(r.c.links.Link(liar), link.News{Record: e.Record, State: pb.AnnouncementType_LOST, Said: r.now, Accusers: []certs.ID{"liar"}})
		}
	}
	if n := r.c.table.Gone; n < link.IntroducedBurst || n > link.IntroducedBurst+1 {
		t.Errorf("%d losses are taken at once", n)
	}
}

// routedFrom is a routed frame of a neighbour to the rig.
func routedFrom(from certs.ID, content *pb.Routed) *pb.Routed {
	content.From, content.To, content.Passed, content.Parents = string(from), "self", []string{string(from)}, []byte{0}
	return content
}
