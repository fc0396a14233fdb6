package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/pb"
)

// texts returns the broadcasts among the events of the last input.
func (r *rig) texts() []string {
	var list []string
	for _, e := range r.out.Events {
		if b, ok := e.(base.Broadcasted); ok {
			list = append(list, b.Content.GetContent())
		}
	}
	return list
}

// held returns the offers among the frames of the last input.
func (r *rig) held() []*pb.BroadcastRange {
	var list []*pb.BroadcastRange
	for _, m := range r.frames() {
		list = append(list, m.GetBroadcastsHeld().GetRanges()...)
	}
	return list
}

// sentTexts returns the broadcasts that the last input has sent over a link.
func (r *rig) sentTexts(l base.LinkID) []string {
	var list []string
	for i, m := range r.frames() {
		if b := m.GetBroadcast(); b != nil && r.out.Frames[i].Link == l {
			content, err := pb.ParseBroadcast(b.GetContent())
			if err != nil {
				r.t.Fatal(err)
			}
			list = append(list, content.GetContent())
		}
	}
	return list
}

// TestBroadcastOnce: a broadcast is shown and passed on the first time only.
func TestBroadcastOnce(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	b := saidBroadcast(1, "one", 1000, 1, "hello")
	r.receive(one, b)
	if !slices.Equal(r.texts(), []string{"hello"}) || len(r.out.Frames) != 1 || r.out.Frames[0].Link != two ||
		r.frames()[0].GetBroadcast().GetHops() != 1 || !r.out.Events[0].(base.Broadcasted).Direct {
		t.Errorf("%v, %v", r.out.Events, r.frames())
	}
	for _, l := range []base.LinkID{one, two} {
		r.receive(l, b)
		if len(r.out.Events) != 0 || len(r.out.Frames) != 0 {
			t.Errorf("again: %v, %v", r.out.Events, r.frames())
		}
	}
	r.receive(two, saidBroadcast(1, "one", 999, 2, "of an earlier run"))
	r.receive(two, saidBroadcast(0, "self", 1000, 1, "our own"))
	if len(r.out.Events) != 0 || len(r.out.Frames) != 0 || len(r.out.Closes) != 0 {
		t.Errorf("%v", r.out)
	}
}

// TestBroadcastEarly: a broadcast that comes before its author's record, or before the record of
// its author's new run, waits for it.
func TestBroadcastEarly(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.neighbour(2, "two")
	r.receive(one, saidBroadcast(5, "five", 10, 1, "early"))
	if len(r.out.Events) != 0 {
		t.Fatalf("%v", r.out.Events)
	}
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
	if _, first := r.out.Events[0].(base.Joined); !first || !slices.Equal(r.texts(), []string{"early"}) {
		t.Errorf("%v", r.out.Events)
	}
	r.receive(one, saidBroadcast(5, "five", 11, 1, "of the next run"))
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 11, 0)))
	if !slices.Equal(r.texts(), []string{"of the next run"}) {
		t.Errorf("%v", r.out.Events)
	}
	r.receive(one, saidBroadcast(6, "six", 10, 1, "too early"))
	r.pass(2 * broadcast.RecentFor)
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 6, "six", 10, 0)))
	if len(r.texts()) != 0 {
		t.Errorf("%v", r.out.Events)
	}
}

// TestBroadcastOffered: a new neighbour gets the broadcasts sent while it was becoming one, and
// none from before it came.
func TestBroadcastOffered(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "one")
	r.c.Step(r.now, Broadcast{Body: "before", SentAt: 0})
	r.pass(time.Second)
	two := r.linked(2, "two")
	r.c.Step(r.now, Broadcast{Body: "between", SentAt: 0})
	r.drain()
	r.receive(two, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	offer := r.held()
	if len(offer) != 1 || offer[0].GetFirst() != 2 || offer[0].GetLast() != 2 {
		t.Fatalf("offers %v", offer)
	}
	offer[0].First = 1
	r.receive(two, &pb.BroadcastsWanted{Ranges: offer})
	if got := r.sentTexts(two); !slices.Equal(got, []string{"between"}) {
		t.Errorf("sends %q", got)
	}
	three := r.neighbour(1, "one")
	if offer := r.held(); len(offer) != 1 || offer[0].GetFirst() != 1 || r.c.links.Link(three) == nil {
		t.Errorf("a peer that was here before is offered %v", offer)
	}
}

// TestGoodbyeAfterBroadcast: nobody sees an author go before its last broadcast.
func TestGoodbyeAfterBroadcast(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	for i := range uint64(6) {
		r.linked(10+i, string(rune('a'+i)))
	}
	r.c.Step(r.now, Broadcast{Body: "last words", SentAt: 0})
	r.c.Step(r.now, Leave{})
	r.drain()
	said := make(map[base.LinkID]int)
	for i, m := range r.frames() {
		l := r.out.Frames[i].Link
		switch {
		case m.GetBroadcast() != nil:
			said[l]++
		case m.GetPropagation() != nil && said[l] == 0:
			t.Errorf("link %d hears LEAVE and not the broadcast", l)
		}
	}
	if said[one] != 1 || len(r.out.Closes) != 7 {
		t.Errorf("%v, closes %v", said, r.out.Closes)
	}
}
