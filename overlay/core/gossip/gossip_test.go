package gossip

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

const (
	join  = pb.AnnouncementType_JOIN
	lost  = pb.AnnouncementType_LOST
	leave = pb.AnnouncementType_LEAVE
)

// recordOf is a statement of the peer of this number. Its signature is not judged.
func recordOf(i int, state pb.AnnouncementType, seq uint32, change ...func(*pb.Record)) *base.Record {
	key := certs.PublicKey{1, byte(i)}
	r := &pb.Record{Type: state, Id: fmt.Sprint("p", i), Key: key[:], Network: "net", Epoch: 1000, Seq: seq}
	for _, f := range change {
		f(r)
	}
	payload, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return base.NewRecord(r, &pb.Signed{Payload: payload, Signature: make([]byte, 64)})
}

// rig is the gossip of a peer with three neighbours, p0 to p2; p3 to p5 are members too.
type rig struct {
	*Gossip
	judged int // signatures
	valid  bool
}

func newRig() *rig {
	r := &rig{valid: true}
	en := &base.Env{Now: 100 * time.Hour, Cfg: base.Config{ID: "self", Network: "net", Rand: rand.New(rand.NewPCG(1, 2)), Open: base.OpenRecord}}
	en.Cfg.Verify = func(base.Claim) bool { r.judged++; return r.valid }
	t := &table.Table{Env: en}
	var records []*base.Record
	for i := range 6 {
		records = append(records, recordOf(i, join, 5))
	}
	t.Load(records, en.Now)
	t.Self = table.NewEntry(&base.Record{ID: "self", Tag: base.TagOf("self"), Epoch: 1000, Signed: &pb.Signed{}}, join, en.Now)
	t.Insert(t.Self)
	ls := link.NewLinks(en, t)
	r.Gossip = New(en, t, ls, route.NewRoutes(en, t, ls), link.NewDoubt(en, ls))
	for i := range 3 {
		e := r.entry(i)
		ls.List = append(ls.List, &link.Link{
			ID: base.LinkID(i + 1), State: link.LinkUp, Peer: e.Record.ID, Key: e.Record.Key, Entry: e, Heard: en.Now, Bond: link.Bond{Neighbour: true, Slot: i},
		})
	}
	return r
}

func (r *rig) entry(i int) *table.Entry {
	record := recordOf(i, join, 0)
	return r.table.Get(record.ID, record.Key)
}

func (r *rig) link(i int) *link.Link { return r.links.List[i] }

// told takes what waits for the neighbours: for each the states that it is told.
func (r *rig) told() (list [3][]pb.AnnouncementType) {
	for i, l := range r.links.List {
		for _, a := range l.Pending {
			list[i] = append(list[i], a.GetType())
		}
		l.Pending = nil
	}
	return list
}

func (r *rig) tells(t *testing.T, name string, want [3][]pb.AnnouncementType) {
	t.Helper()
	if got := r.told(); !slices.EqualFunc(got[:], want[:], slices.Equal) {
		t.Errorf("%s: tells %v, not %v", name, got, want)
	}
}

func news(record *base.Record, state pb.AnnouncementType, accusers ...certs.ID) link.News {
	return link.News{Record: record, State: state, Said: 100 * time.Hour, Accusers: accusers}
}

// TestOpen: what is opened, dropped, or ends the link.
func TestOpen(t *testing.T) {
	for _, test := range []struct {
		name          string
		a             *pb.Announcement
		opens, closes bool
	}{
		{"a JOIN", &pb.Announcement{Type: join, Record: recordOf(9, join, 0).Signed}, true, false},
		{"a LEAVE", &pb.Announcement{Type: leave, Record: recordOf(9, leave, 1).Signed}, true, false},
		{"a LOST", &pb.Announcement{Type: lost, Record: recordOf(9, join, 0).Signed, Accusers: []string{"p1"}}, true, false},
		{"a LOST of nobody", &pb.Announcement{Type: lost, Record: recordOf(9, join, 0).Signed}, false, false},
		{"a LEAVE with a JOIN", &pb.Announcement{Type: leave, Record: recordOf(9, join, 0).Signed}, false, true},
		{"a JOIN with a LEAVE", &pb.Announcement{Type: join, Record: recordOf(9, leave, 0).Signed}, false, true},
		{"a LOST of one that has left", &pb.Announcement{Type: lost, Record: recordOf(9, leave, 0).Signed, Accusers: []string{"p1"}}, false, true},
		{"another network", &pb.Announcement{Type: join, Record: recordOf(9, join, 0, func(r *pb.Record) { r.Network = "other" }).Signed}, false, true},
		{"a longer key", &pb.Announcement{Type: join, Record: recordOf(9, join, 0, func(r *pb.Record) { r.Key = make([]byte, 1952) }).Signed}, false, false},
		{"a newer state", &pb.Announcement{Type: 99, Record: recordOf(9, join, 0).Signed}, false, false},
	} {
		r := newRig()
		if test.name == "a longer key" {
			r.Cfg.Open = func(*pb.Signed) (*base.Record, error) { return nil, fmt.Errorf("a key of 1952 bytes") }
		}
		test.a.Age, test.a.Hops = 5000, 3
		n, ok := r.Open(r.link(0), test.a)
		if ok == test.closes || len(r.Out.Closes) > 0 != test.closes || (n.Record != nil && ok) != test.opens {
			t.Errorf("%s: opens %v, closes %v", test.name, n.Record, r.Out.Closes)
		}
		if test.opens && (n.State != test.a.GetType() || n.Said != r.Now-5*time.Second || n.Hops != 3 || len(n.Accusers) != len(test.a.GetAccusers())) {
			t.Errorf("%s: opens it as %+v", test.name, n)
		}
		if r.judged > 0 {
			t.Errorf("%s: %d signatures are judged", test.name, r.judged)
		}
	}
}

// TestSigned: only the very record that we hold needs no judging.
func TestSigned(t *testing.T) {
	again := recordOf(3, join, 5)
	forged := recordOf(3, join, 5)
	forged.Signed.Signature[40] = 1
	for name, test := range map[string]struct {
		record *base.Record
		judged int
	}{
		"held":    {again, 0},
		"forged":  {forged, 1},
		"later":   {recordOf(3, join, 6), 1},
		"unknown": {recordOf(9, join, 0), 1},
	} {
		r := newRig()
		r.valid = false
		if r.Signed(news(test.record, join)) != (test.judged == 0) || r.judged != test.judged {
			t.Errorf("%s: %d signatures are judged", name, r.judged)
		}
	}
}

// TestIsNews: what is newer than what we hold is news; a peer that is behind is told what we hold.
func TestIsNews(t *testing.T) {
	nobody := [3][]pb.AnnouncementType{}
	for _, test := range []struct {
		name   string
		n      link.News
		change func(*rig)
		news   bool
		tells  [3][]pb.AnnouncementType
	}{
		{"an unknown peer", news(recordOf(9, join, 0), join), nil, true, nobody},
		{"a later JOIN", news(recordOf(3, join, 6), join), nil, true, nobody},
		{"a LOST", news(recordOf(3, join, 5), lost, "p1"), nil, true, nobody},
		{"the same", news(recordOf(3, join, 5), join), nil, false, nobody},
		{"an older one", news(recordOf(3, join, 4), join), nil, false, [3][]pb.AnnouncementType{{join}}},
		{"an older LOST", news(recordOf(3, join, 4), lost, "p1"), nil, false, [3][]pb.AnnouncementType{{join}}},
		{"an older LEAVE", news(recordOf(3, leave, 4), leave), nil, false, [3][]pb.AnnouncementType{{join}}},
		{"an older one of a missing peer", news(recordOf(3, join, 4), join), func(r *rig) { r.entry(3).Missing = true }, false, nobody},
		{"an older one of us, when we leave", news(&base.Record{ID: "self", Tag: base.TagOf("self")}, join), func(r *rig) { r.Leaving = true }, false, nobody},
		{"an older one of us", news(&base.Record{ID: "self", Tag: base.TagOf("self")}, join), nil, false, [3][]pb.AnnouncementType{{join}}},
		{"a run that is over", news(recordOf(9, join, 0), join), func(r *rig) { r.table.Tombstones.Add(recordOf(9, leave, 1)) }, false, nobody},
		{"a LOST of a run that is over", news(recordOf(9, join, 0), lost), func(r *rig) { r.table.Tombstones.Add(recordOf(9, leave, 1)) }, true, nobody},
		{"a visitor, by another", news(recordOf(9, join, 0, func(r *pb.Record) { r.Visitor = true }), join), nil, false, nobody},
	} {
		r := newRig()
		if test.change != nil {
			test.change(r)
		}
		if r.IsNews(r.link(0), test.n) != test.news {
			t.Errorf("%s: is news: %v", test.name, !test.news)
		}
		r.tells(t, test.name, test.tells)
	}
	r := newRig()
	e := r.entry(3)
	e.Missing = true
	if r.IsNews(r.link(1), link.News{Record: e.Record, State: join, Said: r.Now, Hops: 4}) || e.Missing || !slices.Contains(r.Events, base.Happening(table.FoundAgain{Entry: e})) {
		t.Error("a missing peer is not found by what others hold")
	}
	if r.links.Distance(e) != 5 {
		t.Errorf("it is %d links away", r.links.Distance(e))
	}
}

// TestExpired: how old an announcement may be.
func TestExpired(t *testing.T) {
	for _, test := range []struct {
		state pb.AnnouncementType
		known bool
		most  time.Duration
	}{
		{join, false, table.Lease}, {join, true, table.Lease}, {lost, false, table.RememberFor}, {lost, true, table.RememberFor},
		{leave, false, table.RememberLeft}, {leave, true, table.RememberFor},
	} {
		for age, isNews := range map[time.Duration]bool{test.most - 1: true, test.most: false} {
			r := newRig()
			of := map[bool]int{true: 3, false: 9}[test.known]
			n := news(recordOf(of, map[bool]pb.AnnouncementType{true: leave, false: join}[test.state == leave], 6), test.state)
			n.Said = r.Now - age
			if r.IsNews(nil, n) != isNews {
				t.Errorf("%v of a known peer %v, %v old: is news: %v", test.state, test.known, age, !isNews)
			}
		}
	}
}

// change merges a statement, as a core does, and tells what follows.
func (r *rig) change(from *link.Link, n link.News) {
	e := r.table.Lookup(n.Record.Tag, n.Record.ID, n.Record.Key)
	ch := link.Change{Entry: e, News: n, From: from, Old: e.Record, Was: e.Version(), WasAlive: e.Alive() || e.Suspect(r.Now)}
	e.Said = n.Said
	r.table.Set(e, n.Record, n.State)
	ch.SuspectFrom(r.doubt)
	r.Told(ch)
}

// TestDampedRate: however long a peer goes on, only six changes a minute and the first few are
// passed on, the last of them as it then is; after a quiet time it has six again.
func TestDampedRate(t *testing.T) {
	r := newRig()
	const minutes = 5
	passed, seq := 0, uint32(5)
	say := func() {
		seq++
		r.change(r.link(0), news(recordOf(3, join, seq), join))
		passed += len(r.told()[1])
	}
	var last *pb.Announcement
	goOn := func() {
		r.Now += time.Second
		r.FloodHeldBack()
		for _, a := range r.link(0).Pending { // also to the one that brought it
			last = a
		}
		passed += len(r.told()[1])
	}
	for range minutes * 60 {
		say()
		goOn()
	}
	if least, most := 6*minutes-1, 6*minutes+ChangesAtOnce+1; passed < least || passed > most {
		t.Errorf("in %d minutes passes on %d, not %d to %d", minutes, passed, least, most)
	}
	for range 60 {
		goOn()
	}
	if record, err := base.OpenRecord(last.GetRecord()); err != nil || record.Seq != seq {
		t.Errorf("at last it is told with seq %d, not %d", record.Seq, seq)
	}
	for range 60 {
		goOn()
	}
	passed = 0
	for range ChangesAtOnce + 1 {
		say()
	}
	if passed != ChangesAtOnce {
		t.Errorf("after a quiet time passes on %d of %d", passed, ChangesAtOnce+1)
	}
}

// TestHeldBack: what may not wait goes out although its subject changes too often: refutations to
// all, our own findings to all, and other news to those who wait for them; what has gone meanwhile
// is told to nobody.
func TestHeldBack(t *testing.T) {
	all, nobody := [3][]pb.AnnouncementType{{join}, {join}, {join}}, [3][]pb.AnnouncementType{}
	tired := func() *rig {
		r := newRig()
		for seq := range uint32(ChangesAtOnce) {
			r.change(nil, news(recordOf(3, join, 6+seq), join))
			r.tells(t, "a change", all)
		}
		r.change(nil, news(recordOf(3, join, 6+ChangesAtOnce), join))
		r.tells(t, "one too many", nobody)
		return r
	}
	r := tired()
	r.change(r.link(0), news(recordOf(3, join, 100), lost, "p1"))
	r.tells(t, "a LOST", nobody)
	r.change(r.link(1), news(recordOf(3, join, 101), join))
	r.tells(t, "a refutation", [3][]pb.AnnouncementType{{join}, nil, {join}})
	ours := news(recordOf(3, join, 101), lost, "self")
	ours.Ours = true
	r.change(nil, ours)
	r.tells(t, "a LOST of ours", [3][]pb.AnnouncementType{{lost}, {lost}, {lost}})

	r = tired()
	r.entry(3).With().Waiting = []base.LinkID{2, 77}
	r.change(r.link(0), news(recordOf(3, join, 100), join))
	r.tells(t, "what one waits for", [3][]pb.AnnouncementType{nil, {join}, nil})

	for name, change := range map[string]func(r *rig, e *table.Entry){
		"in time": func(*rig, *table.Entry) {}, "missing": func(_ *rig, e *table.Entry) { e.Missing = true }, "gone": func(r *rig, e *table.Entry) { r.table.Remove(e) },
	} {
		r = tired()
		change(r, r.entry(3))
		r.Now += ChangeEvery
		want := nobody
		if r.FloodHeldBack(); name == "in time" {
			want = all
		}
		r.tells(t, name, want)
		r.Now += ChangeEvery
		r.FloodHeldBack()
		r.tells(t, name+", later", nobody)
	}
}

// TestFlood: announcements go to neighbours and guests, not back, and not of guests.
func TestFlood(t *testing.T) {
	r := newRig()
	r.link(1).Neighbour = false
	r.entry(2).Record.Visitor = true
	r.link(2).Neighbour = false
	r.Flood(r.link(1), r.entry(3))
	r.tells(t, "a flood", [3][]pb.AnnouncementType{{join}, nil, {join}})
	r.Flood(r.link(0), r.entry(3))
	r.tells(t, "a flood from a neighbour", [3][]pb.AnnouncementType{nil, nil, {join}})
	r.change(nil, news(recordOf(2, join, 6, func(r *pb.Record) { r.Visitor = true }), join))
	r.tells(t, "of a guest", [3][]pb.AnnouncementType{})
}

// TestMembers: an accuser counts if it is a member, another than the accused, and once.
func TestMembers(t *testing.T) {
	r := newRig()
	r.entry(5).Record.Visitor = true
	if got := r.Members([]certs.ID{"p1", "stranger", "p3", "p1", "p5", "p4"}, r.entry(3)); !slices.Equal(got, []certs.ID{"p1", "p4"}) {
		t.Errorf("%v count", got)
	}
}

// TestConfirm: a second accuser of a suspect is passed on and shortens its time; no other is.
func TestConfirm(t *testing.T) {
	passed, nobody := [3][]pb.AnnouncementType{nil, {lost}, {lost}}, [3][]pb.AnnouncementType{}
	r := newRig()
	e := r.entry(3)
	r.Confirm(r.link(0), e, "p1")
	r.tells(t, "of a living peer", nobody)
	r.change(r.link(0), news(recordOf(3, join, 5), lost, "p1"))
	r.told()
	for _, test := range []struct {
		accuser certs.ID
		tells   [3][]pb.AnnouncementType
		until   time.Duration
	}{
		{"p1", nobody, table.SuspectAlone}, {"p3", nobody, table.SuspectAlone}, {"stranger", nobody, table.SuspectAlone},
		{"p2", passed, table.SuspectFor}, {"p4", nobody, table.SuspectFor},
	} {
		r.IsNews(r.link(0), news(recordOf(3, join, 5), lost, test.accuser)) // it is the version that we hold
		r.tells(t, string(test.accuser), test.tells)
		if got := e.Our().Until - r.Now; got != test.until {
			t.Errorf("%s: it may refute for %v", test.accuser, got)
		}
	}
	r.Now += table.SuspectFor
	e.Side.Accusers = e.Side.Accusers[:1]
	r.Confirm(r.link(0), e, "p2")
	r.tells(t, "when its time is over", nobody)
}

// TestHeardNoMore: a suspect that we have heard just now has long to refute, whoever accuses it; until we
// find its link silent ourselves.
func TestHeardNoMore(t *testing.T) {
	r := newRig()
	r.Now = time.Hour
	e, l := r.entry(2), r.link(2)
	l.Heard = r.Now
	r.change(r.link(0), news(recordOf(2, join, 5), lost, "p1"))
	r.Confirm(r.link(0), e, "p3")
	if got := e.Our().Until - r.Now; got != table.SuspectAlone {
		t.Errorf("heard just now it may refute for %v", got)
	}
	r.Now += link.FreshWithin + 1
	r.Confirm(r.link(0), e, "p3")
	if !e.Suspect(r.Now) {
		t.Error("the word of others counts again")
	}
	if r.Confirm(nil, e, r.Cfg.ID); e.Suspect(r.Now) {
		t.Errorf("not heard any more it may refute for %v", e.Our().Until-r.Now)
	}
}

// TestTellAccused: an accusation that does not count goes to the accused by one way, once for each
// link that brings it.
func TestTellAccused(t *testing.T) {
	r := newRig()
	e := r.entry(2)
	n := news(recordOf(2, join, 5), lost, "p1")
	r.TellAccused(r.link(0), e, n)
	r.tells(t, "over its own link", [3][]pb.AnnouncementType{nil, nil, {lost}})
	r.TellAccused(r.link(0), e, n)
	r.TellAccused(nil, e, n)
	r.tells(t, "again", [3][]pb.AnnouncementType{})
	r.TellAccused(r.link(2), e, n)
	if got := r.told(); len(got[0])+len(got[1]) != 1 || len(got[2]) != 0 {
		t.Errorf("from its own link it goes to %v", got)
	}
	if !slices.Equal(e.Our().Waiting, []base.LinkID{1, 3}) {
		t.Errorf("links %v wait", e.Our().Waiting)
	}
}

// TestMayAccuse: a peer that keeps refuting is left alone for a while, and one link has so many
// losses taken.
func TestMayAccuse(t *testing.T) {
	r := newRig()
	for seq := range uint32(ChangesAtOnce) {
		if !r.MayAccuse(nil, r.entry(3)) {
			t.Fatalf("after %d changes it is left alone", seq)
		}
		r.change(nil, news(recordOf(3, join, 6+seq), join))
	}
	if r.MayAccuse(nil, r.entry(3)) {
		t.Error("it may be accused without end")
	}
	n := 0
	for r.MayAccuse(r.link(0), r.entry(4)) && n < 100_000 {
		n++
	}
	if n < link.IntroducedBurst || n > link.IntroducedBurst+1 || !r.MayAccuse(r.link(1), r.entry(4)) {
		t.Errorf("a link has %d losses taken", n)
	}
	if r.Now += ChangeEvery + time.Second; !r.MayAccuse(nil, r.entry(3)) {
		t.Error("it is left alone for ever")
	}
}
