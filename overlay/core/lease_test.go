package core

import (
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// jump lets time pass in steps of a minute, while all links are heard.
func (r *rig) jump(d time.Duration) {
	var all base.Effects
	for until := r.now + d; r.now < until; {
		r.now = min(until, r.now+time.Minute)
		for _, l := range r.c.links.List {
			r.c.Step(r.now, Heard{Link: l.ID, Heard: r.now, Used: r.now, RoundTrip: 0})
		}
		r.c.env.NextTick = r.now // it has ticked all the time
		r.c.Step(r.now, Tick{})
		r.drain()
		for i, m := range r.frames() {
			if isQuestion(m) && r.c.env.Ready {
				r.c.Step(r.now, Received{Link: r.out.Frames[i].Link, Frame: pb.Wrap(piece())})
			}
		}
		addTo(&all, r.out)
	}
	r.out = all
}

// aged is an announcement that was first said so long ago.
func aged(a *pb.Announcement, age time.Duration) *pb.Announcement {
	a.Age = base.ToAge(age)
	return a
}

// TestOutdated: somebody passes JOINs on as if their leases were almost over. A peer with a link, and one
// that answers when it is pinged, is here all the time; one that nobody knows is forgotten.
func TestOutdated(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	aged := func(identity uint64, id string) *pb.Announcement {
		return aged(say(pb.AnnouncementType_JOIN, identity, id, 1000, 0), table.Lease-300*time.Millisecond)
	}
	r.receive(bob, propagation(aged(2, "linked"), aged(3, "far"), aged(4, "nobody")))
	r.neighbour(2, "linked")
	all := make(map[certs.ID]int)
	for r.now < 5*time.Minute {
		r.pass(100 * time.Millisecond)
		for _, e := range r.out.Events {
			if left, ok := e.(base.Left); ok {
				all[left.ID]++
			}
		}
		for _, m := range r.sentOver(bob) {
			if ping := m.GetPing(); ping != nil && m.GetTo() == "far" {
				r.receive(bob, &pb.Routed{From: "far", To: "self", Passed: []string{"far", "bob"}, Parents: []byte{0, 0}, Content: &pb.Routed_Pong{Pong: ping}})
			}
		}
	}
	if len(all) != 1 || all["nobody"] != 1 || !r.has("linked") || !r.has("far") {
		t.Errorf("shown as gone: %v", all)
	}
	if e := r.c.table.Get("nobody", testIdentity(4).Key()); e != nil {
		t.Errorf("still in the table: %+v", e)
	}
	for _, id := range []certs.ID{"linked", "far"} {
		if age := r.now - r.c.table.Of(id)[0].Said; age > 5*time.Minute {
			t.Errorf("%s is announced with an age of %v", id, age)
		}
	}
}
