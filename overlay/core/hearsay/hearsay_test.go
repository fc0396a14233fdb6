package hearsay

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rig is a judge with links to peers of some hosts, that a test plays.
type rig struct {
	*Hearsay
	t *testing.T
}

func newRig(t *testing.T) *rig {
	en := &base.Env{Ready: true, Now: time.Hour, Cfg: base.Config{ID: "self", Rand: rand.New(rand.NewPCG(1, 2))}}
	tb := &table.Table{Env: en}
	ls := link.NewLinks(en, tb)
	rt := route.NewRoutes(en, tb, ls)
	db := link.NewDoubt(en, ls)
	re := reach.New(en, tb, ls, rt, reach.NewWhereabouts(en, tb, ls), db)
	tb.Self = table.NewEntry(recordOf("self"), pb.AnnouncementType_JOIN, en.Now)
	return &rig{New(en, tb, ls, rt, db, detect.NewProbes(en, tb, ls, rt, db, re)), t}
}

func keyOf(name string) certs.PublicKey { return sha256.Sum256([]byte(name)) }

func recordOf(name string) *base.Record {
	id := certs.ID(name)
	return &base.Record{ID: id, Key: keyOf(name), Type: pb.AnnouncementType_JOIN, Epoch: 1, Tag: base.TagOf(id)}
}

// link is a new link of a key at an address.
func (r *rig) link(name, address string) *link.Link {
	l := &link.Link{ID: base.LinkID(len(r.links.List) + 1), Key: keyOf(name), Peer: certs.ID(name), Address: address, State: link.LinkUp, Heard: r.Now}
	r.links.List = append(r.links.List, l)
	r.Hear(l)
	return l
}

// names has a link name a peer, as Core does; it reports whether it is believed.
func (r *rig) names(l *link.Link, name string, state pb.AnnouncementType) bool {
	n := link.News{Record: recordOf(name), State: state, Hops: 1, Said: r.Now}
	if r.Refuses(l, n) || !r.Believes(l, n) {
		return false
	}
	r.enter(l, n)
	return true
}

func (r *rig) enter(l *link.Link, n link.News) {
	e := table.NewEntry(n.Record, n.State, r.Now)
	r.table.Insert(e)
	r.Told(link.Change{Entry: e, News: n, From: l})
}

// settle follows what has happened: who is believed enters, and who is accused is lost.
func (r *rig) settle() (compared int) {
	for len(r.Events) > 0 {
		what := r.Events[0]
		r.Events = r.Events[1:]
		switch what := what.(type) {
		case Believed:
			if e := r.table.Get(what.News.Record.ID, what.News.Record.Key); e == nil {
				r.enter(what.By, what.News)
			}
			if what.Lives {
				r.Lives(r.table.Get(what.News.Record.ID, what.News.Record.Key))
			}
		case Grown:
			compared++
		case detect.Accused:
			r.Lied(what.Entry)
			r.table.Set(what.Entry, what.Entry.Record, pb.AnnouncementType_LOST)
		}
	}
	return compared
}

// living counts who is shown of those that were named.
func (r *rig) living() int { return r.table.Living() }

// invent has a link name so many peers, and says how many are believed.
func (r *rig) invent(l *link.Link, from, n int) (believed int) {
	for i := range n {
		if r.names(l, fmt.Sprint("ghost", from+i), pb.AnnouncementType_JOIN) {
			believed++
		}
	}
	return believed
}

// TestNewKeysGainNothing: what is believed of unknown peers is bounded by the host that names them,
// however many keys and links it has; another host is not held to it.
func TestNewKeysGainNothing(t *testing.T) {
	r := newRig(t)
	sum := 0
	for i := range 50 {
		sum += r.invent(r.link(fmt.Sprint("evil", i), fmt.Sprintf("192.0.2.66:%d", 1000+i)), 2000*i, 2000)
	}
	if sum != 64 || len(r.onTrial) != 8 {
		t.Errorf("of 100,000 inventions %d are believed, %d on trial", sum, len(r.onTrial))
	}
	if n := r.invent(r.link("bob", "192.0.2.67:1"), 1_000_000, 64); n != 64 {
		t.Errorf("of another host %d are believed", n)
	}
	v6 := r.invent(r.link("c", "[2001:db8::1]:1"), 2_000_000, 100) + r.invent(r.link("d", "[2001:db8::2]:1"), 3_000_000, 100)
	if v6 != 64 {
		t.Errorf("of one subnet of IPv6 %d are believed", v6)
	}
	if a, b := r.link("e", "127.0.0.1:1"), r.link("f", "127.0.0.1:2"); a.Word == b.Word {
		t.Error("peers on our own host count as one")
	}
}

// TestBelievedByProof: with each that proves to live a host is believed further, those on trial are
// let in, and the tables are compared for those that were dropped.
func TestBelievedByProof(t *testing.T) {
	r := newRig(t)
	l := r.link("bob", "192.0.2.67:1")
	if n := r.invent(l, 0, 1000); n != 64 {
		t.Fatalf("%d are believed at once", n)
	}
	r.Pursue()
	pings := len(r.Out.Frames)
	if pings != 8 {
		t.Fatalf("%d pings of 8 on trial", pings)
	}
	answer := l.Word.Trials[5]
	r.ReceivePong("another", &pb.Ping{Number: answer.Number})
	if r.settle(); l.Word.Good != 0 {
		t.Error("a pong of another peer counts")
	}
	r.ReceivePong(answer.News.Record.ID, &pb.Ping{Number: answer.Number})
	if compared := r.settle(); compared != 1 || len(l.Word.Trials) != 0 || r.living() != 72 {
		t.Errorf("%d comparisons, %d on trial, %d in the table", compared, len(l.Word.Trials), r.living())
	}
	for i := 0; l.Word.Good < 9; i++ {
		r.Lives(l.Word.Claims[0].Entry)
		r.settle()
	}
	if n := r.invent(l, 10_000, 20_000); n < 19_900 {
		t.Errorf("of 20,000 more %d are believed", n)
	}
	r.Now += time.Hour
	for range 20 {
		r.Now += time.Minute
		r.Pursue()
	}
	if l.Word.Good != 0 {
		t.Errorf("an hour later its word counts %d", l.Word.Good)
	}
}

// TestLiarIsFoundOut: after three that nobody hears all that a host has made us believe is doubted, and
// from then on each is looked at before it is believed.
func TestLiarIsFoundOut(t *testing.T) {
	r := newRig(t)
	l := r.link("evil", "192.0.2.66:1")
	r.invent(l, 0, 64)
	for range 3 {
		if r.living() < 60 {
			t.Fatal("too soon")
		}
		l.Word.Look(l.Word.Claims[0])
		r.Happen(detect.Accused{Entry: l.Word.Claims[len(l.Word.Claims)-1].Entry})
		r.settle()
	}
	if r.living() != 0 || l.Word.Good != -4 {
		t.Errorf("%d are left, its word counts %d", r.living(), l.Word.Good)
	}
	r.Now += 10 * time.Minute // what it was believed at once is long ago
	if n := r.invent(l, 1000, 100); n != 0 {
		t.Errorf("a liar is believed %d", n)
	}
	for range 40 {
		r.Now += time.Second
		l.Heard = r.Now
		r.Pursue()
	}
	if len(l.Word.Trials) != 0 || r.living() != 0 {
		t.Errorf("%d are still on trial, %d believed", len(l.Word.Trials), r.living())
	}
	r.names(l, "ghost1000", pb.AnnouncementType_JOIN)
	if len(l.Word.Trials) != 0 {
		t.Error("one that did not answer is on trial again at once")
	}
	r.names(l, "alice", pb.AnnouncementType_JOIN)
	r.Pursue()
	r.ReceivePong("alice", &pb.Ping{Number: l.Word.Trials[0].Number})
	r.settle()
	if r.table.Get("alice", keyOf("alice")) == nil {
		t.Error("a living peer that a liar names is not believed when it answers")
	}
}

// TestBuriedAreBounded: peers that are named only as lost or gone are bounded by the host as well.
func TestBuriedAreBounded(t *testing.T) {
	r := newRig(t)
	l := r.link("evil", "192.0.2.66:1")
	n := 0
	for i := range 20_000 {
		if r.names(l, fmt.Sprint("ghost", i), pb.AnnouncementType_LEAVE) {
			n++
		}
	}
	if n < 1024 || n > 1025 {
		t.Errorf("%d goodbyes of unknown peers are taken", n)
	}
}

// TestOwnWordIsNoHearsay: a peer that has a link to us needs nobody's word, nor does a newcomer's table.
func TestOwnWordIsNoHearsay(t *testing.T) {
	r := newRig(t)
	l := r.link("evil", "192.0.2.66:1")
	r.invent(l, 0, 1000)
	n := link.News{Record: recordOf("evil"), State: pb.AnnouncementType_JOIN}
	if r.Refuses(l, n) || !r.Believes(l, n) {
		t.Error("a linked peer is not believed about itself")
	}
	r.Ready = false
	l.Exchange = &link.Exchange{}
	if n := (link.News{Record: recordOf("x"), State: pb.AnnouncementType_JOIN}); r.Refuses(l, n) || !r.Believes(l, n) {
		t.Error("the table of a door is not taken")
	}
}
