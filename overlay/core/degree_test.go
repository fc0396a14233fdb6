package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/pb"
)

// full makes a rig with as many neighbours as it grants.
func full(t *testing.T) (*rig, []LinkID) {
	r := newRig(t, nil)
	var links []LinkID
	for i := range uint64(MaxNeighbours) {
		links = append(links, r.neighbour(20+i, fmt.Sprint("n", i)))
	}
	if r.c.links.neighbours() != MaxNeighbours {
		t.Fatalf("%d neighbours", r.c.links.neighbours())
	}
	return r, links
}

// neighbourWords returns the Neighbour frames of the last input, by link.
func (r *rig) neighbourWords() map[LinkID]*pb.Neighbour {
	words := make(map[LinkID]*pb.Neighbour)
	for i, m := range r.frames() {
		if n := m.GetNeighbour(); n != nil {
			words[r.out.Frames[i].Link] = n
		}
	}
	return words
}

// asksFor lets a peer ask for neighbourhood and returns the answer.
func (r *rig) asksFor(l LinkID, alone bool) *pb.Neighbour {
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Alone: alone})
	return r.neighbourWords()[l]
}

// listsTold returns the neighbour lists in the frames of the last input to a link.
func (r *rig) listsTold(to LinkID) [][]string {
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
	r.pass(2 * routeEvery)
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_END})
	if len(r.out.Closes) > 0 || r.c.links.link(one).state != linkUp || r.c.links.neighbours() != 1 {
		t.Fatalf("closes %v, %d neighbours", r.out.Closes, r.c.links.neighbours())
	}
	if d := r.c.links.distance(r.c.table.of("five")[0]); d != noWay {
		t.Errorf("it still leads to others, in %d links", d)
	}
	r.receive(two, propagation(say(pb.AnnouncementType_JOIN, 6, "six", 10, 0)))
	if len(r.out.Frames) > 0 {
		t.Errorf("is sent %v", r.frames())
	}
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_END})
	r.receive(one, &pb.NeighbourList{Ids: []string{"far"}})
	r.receive(one, &pb.Routes{Peers: []uint32{shortTag(tagOf("five"))}, Hops: []byte{1}})
	r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 7, "seven", 10, 0)))
	if !r.has("seven") || r.c.links.distance(r.c.table.of("five")[0]) != noWay || r.c.links.link(one).state != linkUp {
		t.Error("its later frames are an offence, or a route")
	}
	if answer := r.asksFor(one, false); answer.GetType() != pb.NeighbourType_ACCEPT || r.c.links.neighbours() != 2 {
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

// TestRefusal: a full peer names neighbours that have said to have room, and not the peer that
// asks.
func TestRefusal(t *testing.T) {
	r, links := full(t)
	crowd := []string{"self"}
	for i := range MaxNeighbours - 1 {
		crowd = append(crowd, fmt.Sprint("x", i))
	}
	has := make(map[string]int)
	for i, l := range links {
		list := crowd // full, us included
		if i%2 == 0 {
			list = crowd[:MaxNeighbours-1-i%3]
		}
		r.receive(l, &pb.NeighbourList{Ids: list})
		has[fmt.Sprint("n", i)] = len(list)
	}
	asker := r.linked(1, "asker")
	r.receive(asker, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Have: wantNeighbours})
	answer := r.neighbourWords()[asker]
	if answer.GetType() != pb.NeighbourType_REFUSE || r.c.links.neighbours() != MaxNeighbours {
		t.Fatalf("answers %v, has %d neighbours", answer, r.c.links.neighbours())
	}
	var want []string
	for i := range links {
		if i%2 == 0 {
			want = append(want, fmt.Sprint("n", i))
		}
	}
	if !slices.IsSortedFunc(answer.GetCandidates(), func(a, b string) int { return has[a] - has[b] }) {
		t.Errorf("names %v, who have %v", answer.GetCandidates(), has)
	}
	got := slices.Sorted(slices.Values(answer.GetCandidates()))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("names %v, not %v", got, want)
	}
}

// TestCandidatesAreTried: a refused peer tries the peers that were named, if they are members,
// and does not soon ask the same peer again.
func TestCandidatesAreTried(t *testing.T) {
	r := newRig(t, nil)
	l := r.linked(1, "one")
	for i := range uint64(40) {
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 100+i, fmt.Sprint("p", i), 10, 0)))
	}
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE, Candidates: []string{"p7", "nobody", "self", "p9"}})
	r.pass(2 * tickEvery)
	dialled := func(i uint64) bool {
		return slices.ContainsFunc(r.out.Dials, func(d Dial) bool { return d.Key == testIdentity(100+i).Key() })
	}
	if !dialled(7) || !dialled(9) || len(r.out.Dials) > wantNeighbours {
		t.Errorf("dials %v", r.out.Dials)
	}
	r.pass(refusedFor - time.Second)
	if n := r.neighbourWords()[l]; n.GetType() == pb.NeighbourType_REQUEST && !n.GetAlone() {
		t.Error("asks again")
	}
}

// TestDependants: a peer without any other neighbour is granted what others are refused, up to a
// separate limit; it takes nobody's place, hears everything and leads nowhere.
func TestDependants(t *testing.T) {
	r, links := full(t)
	for i := range uint64(maxDependants + 3) {
		l := r.linked(100+i, fmt.Sprint("d", i))
		if answer := r.asksFor(l, false); answer.GetType() != pb.NeighbourType_REFUSE {
			t.Fatalf("answers %v to one that is not alone", answer)
		}
		want := pb.NeighbourType_ACCEPT
		if i >= maxDependants {
			want = pb.NeighbourType_REFUSE
		}
		if answer := r.asksFor(l, true); answer.GetType() != want {
			t.Fatalf("answers %v to the dependant %d", answer, i)
		}
	}
	if r.c.links.degree() != MaxNeighbours || r.c.links.dependants() != maxDependants {
		t.Errorf("has %d neighbours and %d dependants", r.c.links.degree(), r.c.links.dependants())
	}
	first := links[len(links)-1] + 1
	r.receive(links[0], propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
	told := 0
	for _, f := range r.out.Frames {
		if f.Link >= first {
			told++
		}
	}
	if told != maxDependants {
		t.Errorf("tells %d of its dependants", told)
	}
	r.pass(2 * tickEvery)
	lists := r.listsTold(first)
	if len(lists) != 1 || len(lists[0]) > pb.MaxNeighbours {
		t.Errorf("tells a dependant of %v", lists)
	}
	r.receive(first, &pb.Neighbour{Type: pb.NeighbourType_END})
	l := r.linked(500, "late")
	if answer := r.asksFor(l, true); answer.GetType() != pb.NeighbourType_ACCEPT {
		t.Errorf("the place that one has left is not granted: %v", answer)
	}
	r.receive(links[0], &pb.Neighbour{Type: pb.NeighbourType_END})
	l = r.linked(501, "later")
	if answer := r.asksFor(l, false); answer.GetType() != pb.NeighbourType_ACCEPT || r.c.links.link(l).dependant {
		t.Errorf("the place of a neighbour is not granted: %v", answer)
	}
}

// TestLeaning: a peer that all have refused asks to be taken as a dependant after a while, over
// all links, and ends that when it has others.
func TestLeaning(t *testing.T) {
	r := newRig(t, nil)
	refuse := func(l LinkID) { r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REFUSE}) }
	links := []LinkID{r.linked(1, "one"), r.linked(2, "two")}
	for _, l := range links {
		refuse(l)
	}
	r.pass(aloneAfter / 2)
	if len(r.neighbourWords()) > 0 {
		t.Errorf("soon says %v", r.neighbourWords())
	}
	r.pass(aloneAfter)
	if words := r.neighbourWords(); len(words) != 2 || !words[links[0]].GetAlone() || !words[links[1]].GetAlone() {
		t.Fatalf("then says %v", words)
	}
	refuse(links[1])
	r.pass(2 * tickEvery)
	if words := r.neighbourWords(); len(words) > 0 {
		t.Errorf("sends %v to a peer that has refused", words)
	}
	r.receive(links[0], &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	if !r.c.links.link(links[0]).neighbour {
		t.Fatal("no neighbour")
	}
	for i := range uint64(3) {
		l := r.linked(10+i, fmt.Sprint("more", i))
		r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		if !r.c.links.link(l).neighbour {
			t.Fatalf("%d is not a neighbour", i)
		}
		r.receive(l, &pb.SyncReply{Last: true, Done: true})
		r.pass(2 * tickEvery)
		if n, ended := r.neighbourWords()[links[0]], !r.c.links.link(links[0]).neighbour; (n.GetType() == pb.NeighbourType_END) != (i == 1) || ended != (i >= 1) {
			t.Errorf("with %d others says %v, has ended it: %v", i+1, n, ended)
		}
	}
}

// TestRefusedLeaningIsOver: a peer refused as a dependant, and later asked by the same peer, has
// an ordinary neighbour, which it keeps.
func TestRefusedLeaningIsOver(t *testing.T) {
	r := newRig(t, nil)
	one := r.linked(1, "one")
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
	r.pass(2 * aloneAfter)
	if !r.neighbourWords()[one].GetAlone() {
		t.Fatal("does not ask alone")
	}
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
	r.asksFor(one, false)
	for i := range uint64(4) {
		r.neighbour(10+i, fmt.Sprint("more", i))
		r.pass(2 * tickEvery)
	}
	if !r.c.links.link(one).neighbour {
		t.Error("ends what it has granted")
	}
}

// TestWordsThatCross: a late answer to a request for neighbourhood, after that was agreed and
// ended, is not an offence.
func TestWordsThatCross(t *testing.T) {
	r := newRig(t, nil)
	one := r.linked(1, "one")
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_REFUSE})
	r.pass(2 * aloneAfter) // asks alone
	for i := range uint64(3) {
		l := r.linked(10+i, fmt.Sprint("more", i))
		r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
		r.receive(l, &pb.SyncReply{Last: true, Done: true})
	}
	r.asksFor(one, false) // and is asked, before the answer
	r.pass(2 * tickEvery)
	if r.neighbourWords()[one].GetType() != pb.NeighbourType_END {
		t.Fatal("does not end it")
	}
	r.receive(one, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	if len(r.out.Closes) > 0 {
		t.Errorf("closes %v", r.out.Closes)
	}
}

// TestBehindADependant: a peer that is linked to a dependant only can be reached.
func TestBehindADependant(t *testing.T) {
	w := newWire(t)
	w.network(MaxNeighbours + 3)
	hub, dependant, far := w.peers[0], w.peers[MaxNeighbours+1], w.peers[MaxNeighbours+2]
	for _, p := range w.peers[1 : MaxNeighbours+1] {
		w.connect(hub, p)
	}
	w.link(dependant, hub)
	dependant.c.neighbourhood.askNeighbour(dependant.c.links.linkTo(hub.c.cfg.Identity.Key()), true)
	w.drain(dependant)
	w.deliver()
	w.pass(aloneAfter + time.Second)
	if hub.c.links.dependants() != 1 {
		t.Fatalf("%d dependants", hub.c.links.dependants())
	}
	w.connect(far, dependant)
	w.pass(4 * routeEvery)
	p := watchPings(w, t.Fatalf)
	if !p.goes(w.peers[1], dependant) {
		t.Error("a ping to the dependant does not arrive")
	}
	if !p.goes(far, w.peers[1]) || !p.goes(w.peers[1], far) {
		t.Errorf("a ping to or from behind it does not arrive: %v", p.arrived)
	}
}
