package neighbours

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rig is the neighbourhood of a peer in a table of many, with a test that plays these.
type rig struct {
	*Neighbourhood
	t     *testing.T
	last  base.LinkID
	said  map[base.LinkID]*pb.Neighbour // by the last frames
	lists map[base.LinkID][]string
	lost  map[base.LinkID]bool // has been sent a LOST
}

const tick = 250 * time.Millisecond

func idOf(i int) certs.ID { return certs.ID(fmt.Sprint("p", i)) }

func recordOf(i int) *base.Record {
	id := idOf(i)
	return &base.Record{
		ID: id, Key: certs.PublicKey{byte(i >> 8), byte(i), 1}, Epoch: 1, Tag: base.TagOf(id),
		Addresses: []string{fmt.Sprintf("9.9.%d.%d:5000", i>>8, i&255)}, Signed: &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 64)},
	}
}

func newRig(t *testing.T, members int) *rig {
	en := &base.Env{Ready: true, Cfg: base.Config{ID: "self", Rand: rand.New(rand.NewPCG(1, 2))}}
	tb := &table.Table{Env: en}
	var records []*base.Record
	for i := range members {
		records = append(records, recordOf(i))
	}
	tb.Load(records, 0)
	tb.Self = table.NewEntry(&base.Record{ID: "self", Tag: base.TagOf("self")}, pb.AnnouncementType_JOIN, 0)
	tb.Insert(tb.Self)
	ls := link.NewLinks(en, tb)
	db := link.NewDoubt(en, ls)
	rt := route.NewRoutes(en, tb, ls)
	g := gossip.New(en, tb, ls, rt, db)
	en.Cfg.Addresses = []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:5000")}
	re := reach.New(en, tb, ls, rt, reach.NewWhereabouts(en, tb, ls), db)
	bc := broadcast.New(en, tb, ls, db, past.New(en, tb, ls))
	return &rig{Neighbourhood: New(en, tb, ls, rt, db, g, re, bc, reconcile.New(en, tb, ls, g, hearsay.New(en, tb, ls, rt, db, nil))), t: t}
}

// read takes the frames of the last input.
func (r *rig) read() {
	r.t.Helper()
	r.links.FlushAnnouncements()
	r.said, r.lists, r.lost = make(map[base.LinkID]*pb.Neighbour), make(map[base.LinkID][]string), make(map[base.LinkID]bool)
	for _, f := range r.Out.Frames {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		switch {
		case err != nil:
			r.t.Fatal(err)
		case m.GetNeighbour() != nil:
			r.said[f.Link] = m.GetNeighbour()
		case m.GetNeighbourList() != nil:
			r.lists[f.Link] = m.GetNeighbourList().GetIds()
		case m.GetPropagation() != nil:
			r.lost[f.Link] = m.GetPropagation().GetAnnouncements()[0].GetType() == pb.AnnouncementType_LOST
		}
	}
	r.Out.Frames = nil
}

// link is a link to a peer, which is asked for nothing.
func (r *rig) link(i int) *link.Link {
	r.last++
	record := recordOf(i)
	l := &link.Link{ID: r.last, State: link.LinkUp, Peer: record.ID, Key: record.Key, Entry: r.table.Get(record.ID, record.Key), Heard: r.Now}
	r.links.List = append(r.links.List, l)
	return l
}

// says lets a peer say a step, and returns the answer.
func (r *rig) says(l *link.Link, what pb.NeighbourType, priority bool) *pb.Neighbour {
	r.t.Helper()
	r.ReceiveNeighbour(l, &pb.Neighbour{Type: what, Priority: priority})
	r.read()
	return r.said[l.ID]
}

// neighbours makes neighbours of so many peers.
func (r *rig) neighbours(n int) []*link.Link {
	r.t.Helper()
	for range n {
		l := r.link(len(r.links.List))
		if got := r.says(l, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_ACCEPT {
			r.t.Fatalf("%s is answered %v", l.Peer, got)
		}
	}
	return r.links.List
}

// hasNeighbours lets a peer name so many neighbours, we among them.
func (r *rig) hasNeighbours(l *link.Link, n int) {
	list := []string{"self"}
	for i := range n - 1 {
		list = append(list, string(idOf(100+i)))
	}
	r.ReceiveNeighbourList(l, &pb.NeighbourList{Ids: list})
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for until := r.Now + d; r.Now < until; {
		r.Now += tick
		r.SeekNeighbours()
		r.TellNeighbours()
	}
	r.read()
}

// met says that all peers of the table were linked to us where they can be dialled.
func (r *rig) met() {
	for _, e := range r.table.Entries {
		if e != r.table.Self {
			e.With().LastAddress = e.Record.Addresses[0]
		}
	}
}

// dialled fails all dials, and returns how many of them sought a neighbour, and how many did not.
func (r *rig) dialled() (seeking, others int) {
	for _, d := range r.Out.Dials {
		if r.reach.Dials[d.ID].Seeking {
			seeking++
		} else {
			others++
		}
		r.reach.DialFailed(d.ID, false, "timeout")
	}
	r.Out.Dials = nil
	return seeking, others
}

// TestRule: how many neighbours a peer asks for, when it grants it, and whom it gives up.
func TestRule(t *testing.T) {
	if Short(0) != table.WantNeighbours || Short(table.WantNeighbours) > 0 || Short(table.MostNeighbours) > 0 {
		t.Error("asks for another number")
	}
	for _, test := range []struct {
		degree        int
		any, priority bool
	}{
		{0, true, true}, {table.MaxNeighbours - 1, true, true}, {table.MaxNeighbours, false, true},
		{table.MostNeighbours - 1, false, true}, {table.MostNeighbours, false, false},
	} {
		if Grants(test.degree, false) != test.any || Grants(test.degree, true) != test.priority {
			t.Errorf("with %d grants %v, with priority %v", test.degree, Grants(test.degree, false), Grants(test.degree, true))
		}
	}
	const w = table.WantNeighbours
	for _, test := range []struct {
		degrees []int
		richest int
	}{
		{nil, -1}, {[]int{w}, -1}, {[]int{1, w, 2}, -1}, {[]int{1, w + 1}, 1}, {[]int{w + 1, w + 3, w + 2}, 1}, {[]int{w + 2, w + 2}, 0},
	} {
		if got := Richest(test.degrees); got != test.richest {
			t.Errorf("of %v gives up %d", test.degrees, got)
		}
	}
}

// TestGivingUpOne: to take a peer that is short, a full one drops the neighbour that has most, if
// that one is not short without it; over all its links.
func TestGivingUpOne(t *testing.T) {
	r := newRig(t, 200)
	list := r.neighbours(table.MaxNeighbours)
	asker := r.link(50)
	for _, l := range list[:table.MaxNeighbours] {
		r.hasNeighbours(l, table.WantNeighbours)
	}
	if got := r.says(asker, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_REFUSE || asker.Neighbour {
		t.Fatalf("without a neighbour that can be spared answers %v", got)
	}
	r.hasNeighbours(list[3], table.WantNeighbours+1)
	r.hasNeighbours(list[5], table.WantNeighbours+3)
	r.hasNeighbours(list[7], table.WantNeighbours+2)
	second := r.link(5) // of the one with most
	second.Neighbour, second.Slot = true, -1
	if got := r.says(asker, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_ACCEPT || !asker.Neighbour {
		t.Fatalf("a peer that is short gets %v", got)
	}
	for _, l := range []*link.Link{list[5], second} {
		if r.said[l.ID].GetType() != pb.NeighbourType_END || l.Neighbour || r.links.Degree() != table.MaxNeighbours {
			t.Errorf("says %v, has %d neighbours", r.said, r.links.Degree())
		}
	}
}

// TestPriority: a peer without any other neighbour is granted what others are refused, up to a
// higher bound; it has no place in the distance vectors, and its place is free once it has gone.
func TestPriority(t *testing.T) {
	r := newRig(t, 200)
	r.neighbours(table.MaxNeighbours)
	var above []*link.Link
	for i := table.MaxNeighbours; i < table.MostNeighbours+3; i++ {
		l := r.link(i)
		if got := r.says(l, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_REFUSE {
			t.Fatalf("answers %v to one without priority", got)
		}
		want := pb.NeighbourType_ACCEPT
		if i >= table.MostNeighbours {
			want = pb.NeighbourType_REFUSE
		}
		if got := r.says(l, pb.NeighbourType_REQUEST, true); got.GetType() != want || l.Neighbour && l.Slot >= 0 {
			t.Fatalf("answers %v to the one with priority %d, which has the slot %d", got, i, l.Slot)
		}
		above = append(above, l)
	}
	if n := r.links.Degree(); n != table.MostNeighbours {
		t.Errorf("has %d neighbours", n)
	}
	if r.TellNeighbours(); len(r.Out.Frames) != table.MostNeighbours {
		t.Errorf("tells %d who the others are", len(r.Out.Frames))
	}
	if r.read(); len(r.lists[above[0].ID]) != min(pb.MaxNeighbours, table.MostNeighbours) {
		t.Errorf("tells one of %v", r.lists[above[0].ID])
	}
	r.says(above[0], pb.NeighbourType_END, false)
	if got := r.says(r.link(150), pb.NeighbourType_REQUEST, true); got.GetType() != pb.NeighbourType_ACCEPT {
		t.Errorf("the place that one has left is not granted: %v", got)
	}
}

// TestAboveTheUsual: a peer with more neighbours than usual ends it with those that can spare it.
func TestAboveTheUsual(t *testing.T) {
	r := newRig(t, 200)
	r.neighbours(table.MaxNeighbours)
	var more []*link.Link
	for i := range 3 {
		more = append(more, r.link(50+i))
		r.says(more[i], pb.NeighbourType_REQUEST, true)
	}
	r.hasNeighbours(r.links.List[0], table.WantNeighbours+5) // it has a slot
	r.hasNeighbours(more[0], table.WantNeighbours)
	r.hasNeighbours(more[1], table.WantNeighbours+1)
	r.pass(2 * tick)
	if len(r.said) != 1 || r.said[more[1].ID].GetType() != pb.NeighbourType_END || r.links.Neighbours() != table.MaxNeighbours+2 {
		t.Errorf("says %v, has %d neighbours", r.said, r.links.Neighbours())
	}
}

// TestEnd: a peer that has ended neighbourhood leads nowhere, and what it says later as one that
// has not ended it does no harm; it may ask again.
func TestEnd(t *testing.T) {
	r := newRig(t, 20)
	one := r.neighbours(2)[0]
	far := r.table.Get(idOf(9), recordOf(9).Key)
	routes := &pb.Routes{Peers: []uint32{base.ShortTag(far.Record.Tag)}, Hops: []byte{1}}
	if r.routes.ReceiveRoutes(one, routes); r.links.Distance(far) != 2 {
		t.Fatalf("it leads to others in %d links", r.links.Distance(far))
	}
	for range 2 {
		r.says(one, pb.NeighbourType_END, false)
		r.hasNeighbours(one, 5)
		r.routes.ReceiveRoutes(one, routes)
		if r.links.Neighbours() != 1 || one.State != link.LinkUp || r.links.Distance(far) != table.NoWay || len(one.Entry.Our().Neighbours) > 0 {
			t.Errorf("%d neighbours; it leads to others in %d links; it has %v", r.links.Neighbours(), r.links.Distance(far), one.Entry.Our().Neighbours)
		}
	}
	if got := r.says(one, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_ACCEPT || r.links.Neighbours() != 2 {
		t.Errorf("asked again answers %v", got)
	}
}

// TestSteps: which steps are taken, ignored, answered with an END, or an offence.
func TestSteps(t *testing.T) {
	const request, accept, refuse, end = pb.NeighbourType_REQUEST, pb.NeighbourType_ACCEPT, pb.NeighbourType_REFUSE, pb.NeighbourType_END
	for _, test := range []struct {
		name      string
		asked     bool // we have
		steps     []pb.NeighbourType
		neighbour bool
		answer    pb.NeighbourType // to the last step
		offence   bool
		compares  bool // the tables
	}{
		{"an answer to no request", false, []pb.NeighbourType{accept}, false, 0, true, false},
		{"a refusal of no request", false, []pb.NeighbourType{refuse}, false, 0, true, false},
		{"it asks", false, []pb.NeighbourType{request}, true, accept, false, false},
		{"it asks again", false, []pb.NeighbourType{request, request}, true, accept, false, false},
		{"it accepts", true, []pb.NeighbourType{accept}, true, 0, false, true},
		{"it refuses", true, []pb.NeighbourType{refuse}, false, 0, false, false},
		{"requests that cross", true, []pb.NeighbourType{request, accept}, true, 0, false, true},
		{"an answer that comes late", true, []pb.NeighbourType{request, end, accept}, false, end, false, false},
		{"a refusal that comes late", true, []pb.NeighbourType{request, end, refuse}, false, 0, false, false},
		{"an end of nothing", false, []pb.NeighbourType{end}, false, 0, false, false},
		{"a step of a newer version", true, []pb.NeighbourType{99}, false, 0, false, false},
		{"no step", true, []pb.NeighbourType{0}, false, 0, false, false},
	} {
		r := newRig(t, 20)
		l := r.link(1)
		if test.asked {
			r.AskNeighbour(l)
			r.read()
		}
		var answer *pb.Neighbour
		for _, step := range test.steps {
			answer = r.says(l, step, false)
		}
		if l.Neighbour != test.neighbour || answer.GetType() != test.answer || len(r.Out.Closes) > 0 != test.offence {
			t.Errorf("%s: a neighbour %v, answers %v, closes %v", test.name, l.Neighbour, answer, r.Out.Closes)
		}
		if compares := l.Exchange != nil; compares != test.compares {
			t.Errorf("%s: compares tables: %v", test.name, compares)
		}
	}
}

// TestNeighboursAreTold: each neighbour learns who the others are, soon after a change, and only
// once.
func TestNeighboursAreTold(t *testing.T) {
	r := newRig(t, 0)
	one, two := r.link(0), r.link(1)
	r.says(one, pb.NeighbourType_REQUEST, false)
	r.says(two, pb.NeighbourType_REQUEST, false)
	r.link(2) // is none
	tells := func(want map[base.LinkID][]string) {
		t.Helper()
		if r.pass(tick); !(len(r.lists) == len(want) && slices.Equal(r.lists[1], want[1]) && slices.Equal(r.lists[2], want[2])) {
			t.Errorf("tells %v, not %v", r.lists, want)
		}
	}
	both := []string{"p0", "p1"}
	tells(map[base.LinkID][]string{1: both, 2: both})
	tells(nil)
	r.says(two, pb.NeighbourType_END, false)
	tells(map[base.LinkID][]string{1: {"p0"}})
	tells(nil)
	r.links.Close(one, base.CloseBye, "")
	r.says(two, pb.NeighbourType_REQUEST, false)
	tells(map[base.LinkID][]string{2: {"p1"}})
}

// TestAskingAgain: a peer that has refused is not soon asked again while another one is our
// neighbour. Without any it is asked soon, with priority.
func TestAskingAgain(t *testing.T) {
	r := newRig(t, 2)
	list := []*link.Link{r.link(0), r.link(1)}
	asks := func(d time.Duration, want bool) {
		t.Helper()
		r.pass(d)
		for _, l := range list {
			if said := r.said[l.ID]; l.State == link.LinkUp && !l.Neighbour && (said != nil) != want || said != nil && said.GetPriority() != (l.Entry.Our().RefusedTill > 0) {
				t.Fatalf("at %v says %v to %s", r.Now, said, l.Peer)
			}
		}
	}
	refuse := func(l *link.Link) { r.says(l, pb.NeighbourType_REFUSE, false) }
	asks(tick, true)
	for range 2 { // as often as it takes
		refuse(list[0])
		refuse(list[1])
		asks(refusedAlone-tick, false)
		asks(tick, true)
	}
	r.says(list[0], pb.NeighbourType_ACCEPT, false)
	refuse(list[1])
	asks(refusedFor-tick, false)
	r.says(list[0], pb.NeighbourType_END, false)
	list = list[:1]
	list[0].Entry.With().RefusedTill = r.Now + refusedFor // not this one
	r.pass(tick)
	if said := r.said[2]; said.GetType() != pb.NeighbourType_REQUEST || said.GetPriority() {
		t.Errorf("in the end says %v", said)
	}
}

// TestSeeking: neighbours are sought at once and then two a second, as long as some are missing;
// over links that stand first, and never with a peer that can't be asked.
func TestSeeking(t *testing.T) {
	r := newRig(t, 500)
	r.met()
	r.neighbours(1)
	sought := func(d time.Duration) (n int) {
		for until := r.Now + d; r.Now < until; {
			r.pass(tick)
			seeking, _ := r.dialled()
			n += seeking
		}
		return n
	}
	if n := sought(time.Second); n < table.WantNeighbours-1 || n > table.WantNeighbours+3 {
		t.Errorf("in the first second %d dials", n)
	}
	if n := sought(10 * time.Second); n < 18 || n > 22 {
		t.Errorf("in ten seconds %d dials", n)
	}
	var asked int
	for i := range 20 {
		r.link(300 + i)
	}
	n := sought(tick)
	for _, l := range r.links.List {
		if l.Asked {
			asked++
		}
	}
	if n > 0 || asked != table.WantNeighbours-1 {
		t.Errorf("with links that stand dials %d and asks %d", n, asked)
	}
	r = newRig(t, 500)
	if r.neighbours(table.WantNeighbours); sought(time.Minute) != 0 {
		t.Error("with enough it seeks more")
	}
	for name, change := range map[string]func(e *table.Entry){
		"a guest":                   func(e *table.Entry) { e.Record.Visitor = true },
		"a buried peer":             func(e *table.Entry) { e.State = pb.AnnouncementType_LOST },
		"one that is being dialled": func(e *table.Entry) { e.With().Dialing = 7 },
		"one not dialled yet":       func(e *table.Entry) { e.With().NextDial = time.Hour },
	} {
		r = newRig(t, 1)
		r.met()
		change(r.table.Get(idOf(0), recordOf(0).Key))
		if sought(time.Second) > 0 {
			t.Errorf("seeks %s", name)
		}
	}
}

// TestUnmet: peers never met are sought at once by a peer that has few neighbours, and then hardly any more if
// none answers; with some neighbours only those whose turn it is. The lost among them are dialled as seldom.
func TestUnmet(t *testing.T) {
	const members = 300
	tries := func(r *rig, d time.Duration) (n int) {
		for until := r.Now + d; r.Now < until; {
			r.pass(tick)
			r.Heal()
			seeking, others := r.dialled()
			n += seeking + others
		}
		return n
	}
	few := newRig(t, members) // it has just come
	few.neighbours(1)
	if n := tries(few, time.Second); n < table.WantNeighbours-1 || n > table.WantNeighbours {
		t.Errorf("with few neighbours it dials %d at once", n)
	}
	if n := tries(few, 10*time.Minute); n > int(10*time.Minute/reach.UnmetEvery)+1 {
		t.Errorf("then %d in ten minutes", n)
	}
	some := newRig(t, members)
	some.ReadyAt = -time.Hour // it has not just come
	some.neighbours(4)
	for i := range 20 {
		e := some.table.Get(idOf(200+i), recordOf(200+i).Key)
		some.table.Set(e, e.Record, pb.AnnouncementType_LOST)
		some.table.AddGone(e)
	}
	if n := tries(some, time.Second); n > 4 { // of all peers it is the turn of about one
		t.Errorf("with some neighbours it dials %d at once", n)
	}
}

// TestHealing: the lost are dialled, each about once a second by the network as a whole; more
// eagerly by a peer that is short of neighbours, and by one that reaches nobody.
func TestHealing(t *testing.T) {
	const members, gone = 300, 30
	healed := func(neighbours int, d time.Duration) (n int) {
		r := newRig(t, members)
		r.met()
		r.neighbours(neighbours)
		for i := range gone {
			e := r.table.Get(idOf(200+i), recordOf(200+i).Key)
			r.table.Set(e, e.Record, pb.AnnouncementType_LOST)
			r.table.AddGone(e)
		}
		for until := r.Now + d; r.Now < until; r.Now += tick {
			r.Heal()
			_, others := r.dialled()
			n += others
		}
		return n
	}
	const minutes = 10
	expected := minutes * 60 * gone / (members - gone) // one of so many peers
	if n := healed(table.WantNeighbours, minutes*time.Minute); n < expected*2/3 || n > expected*4/3 {
		t.Errorf("in %d minutes dials %d times, not %d", minutes, n, expected)
	}
	if n := healed(table.WantNeighbours-1, time.Minute); n < 50 || n > 60 {
		t.Errorf("short of neighbours in a minute %d times", n)
	}
	if n := healed(0, time.Minute); n < 55 || n > 70 { // what reach allows for mere checks
		t.Errorf("alone in a minute %d times", n)
	}
}

// TestLostNeighbour: a neighbour that is called lost is not one any more if it is silent; it is
// told, in case it hears it. Its next run has other neighbours.
func TestLostNeighbour(t *testing.T) {
	for _, silent := range []bool{false, true} {
		r := newRig(t, 20)
		l := r.neighbours(2)[0]
		r.hasNeighbours(l, 3)
		l.Entry.With().Suspicion = table.Suspicion{Accusers: []certs.ID{"p1"}}
		if r.Now += link.FreshWithin; silent {
			r.Now++
		}
		record := l.Entry.Record
		r.table.Set(l.Entry, record, pb.AnnouncementType_LOST)
		r.Told(link.Change{Entry: l.Entry, Old: record, Was: base.Version{Epoch: 1}, News: link.News{Record: record, State: pb.AnnouncementType_LOST}})
		if r.read(); l.Neighbour == silent || r.lost[l.ID] != silent || len(r.said) > 0 != silent || len(l.Entry.Our().Neighbours) != 2 {
			t.Errorf("silent %v: a neighbour %v, told %v, says %v", silent, l.Neighbour, r.lost[l.ID], r.said)
		}
		later := *record
		later.Epoch = 2
		r.Told(link.Change{Entry: l.Entry, Old: record, Was: base.Version{Epoch: 1}, News: link.News{Record: &later, State: pb.AnnouncementType_JOIN}})
		if len(l.Entry.Our().Neighbours) > 0 {
			t.Error("the next run has the neighbours of the last")
		}
	}
}
