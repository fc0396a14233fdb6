package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// full makes a rig with as many neighbours as it grants.
func full(t *testing.T) (*rig, []base.LinkID) {
	r := newRig(t, nil)
	var links []base.LinkID
	for i := range uint64(table.MaxNeighbours) {
		links = append(links, r.neighbour(20+i, fmt.Sprint("n", i)))
	}
	if r.c.links.Neighbours() != table.MaxNeighbours {
		t.Fatalf("%d neighbours", r.c.links.Neighbours())
	}
	return r, links
}

// neighbourWords returns the Neighbour frames of the last input, by link.
func (r *rig) neighbourWords() map[base.LinkID]*pb.Neighbour {
	words := make(map[base.LinkID]*pb.Neighbour)
	for i, m := range r.frames() {
		if n := m.GetNeighbour(); n != nil {
			words[r.out.Frames[i].Link] = n
		}
	}
	return words
}

// asksFor lets a peer ask for neighbourhood and returns the answer.
func (r *rig) asksFor(l base.LinkID, priority bool) *pb.Neighbour {
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Priority: priority})
	return r.neighbourWords()[l]
}

// listsTold returns the neighbour lists in the frames of the last input to a link.
func (r *rig) listsTold(to base.LinkID) [][]string {
	var lists [][]string
	for i, m := range r.frames() {
		if list := m.GetNeighbourList(); list != nil && r.out.Frames[i].Link == to {
			lists = append(lists, list.GetIds())
		}
	}
	return lists
}

// TestEnd: a peer that ends neighbourhood keeps its link, hears no more announcements and leads
// nowhere; frames that cross do no harm, and it may ask again.
func TestEnd(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
	r.pass(2 * table.RouteEvery)
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_END})
	if len(r.out.Closes) > 0 || r.c.links.Link(one).State != link.LinkUp || r.c.links.Neighbours() != 1 {
		t.Fatalf("closes %v, %d neighbours", r.out.Closes, r.c.links.Neighbours())
	}
	if d := r.c.links.Distance(r.c.table.Of("five")[0]); d != table.NoWay {
		t.Errorf("it still leads to others, in %d links", d)
	}
	r.receive(two, propagation(say(pb.AnnouncementType_JOIN, 6, "six", 10, 0)))
	if len(r.out.Frames) > 0 {
		t.Errorf("is sent %v", r.frames())
	}
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_END})
	r.receive(one, &pb.NeighbourList{Ids: []string{"far"}})
	r.receive(one, &pb.Routes{Peers: []uint32{base.ShortTag(base.TagOf("five"))}, Hops: []byte{1}})
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 7, "seven", 10, 0)))
	if !r.has("seven") || r.c.links.Distance(r.c.table.Of("five")[0]) != table.NoWay || r.c.links.Link(one).State != link.LinkUp {
		t.Error("its later frames are an offence, or a route")
	}
	if answer := r.asksFor(one, false); answer.GetType() != pb.NeighbourType_ACCEPT || r.c.links.Neighbours() != 2 {
		t.Errorf("asked again answers %v", answer)
	}
}

// TestNeighboursAreTold: each neighbour learns who the others are, soon after a change, and only
// once.
func TestNeighboursAreTold(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.neighbour(2, "two")
	r.pass(2 * tickEvery)
	if got := r.listsTold(one); len(got) != 1 || !slices.Equal(got[0], []string{"one", "two"}) {
		t.Errorf("sent the list %v", got)
	}
	r.pass(time.Minute / 2)
	if got := r.listsTold(one); len(got) > 0 {
		t.Errorf("without a change sent the list %v", got)
	}
	r.receive(2, &pb.Neighbour{Type: pb.NeighbourType_END})
	r.pass(2 * tickEvery)
	if got := r.listsTold(one); len(got) != 1 || !slices.Equal(got[0], []string{"one"}) {
		t.Errorf("after an end sent the list %v", got)
	}
	r.neighbour(3, "three")
	three := r.last
	r.pass(2 * tickEvery)
	if got := r.listsTold(three); len(got) != 1 || !slices.Equal(got[0], []string{"one", "three"}) {
		t.Errorf("a new one is sent the list %v", got)
	}
}

// TestRefusedNeighbourhood: a peer that has refused is not soon asked again, while another is our neighbour.
func TestRefusedNeighbourhood(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(2, "two")
	l := r.linked(1, "one")
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
	for until := r.now + neighbours.RefusedFor - time.Second; r.now < until; {
		r.pass(tickEvery)
		if n := r.neighbourWords()[l]; n != nil {
			t.Fatalf("says %v", n)
		}
		r.c.Step(r.now, Heard{Link: l, Heard: r.now, Used: r.now})
	}
}

// TestPriority: a peer without any other neighbour is granted what others are refused, up to a
// higher bound; it hears everything and leads nowhere.
func TestPriority(t *testing.T) {
	r, links := full(t)
	for i := range uint64(table.MostNeighbours - table.MaxNeighbours + 3) {
		l := r.linked(100+i, fmt.Sprint("d", i))
		if answer := r.asksFor(l, false); answer.GetType() != pb.NeighbourType_REFUSE {
			t.Fatalf("answers %v to one without priority", answer)
		}
		want := pb.NeighbourType_ACCEPT
		if i >= table.MostNeighbours-table.MaxNeighbours {
			want = pb.NeighbourType_REFUSE
		}
		if answer := r.asksFor(l, true); answer.GetType() != want {
			t.Fatalf("answers %v to the one with priority %d", answer, i)
		}
	}
	if n := r.c.links.Degree(); n != table.MostNeighbours {
		t.Errorf("has %d neighbours", n)
	}
	first := links[len(links)-1] + 1
	r.receive(links[0], propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
	told := 0
	for _, f := range r.out.Frames {
		if f.Link >= first {
			told++
		}
	}
	if told != table.MostNeighbours-table.MaxNeighbours {
		t.Errorf("tells %d of them", told)
	}
	r.pass(2 * tickEvery)
	lists := r.listsTold(first)
	if len(lists) != 1 || len(lists[0]) > pb.MaxNeighbours {
		t.Errorf("tells one of %v", lists)
	}
	r.receive(first, &pb.Neighbour{Type: pb.NeighbourType_END})
	l := r.linked(500, "late")
	if answer := r.asksFor(l, true); answer.GetType() != pb.NeighbourType_ACCEPT {
		t.Errorf("the place that one has left is not granted: %v", answer)
	}
}

// TestAskingWithPriority: a peer that all have refused soon asks them again, with priority, as
// long as it has no neighbour.
func TestAskingWithPriority(t *testing.T) {
	r := newRig(t, nil)
	refuse := func(l base.LinkID) { r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE}) }
	links := []base.LinkID{r.linked(1, "one"), r.linked(2, "two")}
	for _, l := range links {
		refuse(l)
	}
	for range 2 { // as often as it takes
		r.pass(neighbours.RefusedAlone / 2)
		if len(r.neighbourWords()) > 0 {
			t.Errorf("soon says %v", r.neighbourWords())
		}
		r.pass(neighbours.RefusedAlone)
		if words := r.neighbourWords(); len(words) != 2 || !words[links[0]].GetPriority() || !words[links[1]].GetPriority() {
			t.Fatalf("then says %v", words)
		}
		for _, l := range links {
			refuse(l)
			r.c.Step(r.now, Heard{Link: l, Heard: r.now, Used: r.now})
		}
	}
	r.pass(2 * neighbours.RefusedAlone)
	r.receive(links[0], &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	refuse(links[1])
	if !r.c.links.Link(links[0]).Neighbour {
		t.Fatal("no neighbour")
	}
	r.pass(2 * neighbours.RefusedAlone)
	if words := r.neighbourWords(); len(words) > 0 {
		t.Errorf("with a neighbour says %v", words)
	}
	r.linked(3, "three")
	if words := r.neighbourWords(); words[r.last].GetType() != pb.NeighbourType_REQUEST || words[r.last].GetPriority() {
		t.Errorf("says %v to another", words)
	}
}

// TestAboveTheUsual: a peer with more neighbours than usual ends it with those that can spare it.
func TestAboveTheUsual(t *testing.T) {
	r, _ := full(t)
	var more []base.LinkID
	for i := range uint64(3) {
		l := r.linked(100+i, fmt.Sprint("d", i))
		r.asksFor(l, true)
		more = append(more, l)
	}
	tells := func(l base.LinkID, n int) {
		list := []string{"self"}
		for i := range n - 1 {
			list = append(list, fmt.Sprint("x", i))
		}
		r.receive(l, &pb.NeighbourList{Ids: list})
	}
	tells(more[0], table.WantNeighbours)
	tells(more[1], table.WantNeighbours+1)
	r.pass(2 * tickEvery)
	if words := r.neighbourWords(); len(words) != 1 || words[more[1]].GetType() != pb.NeighbourType_END {
		t.Errorf("says %v", words)
	}
	if n := r.c.links.Neighbours(); n != table.MaxNeighbours+2 {
		t.Errorf("has %d neighbours", n)
	}
}

// TestWordsThatCross: a late answer to a request for neighbourhood, after that was agreed and
// ended, is not an offence.
func TestWordsThatCross(t *testing.T) {
	r := newRig(t, nil)
	one := r.linked(1, "one") // is asked
	r.asksFor(one, false)     // and asks, before the answer
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_END})
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	if len(r.out.Closes) > 0 || r.neighbourWords()[one].GetType() != pb.NeighbourType_END {
		t.Errorf("closes %v, says %v", r.out.Closes, r.neighbourWords())
	}
}
