package reconcile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

const (
	join = pb.AnnouncementType_JOIN
	lost = pb.AnnouncementType_LOST
)

// side is a peer with one link, to a neighbour or to the test.
type side struct {
	*Syncer
	l     *link.Link
	taken bool // as a newcomer it has the whole table
}

func newSide(members []*base.Record) *side {
	en := &base.Env{Ready: true, Cfg: base.Config{
		Network: "net", Rand: rand.New(rand.NewPCG(1, 2)), Open: base.OpenRecord, Verify: func(base.Claim) bool { return true },
	}}
	t := &table.Table{Env: en}
	t.Load(members, 0)
	ls := link.NewLinks(en, t)
	s := &side{l: &link.Link{ID: 1, State: link.LinkUp, Bond: link.Bond{Neighbour: true, Slot: -1}}}
	s.Syncer = New(en, t, ls, gossip.New(en, t, ls, route.NewRoutes(en, t, ls), link.NewDoubt(en, ls)), hearsay.New(en, t, ls, nil, nil, nil))
	ls.List = append(ls.List, s.l)
	return s
}

// take merges news, as a core does.
func (s *side) take(n link.News) {
	if !s.gossip.IsNews(s.l, n) {
		return
	}
	if e := s.table.Lookup(n.Record.Tag, n.Record.ID, n.Record.Key); e != nil {
		s.table.Set(e, n.Record, n.State)
	} else {
		s.table.Insert(table.NewEntry(n.Record, n.State, n.Said))
	}
}

// settle merges what has been judged, and goes on.
func (s *side) settle() {
	for len(s.Events) > 0 {
		what := s.Events[0]
		s.Events = s.Events[1:]
		switch what := what.(type) {
		case base.TableTaken:
			s.taken = true
		case Judged:
			s.l.Verifying--
			for i, n := range what.Batch.News {
				if what.Valid[i] {
					s.take(n)
				}
			}
			s.ContinueSync(s.l)
		}
	}
}

// receive takes a frame, and judges all signatures as valid.
func (s *side) receive(m *pb.PeerMessage) {
	for _, a := range m.GetPropagation().GetAnnouncements() {
		if n, ok := s.gossip.Open(s.l, a); ok && n.Record != nil {
			s.take(n)
		}
	}
	if m.GetReconcile() != nil {
		s.ReceiveReconcile(s.l, m.GetReconcile())
	}
	s.settle()
	for _, v := range s.judgements() {
		s.Happen(Judged{s.Verified(v.ID), slices.Repeat([]bool{true}, len(v.Claims))})
		s.settle()
	}
}

func (s *side) judgements() []base.Verify {
	list := s.Out.Verify
	s.Out.Verify = nil
	return list
}

// frames takes what is to be sent.
func (s *side) frames() (list []*pb.PeerMessage, size int) {
	s.links.FlushAnnouncements()
	for _, f := range s.Out.Frames {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			panic(err)
		}
		list, size = append(list, m), size+len(f.Data)
	}
	s.Out.Frames = nil
	return list, size
}

// reconciles takes what is to be sent about tables.
func (s *side) reconciles() (list []*pb.Reconcile) {
	frames, _ := s.frames()
	for _, m := range frames {
		if m.GetReconcile() != nil {
			list = append(list, m.GetReconcile())
		}
	}
	return list
}

// pair is two neighbours.
type pair struct {
	left, right *side
	size, steps int // of the frames between them, and how many questions are among them
}

// talk delivers the frames between the two until there are none; between calls between any two.
func (p *pair) talk(between func()) {
	type way struct {
		to *side
		m  *pb.PeerMessage
	}
	for under := []way(nil); ; {
		for _, s := range []*side{p.left, p.right} {
			to := p.right
			if s == p.right {
				to = p.left
			}
			list, size := s.frames()
			for _, m := range list {
				under = append(under, way{to, m})
				if m.GetReconcile() != nil && !m.GetReconcile().GetAnswer() {
					p.steps++
				}
			}
			p.size += size
		}
		if len(under) == 0 {
			return
		}
		between()
		under[0].to.receive(under[0].m)
		under = under[1:]
	}
}

// member is the JOIN of a peer with a few interfaces.
func member(i int, seq uint32) *base.Record {
	key := make([]byte, pb.KeySize)
	binary.BigEndian.PutUint64(key, uint64(i)+1)
	r := &pb.Record{
		Type: join, Id: fmt.Sprintf("member-%d", i), Key: key, Network: "net", Epoch: 1_700_000_000_000, Seq: seq,
		Addresses: []string{"192.168.178.20:49152", "[2001:db8:1234:5678:9abc:def0:1234:5678]:49152", "203.0.113.77:50000"},
	}
	payload, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return base.NewRecord(r, &pb.Signed{Payload: payload, Signature: make([]byte, 64)})
}

func members(n int) []*base.Record {
	list := make([]*base.Record, n)
	for i := range list {
		list[i] = member(i, 0)
	}
	return list
}

func say(state pb.AnnouncementType, r *base.Record) *pb.Announcement {
	a := &pb.Announcement{Type: state, Record: r.Signed}
	if state == lost {
		a.Accusers = []string{"w"}
	}
	return a
}

// difference is how the tables of two peers differ: by how many entries that only one has, and
// how many of which it has a newer version.
type difference struct{ onlyLeft, onlyRight, newerLeft, newerRight int }

func (d difference) total() int { return d.onlyLeft + d.onlyRight + d.newerLeft + d.newerRight }

// between returns neighbours whose tables of n members have the difference.
func (d difference) between(n int) *pair {
	left, right := members(n), members(n)
	place := func(k int) int { return k * (n / max(d.total(), 1)) } // spread over the table
	k := 0
	for range d.newerLeft {
		left[place(k)], k = member(place(k), 1), k+1
	}
	for range d.newerRight {
		right[place(k)], k = member(place(k), 1), k+1
	}
	for range d.onlyLeft {
		right[place(k)], k = nil, k+1
	}
	for range d.onlyRight {
		left[place(k)], k = nil, k+1
	}
	missing := func(r *base.Record) bool { return r == nil }
	return &pair{left: newSide(slices.DeleteFunc(left, missing)), right: newSide(slices.DeleteFunc(right, missing))}
}

// compare lets the left ask once.
func (p *pair) compare(between func()) {
	p.left.CompareTables(p.left.l)
	p.talk(between)
}

// problem says in what the comparison has failed; empty: in nothing.
func (p *pair) problem() string {
	switch {
	case p.left.l.Exchange != nil || len(p.left.Out.Closes)+len(p.right.Out.Closes) > 0:
		return fmt.Sprintf("ends as %+v, closes %v %v", p.left.l.Exchange, p.left.Out.Closes, p.right.Out.Closes)
	case !bytes.Equal(p.left.table.Digest(), p.right.table.Digest()):
		return "the tables are not equal"
	}
	return ""
}

func nothing() {}

// TestBytesCompared: a comparison costs as much as the difference and not as the table: 10 among
// 10,000 in at most 25 kB, and equal tables a few bytes.
func TestBytesCompared(t *testing.T) {
	for _, test := range []struct {
		n    int
		d    difference
		most int
	}{
		{10_000, difference{}, 100},
		{10_000, difference{3, 2, 3, 2}, 25_000},
		{10_000, difference{10, 0, 0, 0}, 25_000},
		{10_000, difference{0, 10, 0, 0}, 25_000},
		{10_000, difference{0, 0, 10, 0}, 25_000},
		{10_000, difference{0, 0, 0, 10}, 25_000},
		{10_000, difference{25, 25, 25, 25}, 100_000},
		{10_000, difference{250, 250, 250, 250}, 600_000},
		{200, difference{1, 1, 1, 1}, 4_000},
	} {
		p := test.d.between(test.n)
		p.compare(nothing)
		t.Logf("%d of %d differ as %+v: %d bytes", test.d.total(), test.n, test.d, p.size)
		if why := p.problem(); why != "" || p.size > test.most {
			t.Errorf("%d of %d differ as %+v: %d bytes, at most %d; %s", test.d.total(), test.n, test.d, p.size, test.most, why)
		}
	}
}

// TestMuchDiffers: more may differ than an answer holds, even all.
func TestMuchDiffers(t *testing.T) {
	for _, d := range []difference{
		{2000, 0, 0, 0}, {0, 2000, 0, 0}, {0, 0, 2000, 0}, {0, 0, 0, 2000}, {500, 500, 500, 500}, {1, 1999, 0, 0}, {1, 0, 1999, 0},
	} {
		p := d.between(2000)
		p.compare(nothing)
		if why := p.problem(); why != "" || len(p.left.table.Entries) != 2000 {
			t.Errorf("%+v: %d entries; %s", d, len(p.left.table.Entries), why)
		}
		newer := 0
		for _, e := range p.left.table.Entries {
			newer += int(e.Record.Seq)
		}
		if newer != d.newerLeft+d.newerRight {
			t.Errorf("%+v: %d of the newer versions are held", d, newer)
		}
	}
	all := members(8000)
	for _, sizes := range [][2]int{{20, 8000}, {8000, 20}} {
		p := &pair{left: newSide(slices.Clone(all[:sizes[0]])), right: newSide(slices.Clone(all[:sizes[1]]))}
		p.compare(nothing)
		if why := p.problem(); why != "" || len(p.left.table.Entries) != 8000 {
			t.Errorf("of %v: %d entries; %s", sizes, len(p.left.table.Entries), why)
		}
	}
}

// TestReconcile: whatever two neighbours hold, and whatever changes on either side while they
// find out what differs, both end with the greater of each entry. It takes steps as the logarithm
// of the table, besides those for what has to be sent, and bytes as the difference.
func TestReconcile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 1<<rapid.IntRange(4, 12).Draw(rt, "bits")).Draw(rt, "n")
		share := func(what string) int {
			return rapid.IntRange(0, min(n/4, 1<<rapid.IntRange(0, 10).Draw(rt, what+" bits"))).Draw(rt, what)
		}
		d := difference{share("only left"), share("only right"), share("newer left"), share("newer right")}
		p := d.between(n)
		changes := rapid.IntRange(0, 20).Draw(rt, "changes")
		changed := 0
		p.compare(func() {
			if changed++; changed > changes {
				return
			}
			change := link.News{Record: member(rapid.IntRange(0, n+1).Draw(rt, "changed"), uint32(10+rapid.IntRange(0, 3).Draw(rt, "seq"))), State: join}
			s := []*side{p.left, p.right}[rapid.IntRange(0, 1).Draw(rt, "side")]
			if s.gossip.IsNews(nil, change) {
				s.take(change)
				s.gossip.Flood(nil, s.table.Lookup(change.Record.Tag, change.Record.ID, change.Record.Key))
			}
		})
		if why := p.problem(); why != "" {
			rt.Fatalf("%d entries that differ as %+v: %s", n, d, why)
		}
		if most := 3 + bits.Len(uint(n))/4 + d.total()/100; p.steps > most {
			rt.Errorf("%d entries that differ as %+v: %d steps, at most %d", n, d, p.steps, most)
		}
		if most := 200 + (d.total()+changes)*4_000; p.size > most {
			rt.Errorf("%d entries that differ as %+v: %d bytes, at most %d", n, d, p.size, most)
		}
	})
}

// ask is a question with one range: what an asker without any entry says.
func ask(first uint64) *pb.Reconcile {
	return &pb.Reconcile{Ranges: []*pb.TableRange{{First: first, Last: math.MaxUint64, Kind: pb.RangeKind_HELD}}}
}

// answer is a part of an answer; without announcements it ends the answer.
func answer(list ...*pb.Announcement) *pb.Reconcile {
	return &pb.Reconcile{Answer: true, Announcements: list}
}

// TestBigTable: a table of many pieces is handed out in its order and in frames that are full.
func TestBigTable(t *testing.T) {
	const peers = 1300
	s := newSide(members(peers))
	var got []*base.Record
	pieces := 0
	for question := ask(0); question != nil; pieces++ {
		s.ReceiveReconcile(s.l, question)
		question = nil
		frames := s.reconciles()
		for i, m := range frames {
			for _, a := range m.GetAnnouncements() {
				r, err := base.OpenRecord(a.GetRecord())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			if len(m.GetRanges()) > 0 {
				question = ask(m.GetRanges()[0].GetFirst())
			}
			if n := len(m.GetAnnouncements()); i < len(frames)-2 && n != pb.MaxAnnouncements || i == len(frames)-1 && n != 0 {
				t.Errorf("piece %d, frame %d of %d: %d announcements", pieces, i, len(frames), n)
			}
		}
	}
	if len(got) != peers || pieces != 3 || !slices.IsSortedFunc(got, base.CompareNames) {
		t.Errorf("%d entries in %d pieces", len(got), pieces)
	}
}

// TestQuestionsAreBounded: a link that never stops asking gets no more answers, and another link does.
func TestQuestionsAreBounded(t *testing.T) {
	s := newSide(members(1000))
	question := &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: []uint64{1}}}}
	answered := 0
	for range 2 * comparedBurst / 1000 {
		s.ReceiveReconcile(s.l, question)
		answered += len(s.reconciles())
	}
	if answered < comparedBurst/1000 || answered > comparedBurst/1000+1 || len(s.Out.Closes) > 0 {
		t.Errorf("%d are answered, closes %v", answered, s.Out.Closes)
	}
	if s.ReceiveReconcile(&link.Link{ID: 2, State: link.LinkUp}, question); len(s.reconciles()) != 1 {
		t.Error("another link is not answered")
	}
	s.Now += time.Second
	if s.ReceiveReconcile(s.l, question); len(s.reconciles()) != 1 {
		t.Error("a second later it is not answered")
	}
}

// asking is a peer without any entry that has asked about the two halves of a table.
func asking() *side {
	s := newSide(nil)
	s.l.Exchange = &link.Exchange{}
	s.put(s.l, &pb.TableRange{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: []uint64{1, 2}})
	s.frames()
	return s
}

// TestAnswersHaveAnEnd: a piece of a table has so many announcements at most, even of those that
// can't be read, and what it leaves open lies behind them.
func TestAnswersHaveAnEnd(t *testing.T) {
	records := members(table.MaxAnswer)
	slices.SortFunc(records, base.CompareNames)
	open := func(first uint64) *pb.Reconcile {
		return &pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{{First: first, Last: math.MaxUint64}}}
	}
	for name, test := range map[string]struct {
		brings int
		left   *pb.Reconcile
		closes bool
	}{
		"open behind the last":      {table.MaxAnswer, open(records[table.MaxAnswer-1].Tag + 1), false},
		"open at the last":          {table.MaxAnswer, open(records[table.MaxAnswer-1].Tag), true},
		"open after too few":        {table.MaxAnswer - 1, open(records[table.MaxAnswer-1].Tag), true},
		"nothing open":              {table.MaxAnswer, answer(), false},
		"out of order":              {2, answer(say(join, records[0])), true},
		"again":                     {2, answer(say(join, records[1])), true},
		"an answer behind the last": {1, nil, true},
	} {
		s := asking()
		for _, r := range records[:test.brings] {
			s.receive(pb.Wrap(answer(say(join, r))))
		}
		if len(s.Out.Closes) > 0 {
			t.Fatalf("%s: closes %v before", name, s.Out.Closes)
		}
		if test.left == nil { // two of them
			s.receive(pb.Wrap(answer()))
			test.left = answer()
		}
		if s.receive(pb.Wrap(test.left)); len(s.Out.Closes) > 0 != test.closes {
			t.Errorf("%s: closes %v", name, s.Out.Closes)
		}
	}
	s := asking()
	unreadable := say(join, records[0])
	unreadable.Record = &pb.Signed{Payload: unreadable.Record.Payload, Signature: make([]byte, 3309)}
	for n := 1; len(s.Out.Closes) == 0; n++ {
		if s.receive(pb.Wrap(answer(unreadable))); (len(s.Out.Closes) > 0) != (n == 2*table.MaxAnswer+1) {
			t.Fatalf("after %d: closes %v", n, s.Out.Closes)
		}
	}
}

// TestNothingMoreWhileVerifying: no more is asked for while many pieces are being judged, and the
// exchange ends with the last of them.
func TestNothingMoreWhileVerifying(t *testing.T) {
	s := asking()
	s.Ready = false
	records := members(maxVerifying)
	slices.SortFunc(records, base.CompareNames)
	for _, r := range records {
		s.ReceiveReconcile(s.l, answer(say(join, r)))
	}
	half := &pb.TableRange{First: 1 << 63, Last: math.MaxUint64, Kind: pb.RangeKind_HELD, Hashes: []uint64{5}}
	s.ReceiveReconcile(s.l, &pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{half}})
	list := s.judgements()
	s.settle()
	if got := s.reconciles(); len(list) != maxVerifying || len(got) > 0 {
		t.Fatalf("%d pieces are judged, and it asks %v", len(list), got)
	}
	for i, v := range list {
		if s.l.Exchange == nil || s.taken {
			t.Fatalf("the exchange is over with %d entries", len(s.table.Entries))
		}
		s.Happen(Judged{s.Verified(v.ID), []bool{true}})
		s.settle()
		if i == 0 {
			if got := s.reconciles(); len(got) != 1 || got[0].GetRanges()[0].GetKind() != pb.RangeKind_WANTED {
				t.Fatalf("when a piece is merged it asks %v", got)
			}
			s.ReceiveReconcile(s.l, answer())
			s.settle()
		}
	}
	if s.l.Exchange != nil || !s.taken || len(s.table.Entries) != len(records) {
		t.Errorf("holds %d, has all: %v", len(s.table.Entries), s.taken)
	}
}

// TestJudgedOnce: a statement that is being judged is not judged again; a later one is, and a
// LOST is not the JOIN that it carries.
func TestJudgedOnce(t *testing.T) {
	s := asking()
	other := member(2, 0)
	other.Tie, other.Signed.Signature[0] = 1<<56, 1
	s.ReceiveReconcile(s.l, answer(say(join, member(1, 0))))
	list := s.judgements()
	for name, test := range map[string]struct {
		n      link.News
		judged bool
	}{
		"the same":                {link.News{Record: member(1, 0), State: join}, true},
		"its LOST":                {link.News{Record: member(1, 0), State: lost}, false},
		"a later one of that tie": {link.News{Record: member(1, 1), State: join}, false},
		"another":                 {link.News{Record: other, State: join}, false},
	} {
		if s.IsJudged(test.n) != test.judged {
			t.Errorf("%s: is judged %v", name, !test.judged)
		}
	}
	s.l.Exchange.Last = nil
	if s.ReceiveReconcile(s.l, answer(say(join, member(1, 0)))); len(s.judgements()) > 0 {
		t.Error("it is judged again")
	}
	s.l.Exchange.Last = nil
	if s.ReceiveReconcile(s.l, answer(say(lost, other))); len(s.judgements()) != 1 || s.IsJudged(link.News{Record: other, State: join}) {
		t.Error("while a LOST is judged, the JOIN of its subject is no news")
	}
	if b := s.Verified(list[0].ID); b == nil || len(b.News) != 1 || s.IsJudged(b.News[0]) || s.Verified(list[0].ID) != nil {
		t.Errorf("judged is %v", b)
	}
}

// TestWhenToCompare: tables are compared with one random neighbour about once a minute, with all
// when that is due, and with nobody else; one exchange at a time.
func TestWhenToCompare(t *testing.T) {
	s := newSide(members(3))
	for i := range base.LinkID(3) {
		s.links.List = append(s.links.List, &link.Link{ID: 2 + i, State: link.LinkUp, Bond: link.Bond{Neighbour: i < 2}})
	}
	asks := func() (to []base.LinkID) {
		s.CompareNow()
		for _, f := range s.Out.Frames {
			to = append(to, f.Link)
		}
		s.frames()
		return to
	}
	ended := func() {
		for _, l := range s.links.List {
			l.Exchange = nil
		}
	}
	perLink := make(map[base.LinkID]int)
	const minutes = 300
	for s.NextCompare = s.Now + time.Minute; s.Now < minutes*time.Minute; s.Now += time.Second {
		for _, to := range asks() {
			perLink[to]++
		}
		ended()
	}
	if n := perLink[1] + perLink[2] + perLink[3]; n < minutes*9/10 || n > minutes*11/10 || len(perLink) != 3 || slices.Min([]int{perLink[1], perLink[2], perLink[3]}) < minutes/5 {
		t.Errorf("in %d minutes compares with %v", minutes, perLink)
	}
	s.CompareAll = true
	if to := asks(); !slices.Equal(to, []base.LinkID{1, 2, 3}) {
		t.Errorf("then with %v", to)
	}
	s.CompareAll = true
	if to := asks(); len(to) > 0 {
		t.Errorf("begins with %v while the last ones last", to)
	}
	if ended(); len(asks()) != 3 {
		t.Error("what was due is forgotten")
	}
}

// TestDoorsInTurn: a newcomer asks one door for its table; the next when those asked bring
// nothing, or take long, or when the time to join is over. Doors that it has dialled come first,
// and a second link to one that is asked does not count.
func TestDoorsInTurn(t *testing.T) {
	s := newSide(nil)
	s.Ready, s.links.List = false, nil
	for i := range byte(4) {
		l := &link.Link{ID: base.LinkID(i + 1), State: link.LinkUp, Key: [32]byte{i}}
		if i == 2 {
			l.Dial = &link.Dial{}
		}
		s.links.List = append(s.links.List, l)
	}
	s.links.List = append(s.links.List, &link.Link{ID: 9, State: link.LinkUp, Key: [32]byte{2}})
	asked := func() (to []base.LinkID) {
		s.RequestTable()
		for _, f := range s.Out.Frames {
			to = append(to, f.Link)
		}
		s.frames()
		return to
	}
	for _, step := range []struct {
		after time.Duration
		moves base.LinkID // brings something just before
		asks  []base.LinkID
	}{
		{0, 0, []base.LinkID{3}}, // which we have dialled
		{stuckAfter - 1, 0, nil},
		{1, 3, nil},
		{stuckAfter, 0, []base.LinkID{1}},
		{stuckAfter - 1, 3, nil},
		{2*LongAtIt - stuckAfter, 3, nil},
		{1, 3, []base.LinkID{2}},
		{4*LongAtIt - 1, 3, nil},
		{1, 3, []base.LinkID{4}},
		{time.Hour, 3, nil},
	} {
		s.Now += step.after
		if step.moves != 0 {
			s.links.Link(step.moves).Exchange.Moved = s.Now
		}
		if to := asked(); !slices.Equal(to, step.asks) {
			t.Fatalf("at %v asks %v, not %v", s.Now, to, step.asks)
		}
	}
	for _, l := range s.links.List {
		l.Exchange = nil
	}
	s.JoinBy = s.Now
	if to := asked(); len(to) != 4 {
		t.Errorf("when the time to join is over asks %v", to)
	}
}

// TestTableComes: when a table is waited for although the time to join is over.
func TestTableComes(t *testing.T) {
	const began = time.Minute
	for _, test := range []struct {
		name              string
		now, moved        time.Duration // since it began
		entries, judging  int
		comes, tooLateNow bool
	}{
		{"just asked", stuckAfter - 1, 0, 0, 0, true, false},
		{"nothing has come", stuckAfter, 0, 0, 0, false, false},
		{"fast enough", 10 * time.Second, 9 * time.Second, 10 * minPace, 0, true, false},
		{"too slow", 10 * time.Second, 9 * time.Second, 10*minPace - 1, 0, false, false},
		{"has stopped", 10*time.Second + link.SyncTimeout, 10 * time.Second, 1000, 0, false, false},
		{"is being judged", 10*time.Second + link.SyncTimeout, 10 * time.Second, 1000, 1, true, false},
		{"for too long", 10 * time.Second, 9 * time.Second, 1000, 1, false, true},
	} {
		s := newSide(nil)
		s.l.Exchange = &link.Exchange{Began: began, Moved: began + test.moved, Entries: test.entries}
		s.l.Verifying, s.Now, s.JoinBy = test.judging, began+test.now, began
		if test.tooLateNow {
			s.JoinBy = s.Now - MostOvertime
		}
		if s.TableComes() != test.comes {
			t.Errorf("%s: it comes: %v", test.name, !test.comes)
		}
	}
}
