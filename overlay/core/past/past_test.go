package past

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// wall is the time of day when a test begins.
const wall = int64(1_800_000_000) * int64(time.Second)

// rig is a peer in #dev, with links whose frames the test reads and writes.
type rig struct {
	*Past
	t     *testing.T
	shown []string // "body", or "body?" of an author that is not proved
	sent  map[base.LinkID][]*pb.PeerMessage
	ended map[base.LinkID]string
}

func newRig(t *testing.T, change func(*base.Config)) *rig {
	en := &base.Env{Cfg: base.Config{
		ID: "self", Identity: identity("self"), Network: "net", Rand: rand.New(rand.NewPCG(1, 1)), Verify: base.Claim.Valid,
		Memory: base.Memory{Past: []base.Room{{Name: "#dev"}}, Wall: wall}, Features: []uint32{pb.FeaturePast},
	}, Ready: true}
	if change != nil {
		change(&en.Cfg)
	}
	en.Passes = base.NewPasses(en.Cfg.Key, en.Cfg.Verify)
	tb := &table.Table{Env: en}
	tb.Self = table.NewEntry(&base.Record{ID: "self", Key: en.Cfg.Identity.Key(), Tag: base.TagOf("self")}, pb.AnnouncementType_JOIN, 0)
	tb.Insert(tb.Self)
	return &rig{Past: New(en, tb, link.NewLinks(en, tb)), t: t, sent: make(map[base.LinkID][]*pb.PeerMessage), ended: make(map[base.LinkID]string)}
}

func identity(name string) *certs.Identity {
	return certs.NewIdentity([]byte(strings.Repeat(name+" ", 32)[:32]))
}

// link adds a link to a peer that keeps a history, and puts the peer into the table.
func (r *rig) link(name string) *link.Link {
	key := identity(name).Key()
	e := table.NewEntry(&base.Record{ID: certs.ID(name), Key: key, Epoch: 1, Tag: base.TagOf(certs.ID(name))}, pb.AnnouncementType_JOIN, r.Now)
	r.table.Insert(e)
	l := &link.Link{ID: base.LinkID(len(r.links.List) + 1), Key: key, Peer: certs.ID(name), Entry: e, State: link.LinkUp}
	l.Foreign.Name([]uint32{pb.FeaturePast})
	r.links.List = append(r.links.List, l)
	return l
}

// read takes the effects so far.
func (r *rig) read() {
	r.t.Helper()
	r.Pursue()
	for _, f := range r.Out.Frames {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			r.t.Fatal(err)
		}
		r.sent[f.Link] = append(r.sent[f.Link], m)
	}
	for _, c := range r.Out.Closes {
		r.ended[c.Link] = c.Text
	}
	for _, e := range r.Out.Events {
		for _, b := range e.(base.Recalled).List {
			body := b.Content.GetContent()
			if !b.Proved {
				body += "?"
			}
			r.shown = append(r.shown, body)
		}
	}
	r.Out = base.Effects{}
}

// wanted is the last question on a link; nil: there was none since the last call.
func (r *rig) wanted(l *link.Link) *pb.PastWanted {
	r.t.Helper()
	r.read()
	list := r.sent[l.ID]
	delete(r.sent, l.ID)
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1].GetPastWanted()
}

// give answers it.
func (r *rig) give(l *link.Link, list ...*pb.Signed) {
	r.ReceiveGiven(l, &pb.PastGiven{Room: "#dev", Broadcasts: list, End: true})
	r.read()
}

func (r *rig) pass(d time.Duration) {
	r.Now += d
	r.read()
}

// said is what a peer has said in #dev: its n-th broadcast, so long ago.
func said(name string, n uint64, ago time.Duration, change func(*pb.BroadcastContent)) *pb.Signed {
	key := identity(name).Key()
	prefix := certs.MessagePrefix(key, 1, 1)
	c := &pb.BroadcastContent{
		Id: binary.BigEndian.AppendUint64(prefix[:], 1<<63|n), Sender: name, Key: key[:], Network: "net", Room: "#dev",
		Content: fmt.Sprint(name, n), SentAt: wall - int64(ago),
	}
	if change != nil {
		change(c)
	}
	return identity(name).SignBroadcast(c)
}

func (r *rig) expect(what string, want ...string) {
	r.t.Helper()
	if !slices.Equal(r.shown, want) {
		r.t.Errorf("%s: shown %q, not %q", what, r.shown, want)
	}
}

// Three givers are asked, one after the other, each for what the others have not given; then all is
// shown in order, once.
func TestThreeGivers(t *testing.T) {
	r := newRig(t, nil)
	a, b, c, d := r.link("a"), r.link("b"), r.link("c"), r.link("d")
	if w := r.wanted(a); w.GetRoom() != "#dev" || len(w.GetHave()) != 0 {
		t.Fatalf("the first question is %v", w)
	}
	if r.wanted(b) != nil {
		t.Fatal("two are asked at once")
	}
	r.give(a, said("a", 1, 5*time.Minute, nil), said("b", 1, 3*time.Minute, nil))
	if w := r.wanted(b); len(w.GetHave()) != 2 {
		t.Fatalf("the second question is %v", w)
	}
	r.give(b, said("a", 1, 5*time.Minute, nil), said("b", 2, 4*time.Minute, nil)) // the clock of b went back
	if w := r.wanted(c); len(w.GetHave()) != 3 {
		t.Fatalf("the third question is %v", w)
	}
	r.expect("before all have answered")
	r.give(c, said("gone", 1, 4*time.Minute, nil))
	r.expect("at the end", "a1", "gone1?", "b1", "b2")
	r.pass(time.Hour)
	if r.wanted(d) != nil || len(r.asks) > 0 || len(r.open) > 0 {
		t.Error("it goes on")
	}
}

// Peers that are not in the room have nothing of it: while somebody in it is known, a link to such a
// peer is waited for.
func TestGiversAreInTheRoom(t *testing.T) {
	r := newRig(t, nil)
	member := table.NewEntry(&base.Record{ID: "member", Key: identity("member").Key(), Epoch: 1, Tag: base.TagOf("member"), Rooms: []string{"#dev"}}, pb.AnnouncementType_JOIN, 0)
	r.table.Insert(member)
	for _, name := range []string{"a", "b", "c"} {
		if w := r.wanted(r.link(name)); w != nil {
			t.Errorf("%s, which is not in the room, is asked: %v", name, w)
		}
	}
	r.pass(time.Minute)
	l := r.link("d")
	l.Entry.Record.Rooms = []string{"#dev", "#ops"}
	if w := r.wanted(l); w.GetRoom() != "#dev" {
		t.Errorf("a peer in the room is asked: %v", w)
	}
	r.give(l, said("d", 1, time.Hour, nil))
	r.pass(graceFor)
	r.expect("what it has", "d1")
}

// With fewer links it is shown after a moment; a giver that is silent, or goes, is made up for by
// others, and its late answer costs it nothing.
func TestSlowGivers(t *testing.T) {
	r := newRig(t, nil)
	r.pass(time.Hour) // nobody is there
	a, b := r.link("a"), r.link("b")
	if r.wanted(a) == nil {
		t.Fatal("nobody is asked")
	}
	r.pass(answerFor - 1)
	if r.wanted(b) != nil {
		t.Fatal("another one is asked too early")
	}
	r.pass(1)
	if r.wanted(b) == nil {
		t.Fatal("no other one is asked")
	}
	b.State = link.LinkClosing
	r.pass(1)
	r.expect("after all are gone")
	r.give(a, said("a", 1, time.Minute, nil))
	if len(r.ended) > 0 {
		t.Errorf("a late answer ends the link: %v", r.ended)
	}
	r.expect("what comes too late")

	r = newRig(t, nil)
	a = r.link("a")
	r.wanted(a)
	r.give(a, said("a", 1, time.Minute, nil))
	r.pass(graceFor - 1)
	r.expect("while others may come")
	r.pass(1)
	r.expect("then", "a1")
}

// What a liar sends ends its link, and nothing of it is shown; what may be an honest peer's is left
// out.
func TestLies(t *testing.T) {
	forged := said("bob", 2, time.Minute, nil)
	forged.Signature[5] ^= 1
	long := func(c *pb.BroadcastContent) { c.Content = strings.Repeat("x", 60<<10) }
	var much, many []*pb.Signed
	for i := range uint64(5) {
		much = append(much, said("bob", 10+i, time.Minute, long))
	}
	for i := range uint64(pb.MaxPast + 1) {
		many = append(many, &pb.Signed{Payload: []byte{byte(i)}, Signature: make([]byte, 64)})
	}
	for _, test := range []struct {
		name string
		list []*pb.Signed
		lie  string
		want []string
	}{
		{"a forged signature", []*pb.Signed{forged}, "has not signed", nil},
		{"another's name is only a name", []*pb.Signed{said("eve", 1, time.Minute, func(c *pb.BroadcastContent) { c.Sender = "a" })}, "", []string{"a1", "eve1?"}},
		{"another room", []*pb.Signed{said("bob", 1, 0, func(c *pb.BroadcastContent) { c.Room = "#ops" })}, "another room", nil},
		{"everyone", []*pb.Signed{said("bob", 1, 0, func(c *pb.BroadcastContent) { c.Room = "" })}, "another room", nil},
		{"another network", []*pb.Signed{said("bob", 1, 0, func(c *pb.BroadcastContent) { c.Network = "other" })}, "another network", nil},
		{"too much", much, "more about the past", nil},
		{"too many", many[:pb.MaxPast], "more about the past", nil},
		{"as many as there may be", many[:pb.MaxPast-1], "", []string{"a1"}},
		{"from the future", []*pb.Signed{said("bob", 1, -AheadFor-1, nil)}, "", []string{"a1"}},
		{"by a clock that is a little ahead", []*pb.Signed{said("bob", 1, -AheadFor, nil)}, "", []string{"a1", "bob1?"}},
		{"too old", []*pb.Signed{said("bob", 1, KeepFor+1, nil)}, "", []string{"a1"}},
		{"before time", []*pb.Signed{said("bob", 1, 0, func(c *pb.BroadcastContent) { c.SentAt = -1 << 63 })}, "", []string{"a1"}},
		{"our own", []*pb.Signed{said("self", 1, 0, nil)}, "", []string{"a1"}},
		{"the same twice", []*pb.Signed{said("bob", 1, 0, nil), said("bob", 1, 0, nil)}, "", []string{"a1", "bob1?"}},
		{"unreadable", []*pb.Signed{{Payload: []byte("x"), Signature: make([]byte, 64)}}, "", []string{"a1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			a, b := r.link("a"), r.link("b")
			first := []*pb.Signed{said("a", 1, time.Hour, nil)}
			r.wanted(a)
			r.give(a, append(first, test.list...)...)
			if why := r.ended[a.ID]; test.lie == "" && why != "" || !strings.Contains(why, test.lie) {
				t.Errorf("the link ends with %q", why)
			}
			r.wanted(b)
			r.give(b)
			r.pass(graceFor)
			r.expect("at the end", test.want...)
		})
	}
	r := newRig(t, nil)
	a := r.link("a")
	r.wanted(a)
	for range 2 {
		r.ReceiveGiven(a, &pb.PastGiven{Room: "#dev", Broadcasts: many[:pb.MaxPast/2+1]})
	}
	if r.read(); !strings.Contains(r.ended[a.ID], "more about the past") {
		t.Error("parts are not added up")
	}
	r = newRig(t, nil)
	a = r.link("a")
	r.wanted(a)
	r.ReceiveGiven(a, &pb.PastGiven{Room: "*", End: true})
	if r.read(); !strings.Contains(r.ended[a.ID], "not asked for") {
		t.Error("an answer about another room is taken")
	}
	r = newRig(t, nil)
	a = r.link("a")
	r.wanted(a)
	r.give(a)
	r.give(a)
	if !strings.Contains(r.ended[a.ID], "not asked for") {
		t.Error("a second answer is taken")
	}
}

// A message is shown once: live, or as the past; one of another room, or that a liar has given an ID
// that is another author's, swallows none.
func TestOnce(t *testing.T) {
	content := func(s *pb.Signed) *pb.BroadcastContent {
		c, err := pb.ParseBroadcast(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := newRig(t, func(cfg *base.Config) {
		cfg.Past[0].Shown = []uint64{base.TagOfBroadcast(content(said("a", 1, 0, nil)))}
	})
	a := r.link("a")
	if w := r.wanted(a); len(w.GetHave()) != 1 {
		t.Errorf("it does not say what it has: %v", w)
	}
	live := said("a", 3, 0, nil)
	if r.Hides(content(live)) {
		t.Error("a live message is hidden")
	}
	swallow := said("eve", 1, 0, func(c *pb.BroadcastContent) { c.Id = content(said("a", 4, 0, nil)).GetId() })
	r.give(a, said("a", 1, time.Minute, nil), said("a", 2, time.Minute, nil), live, swallow)
	r.pass(graceFor)
	r.expect("the past", "a2", "eve1?")
	if !r.Hides(content(said("a", 2, time.Minute, nil))) {
		t.Error("the past is shown again when it comes live")
	}
	if r.Hides(content(said("a", 4, 0, nil))) {
		t.Error("another author's message has swallowed a live one")
	}
	if !r.Hides(content(said("a", 5, 0, func(c *pb.BroadcastContent) { c.Room = "#ops" }))) {
		t.Error("a message of a room that we are not in is shown")
	}
	r.Exit("#dev")
	if !r.Hides(content(said("a", 6, 0, nil))) {
		t.Error("a message of a room that we have left is shown")
	}
	r.Enter(base.Room{Name: "#dev"})
	r.wanted(a)
	r.give(a, said("a", 6, 0, nil))
	r.pass(graceFor)
	r.expect("what was said while we were away", "a2", "eve1?", "a6")
}

// A peer whose link ends before it has answered, since another one to it is used, is asked over that one; once,
// and not if it has lied. However many links end, few questions are put.
func TestLinkReplaced(t *testing.T) {
	r := newRig(t, nil)
	end := func(l *link.Link) {
		l.State = link.LinkClosing
		r.read()
	}
	first, second := r.link("a"), r.link("a")
	if r.wanted(first) == nil || r.wanted(second) != nil {
		t.Error("not one of two links is asked")
	}
	r.ReceiveGiven(first, &pb.PastGiven{Room: "#dev", Broadcasts: []*pb.Signed{said("a", 1, time.Hour, nil)}})
	end(first)
	if w := r.wanted(second); len(w.GetHave()) != 1 {
		t.Fatalf("over the link that stays it asks %v", w)
	}
	third := r.link("a")
	end(second)
	if r.wanted(third) != nil {
		t.Error("a peer is asked for the third time")
	}
	r.pass(graceFor)
	r.expect("of an answer that broke off", "a1")

	r.Enter(base.Room{Name: "#dev"})
	for range 2 {
		r.link("liar")
	}
	liars := r.links.List[len(r.links.List)-2:]
	end(third)
	if r.wanted(liars[0]) == nil {
		t.Fatal("it is not asked")
	}
	r.give(liars[0], said("liar", 1, 0, func(c *pb.BroadcastContent) { c.Room = "#ops" }))
	if r.wanted(liars[1]) != nil {
		t.Error("a liar is asked again")
	}
	end(liars[1])
	r.pass(graceFor)

	r.Enter(base.Room{Name: "#dev"})
	asked := 0
	for i := range 20 {
		l := r.link(fmt.Sprint("gone", i))
		if r.wanted(l) != nil {
			asked++
		}
		end(l)
	}
	if asked != 2*Givers {
		t.Errorf("%d questions are put", asked)
	}
}

// Visitors and peers that are not in the network yet do not ask, nor is a peer asked that keeps no
// history.
func TestWhoAsks(t *testing.T) {
	for name, change := range map[string]func(r *rig, l *link.Link){
		"a visitor":                        func(r *rig, _ *link.Link) { r.Visiting = true },
		"before the table is here":         func(r *rig, _ *link.Link) { r.Ready = false },
		"while leaving":                    func(r *rig, _ *link.Link) { r.Leaving = true },
		"of an older peer":                 func(_ *rig, l *link.Link) { l.Foreign.Name([]uint32{pb.FeatureCarry}) },
		"over a link whose door is shut":   func(_ *rig, l *link.Link) { l.State = link.LinkOpening },
		"over others":                      func(_ *rig, l *link.Link) { l.State = link.LinkCarried },
		"of a room whose past it may know": func(r *rig, _ *link.Link) { r.asks = nil; r.Enter(base.Room{Name: "#dev", Settled: true}) },
	} {
		r := newRig(t, nil)
		l := r.link("a")
		if change(r, l); r.wanted(l) != nil {
			t.Errorf("%s: it is asked", name)
		}
	}
}

// The giver sends the last of what the asker lacks, in parts, within the bounds of an answer, and not
// too often.
func TestGive(t *testing.T) {
	r := newRig(t, func(cfg *base.Config) { cfg.Past[0].Settled = true })
	l := r.link("a")
	var history []*pb.Signed
	for i := range uint64(pb.MaxPast + 50) {
		history = append(history, said("a", 1+i, time.Hour-time.Duration(i)*time.Second, func(c *pb.BroadcastContent) { c.Content = strings.Repeat("x", 1000) }))
	}
	history = append([]*pb.Signed{said("b", 1, 0, nil), said("b", 2, KeepFor+1, nil)}, history...)
	newest, _ := pb.ParseBroadcast(history[0])
	ask := func() (list []*pb.Signed, frames int) {
		r.ReceiveWanted(l, &pb.PastWanted{Room: "#dev", Have: []uint64{base.TagOfBroadcast(newest)}})
		for _, recall := range r.Out.Recalls {
			r.Give(recall, history, nil)
		}
		r.read()
		for i, m := range r.sent[l.ID] {
			list = append(list, m.GetPastGiven().GetBroadcasts()...)
			if end := m.GetPastGiven().GetEnd(); end != (i == len(r.sent[l.ID])-1) {
				t.Error("the end is not at the end")
			}
		}
		frames = len(r.sent[l.ID])
		delete(r.sent, l.ID)
		return list, frames
	}
	list, frames := ask()
	bytes := 0
	for _, s := range list {
		bytes += size(s)
	}
	if len(list) != pb.MaxPast-1 || frames < 3 || bytes > pb.MaxPastBytes || !sameSigned(list, history[len(history)-pb.MaxPast+1:]) { // the asker has the newest
		t.Errorf("%d broadcasts of %d bytes in %d frames", len(list), bytes, frames)
	}
	for i := range 4 {
		if list, _ := ask(); (len(list) > 0) != (i < givenBurst) {
			t.Errorf("answer %d has %d", i+2, len(list))
		}
	}
	r.Now += givenEvery
	if list, _ := ask(); len(list) == 0 {
		t.Error("no answer after a while")
	}
	r = newRig(t, func(cfg *base.Config) { cfg.Features = nil })
	l = r.link("a")
	if r.ReceiveWanted(l, &pb.PastWanted{Room: "#dev"}); len(r.Out.Recalls) > 0 {
		t.Error("a peer without a history looks into it")
	}
}

func sameSigned(a, b []*pb.Signed) bool {
	return slices.EqualFunc(a, b, func(x, y *pb.Signed) bool { return bytes.Equal(x.GetSignature(), y.GetSignature()) })
}

// Large messages: an answer has as many of the last as fit.
func TestGiveLarge(t *testing.T) {
	r := newRig(t, nil)
	l := r.link("a")
	var history []*pb.Signed
	for i := range uint64(10) {
		history = append(history, said("a", 1+i, time.Hour-time.Duration(i), func(c *pb.BroadcastContent) { c.Content = strings.Repeat("x", pb.MaxBroadcast) }))
	}
	r.read()
	delete(r.sent, l.ID)
	r.Give(base.Recall{Link: l.ID, Room: "#dev"}, history, nil)
	r.read()
	var list []*pb.Signed
	for _, m := range r.sent[l.ID] {
		list = append(list, m.GetPastGiven().GetBroadcasts()...)
	}
	if !sameSigned(list, history[7:]) {
		t.Errorf("%d are given", len(list))
	}
}

// While very much is said live, what was shown can't all be remembered: then the past is not shown.
func TestFlood(t *testing.T) {
	r := newRig(t, nil)
	a := r.link("a")
	r.wanted(a)
	for i := range uint64(maxShown + 1) {
		r.Past.shown.add(i)
	}
	r.give(a, said("a", 1, time.Minute, nil))
	r.pass(graceFor)
	r.expect("after a flood")
	if len(r.Past.shown.has) != maxShown || len(r.Past.shown.order) != maxShown {
		t.Errorf("%d are remembered", len(r.Past.shown.has))
	}
}

// FuzzGiven: whatever a giver sends, each message that is shown is one that its author has signed for
// the room.
func FuzzGiven(f *testing.F) {
	good := said("a", 1, time.Minute, nil)
	f.Add(good.GetPayload(), good.GetSignature(), true)
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, payload, signature []byte, end bool) {
		r := newRig(t, nil)
		a := r.link("a")
		r.wanted(a)
		r.ReceiveGiven(a, &pb.PastGiven{Room: "#dev", Broadcasts: []*pb.Signed{{Payload: payload, Signature: signature}, good}, End: end})
		for _, b := range r.asks {
			for _, g := range b.got {
				if !certs.VerifyBroadcast(certs.PublicKey(g.Content.GetKey()), g.Signed) || g.Content.GetRoom() != "#dev" {
					t.Errorf("%v is taken", g.Content)
				}
			}
		}
	})
}

// In a private network an author counts who is in the table, or whose pass the giver shows.
func TestMembersOnly(t *testing.T) {
	root := identity("root")
	pass := func(name string, by *certs.Identity) *pb.Pass {
		key := identity(name).Key()
		return &pb.Pass{Grant: by.SignGrant(root.Key(), &pb.Grant{Id: name, Key: key[:], Number: 1, Admin: true})}
	}
	r := newRig(t, func(cfg *base.Config) { cfg.Key = root.Key() })
	a := r.link("a")
	r.wanted(a)
	r.ReceiveGiven(a, &pb.PastGiven{
		Room: "#dev", End: true, Passes: []*pb.Pass{pass("gone", root), pass("forger", identity("forger"))},
		Broadcasts: []*pb.Signed{
			said("a", 1, 4*time.Minute, nil), said("gone", 1, 3*time.Minute, nil), said("forger", 1, 2*time.Minute, nil), said("stranger", 1, time.Minute, nil),
			said("gone", 2, 0, func(c *pb.BroadcastContent) { c.Sender = "another" }),
		},
	})
	r.pass(graceFor)
	r.expect("of members", "a1", "gone1")

	// in an answer of two parts a pass comes in the first
	r = newRig(t, func(cfg *base.Config) { cfg.Key = root.Key() })
	a, b := r.link("a"), r.link("b")
	r.wanted(a)
	r.ReceiveGiven(a, &pb.PastGiven{Room: "#dev", Passes: []*pb.Pass{pass("gone", root)}, Broadcasts: []*pb.Signed{said("gone", 1, time.Hour, nil)}})
	r.give(a, said("gone", 2, time.Minute, nil))
	r.wanted(b)
	r.give(b, said("gone", 3, 0, nil)) // without a pass
	r.pass(graceFor)
	r.expect("of two parts", "gone1", "gone2")
}

// A loser of an ID, or a peer that never had it, is in the table too; only the one that has the ID is proved.
func TestProved(t *testing.T) {
	r := newRig(t, nil)
	a := r.link("a")
	entry := func(id, key string, epoch uint64, state pb.AnnouncementType) {
		r.table.Insert(table.NewEntry(&base.Record{ID: certs.ID(id), Key: identity(key).Key(), Epoch: epoch, Tag: base.TagOf(certs.ID(id))}, state, r.Now))
	}
	entry("a", "usurper", 2, pb.AnnouncementType_JOIN) // after a, which has the ID
	entry("left", "left", 1, pb.AnnouncementType_LEAVE)
	entry("new", "old", 1, pb.AnnouncementType_LEAVE) // the ID is another's by now
	entry("new", "new", 2, pb.AnnouncementType_JOIN)
	as := func(id string) func(*pb.BroadcastContent) {
		return func(c *pb.BroadcastContent) { c.Sender = id }
	}
	r.wanted(a)
	r.give(a, said("a", 1, 5*time.Minute, nil), said("usurper", 1, 4*time.Minute, as("a")), said("left", 1, 3*time.Minute, nil), said("old", 1, 2*time.Minute, as("new")), said("new", 1, 0, nil))
	r.pass(graceFor)
	r.expect("proved and not", "a1", "usurper1?", "left1", "old1?", "new1")
}

// A giver that goes on without saying anything ends its link, and one that is slow is made up for by
// the next: neither holds up the past.
func TestEndlessAnswers(t *testing.T) {
	passes := func(n, size int) []*pb.Pass {
		list := make([]*pb.Pass, n)
		for i := range list {
			list[i] = &pb.Pass{Grant: &pb.Signed{Payload: make([]byte, size)}}
		}
		return list
	}
	for name, part := range map[string]*pb.PastGiven{
		"empty parts":    {Room: "#dev"},
		"too many":       {Room: "#dev", Passes: passes(2, 0)},
		"too many bytes": {Room: "#dev", Passes: passes(1, pb.MaxPastBytes/100)},
	} {
		r := newRig(t, nil)
		a, b := r.link("a"), r.link("b")
		r.wanted(a)
		for i := range pb.MaxPast + 1 {
			if r.ReceiveGiven(a, part); a.State != link.LinkUp {
				break
			} else if i >= 100 && len(part.Passes) > 0 || i == pb.MaxPast {
				t.Errorf("%s: it goes on", name)
			}
		}
		if r.wanted(b) == nil {
			t.Errorf("%s: nobody else is asked", name)
		}
		if len(r.open) != 1 {
			t.Errorf("%s: %d questions are open", name, len(r.open))
		}
	}

	r := newRig(t, nil)
	a := r.link("a")
	r.wanted(a)
	r.pass(answerFor - 1)
	r.ReceiveGiven(a, &pb.PastGiven{Room: "#dev", Broadcasts: []*pb.Signed{said("a", 1, 0, nil)}})
	b := r.link("b")
	r.pass(1)
	if r.wanted(b) == nil {
		t.Error("a part makes the deadline a later one")
	}
	r.Enter(base.Room{Name: "#ops"})
	if w := r.wanted(a); w.GetRoom() != "#ops" {
		t.Errorf("a question that nobody waits for keeps the link from others: %v", w)
	}
	r.Exit("#dev")
	r.Enter(base.Room{Name: "#dev"})
	if r.wanted(a) != nil || r.wanted(b) != nil {
		t.Error("a link is asked for a room twice at once")
	}
}

// Whatever was shown is not shown again, however much it is: the asker names the last, and leaves out the others
// if a giver has them, and all that was said no later than what it does not know any more.
func TestMuchShown(t *testing.T) {
	var history []*pb.Signed
	var tags []uint64
	for i := range uint64(maxShown) {
		tags = append(tags, i)
	}
	for i := range uint64(500) {
		s := said("b", 1+i, time.Hour-time.Duration(i), nil)
		c, _ := pb.ParseBroadcast(s)
		history, tags = append(history, s), append(tags, base.TagOfBroadcast(c))
	}
	until := wall - int64(time.Hour) - int64(time.Minute)
	r := newRig(t, func(cfg *base.Config) { cfg.Past[0].Shown, cfg.Past[0].Until = tags, until })
	a := r.link("a")
	if w := r.wanted(a); !slices.Equal(w.GetHave(), tags[len(tags)-pb.MaxPast:]) {
		t.Errorf("it names %d of %d", len(w.GetHave()), len(tags))
	}
	r.give(a, history[0], history[len(history)-pb.MaxPast-1], history[len(history)-1], said("b", 0, 0, nil),
		said("b", 1001, time.Hour+time.Minute, nil), said("b", 1002, time.Hour+time.Minute-1, nil))
	r.pass(graceFor)
	r.expect("of all", "b0?", "b1002?")
	if r.Hides(&pb.BroadcastContent{Id: make([]byte, 16), Room: "#dev"}) || len(r.Past.shown.has) != pb.MaxPast+3 {
		t.Errorf("%d are remembered as shown", len(r.Past.shown.has))
	}

	// a giver does not dig for what is older than its last
	r.Give(base.Recall{Link: a.ID, Room: "#dev", Have: tags[len(tags)-pb.MaxPast:]}, history, nil)
	r.read()
	if list := r.sent[a.ID]; len(list) != 1 || len(list[0].GetPastGiven().GetBroadcasts()) > 0 || !list[0].GetPastGiven().GetEnd() {
		t.Errorf("to one that has the last it gives %v", list)
	}
}

// A flood of questions: how often a peer may ask is bounded whatever it asks about, and however many ask,
// few wait for the history to be read, and of one peer fewer still.
func TestManyQuestions(t *testing.T) {
	r := newRig(t, func(cfg *base.Config) { cfg.Past[0].Settled = true })
	for i := range pb.MaxRooms + 10 {
		r.Enter(base.Room{Name: fmt.Sprint("#r", i), Settled: true})
	}
	// asks reports whether the history is read for a question, and else expects an empty answer.
	asks := func(l *link.Link, room string) bool {
		t.Helper()
		r.read()
		delete(r.sent, l.ID)
		r.ReceiveWanted(l, &pb.PastWanted{Room: room})
		recalled := len(r.Out.Recalls) == 1
		if r.read(); !recalled && (len(r.sent[l.ID]) != 1 || !r.sent[l.ID][0].GetPastGiven().GetEnd()) {
			t.Errorf("a question about %s is not answered", room)
		}
		return recalled
	}
	answer := func(l *link.Link) { r.Give(base.Recall{Link: l.ID, Room: "#dev"}, nil, nil) }

	a := r.link("a")
	if asks(a, "#elsewhere") {
		t.Error("the history is read for a room that we are not in")
	}
	if !asks(a, pb.Everyone) {
		t.Error("everyone's past is not given")
	}
	answer(a)
	for i := range pb.MaxRooms + 10 {
		if got := asks(a, fmt.Sprint("#r", i)); got != (i < askedBurst) {
			t.Fatalf("question %d is answered: %t", i+2, got)
		}
		answer(a)
	}
	r.pass(askedEvery)
	if !asks(a, "#dev") || asks(a, "#r33") {
		t.Error("after a while another one, and one alone, is not answered")
	}
	answer(a)

	// of one link, then of all
	b := r.link("b")
	for i := range ofOne + 1 {
		if asks(b, fmt.Sprint("#r", i)) != (i < ofOne) {
			t.Errorf("question %d at once", i+1)
		}
	}
	for i := range MaxReading {
		if asks(r.link(fmt.Sprint("c", i)), "#dev") != (i < MaxReading-ofOne) {
			t.Errorf("asker %d at once", i+1)
		}
	}
	for len(r.reads) > 0 {
		r.Give(base.Recall{Link: r.reads[0], Room: "#dev"}, nil, nil) // gone or not
	}

	// those who are gone are forgotten, when there are too many
	clear(r.given)
	for i := range maxGiven {
		l := &link.Link{ID: 10000, Key: certs.PublicKey{1, byte(i), byte(i >> 8)}, State: link.LinkUp}
		r.links.List = append(r.links.List, l)
		r.ReceiveWanted(l, &pb.PastWanted{Room: "#dev"})
		answer(l)
		if i > 0 {
			r.links.List = r.links.List[:len(r.links.List)-1]
		}
	}
	if len(r.given) != maxGiven {
		t.Fatalf("%d askers are remembered", len(r.given))
	}
	if !asks(r.link("new"), "#dev") || len(r.given) != 2 {
		t.Errorf("a newcomer is locked out by those who are gone, %d are remembered", len(r.given))
	}
	answer(r.links.List[len(r.links.List)-1])
	r.Now += time.Hour
	for i := range maxGiven {
		r.given[certs.PublicKey{2, byte(i), byte(i >> 8)}] = &given{}
	}
	if !asks(r.link("newer"), "#dev") || len(r.given) != 1 {
		t.Error("old askers are not forgotten")
	}
}
