package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// watcher is a rig with a neighbour whose link has fallen silent, and others.
type watcher struct {
	*rig
	subject base.LinkID
	links   map[certs.ID]base.LinkID // of the others
}

// The identities of a watcher's peers.
var watcherIdentity = map[certs.ID]uint64{"subject": 5, "a": 21, "b": 22, "c": 23, "d": 24, "e": 25}

// watching makes a watcher whose subject has named these neighbours.
func watching(t *testing.T, named ...string) *watcher {
	w := &watcher{rig: newRig(t, nil), links: make(map[certs.ID]base.LinkID)}
	for _, id := range []certs.ID{"a", "b", "c", "d", "e"} {
		w.links[id] = w.neighbour(watcherIdentity[id], string(id))
	}
	w.subject = w.neighbour(watcherIdentity["subject"], "subject")
	w.receive(w.subject, &pb.NeighbourList{Ids: named})
	return w
}

// quiet lets time pass while only the subject is silent.
func (w *watcher) quiet(d time.Duration) {
	w.passWith(d, func(l base.LinkID) bool { return l != w.subject })
}

// asked returns the peers asked by the frames of the last input.
func (w *watcher) asked() []string {
	var list []string
	for _, m := range w.frames() {
		if r := m.GetRouted(); r.GetQuestion() != nil {
			list = append(list, r.GetTo())
		}
	}
	slices.Sort(list)
	return list
}

// lost returns the LOSTs in the frames of the last input, once for each frame.
func (r *rig) lost() []*pb.Announcement {
	var list []*pb.Announcement
	for _, m := range r.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			if a.GetType() == pb.AnnouncementType_LOST {
				list = append(list, a)
			}
		}
	}
	return list
}

// routedFrom is a routed frame of a neighbour to the rig.
func routedFrom(from certs.ID, content *pb.Routed) *pb.Routed {
	content.From, content.To, content.Passed, content.Parents = string(from), "self", []string{string(from)}, []byte{0}
	return content
}

// answered is a witness's answer about the subject: quiet, or fresh.
func answered(from certs.ID, change func(*pb.Answer)) *pb.Routed {
	subject := watcherIdentity["subject"]
	key := testIdentity(subject).Key()
	a := &pb.Answer{Subject: key[:], Epoch: 1000}
	if change != nil {
		change(a)
	}
	return routedFrom(from, &pb.Routed{Content: &pb.Routed_Answer{Answer: a}})
}

func fresh(a *pb.Answer) { a.Fresh = true }

// answer lets a witness answer over its own link.
func (w *watcher) answer(from certs.ID, change func(*pb.Answer)) {
	w.receive(w.links[from], answered(from, change))
}

// TestSilentLinkIsLookedInto: when a peer falls silent its other neighbours are asked, by routes
// that avoid it; nobody is accused.
func TestSilentLinkIsLookedInto(t *testing.T) {
	w := watching(t, "self", "a", "b", "c", "far")
	w.quiet(link.QuietAfter - 2*tickEvery)
	if len(w.asked()) > 0 || len(w.out.Dials) > 0 {
		t.Errorf("before its time asks %v, dials %v", w.asked(), w.out.Dials)
	}
	w.quiet(3 * tickEvery)
	if got := w.asked(); !slices.Equal(got, []string{"a", "b", "c", "far"}) {
		t.Errorf("asks %v", got)
	}
	for i, m := range w.frames() {
		r := m.GetRouted()
		q := r.GetQuestion()
		if q == nil {
			continue
		}
		key := testIdentity(5).Key()
		if q.GetId() != "subject" || certs.PublicKey(q.GetSubject()) != key || q.GetEpoch() != 1000 || q.GetSeq() != 0 {
			t.Errorf("asks for %v", q)
		}
		if w.out.Frames[i].Link == w.subject || !slices.Contains(r.GetPassed(), "subject") {
			t.Errorf("asks over the subject: %v", r)
		}
	}
	if len(w.lost()) > 0 || !w.has("subject") {
		t.Error("is called lost at once")
	}
}

// TestWitnesses: the answers of the witnesses, one after the other, and whether they are enough
// to call the subject lost: three if there are so many, all that answer if there are fewer, none
// that has heard it, and at least one.
func TestWitnesses(t *testing.T) {
	for _, test := range []struct {
		name  string
		named []string
		says  string // the witnesses that say it is quiet; in capitals: fresh
		lost  bool
	}{
		{"three", []string{"a", "b", "c", "d", "e"}, "abc", true},
		{"two of five", []string{"a", "b", "c", "d", "e"}, "ab", false},
		{"two of two", []string{"a", "b"}, "ab", true},
		{"one of two", []string{"a", "b"}, "a", false},
		{"one of one", []string{"a"}, "a", true},
		{"none of one", []string{"a"}, "", false},
		{"the same one thrice", []string{"a", "b", "c"}, "aaa", false},
		{"the same two", []string{"a", "b", "c"}, "abab", false},
		{"one has heard it", []string{"a", "b", "c"}, "abC", false},
		{"one has heard it before", []string{"a", "b", "c", "d"}, "Cabd", false},
		{"nobody has been named", nil, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := watching(t, test.named...)
			w.quiet(link.QuietAfter + tickEvery)
			var said []*pb.Announcement
			for i, who := range test.says {
				change := fresh
				if who >= 'a' {
					change = nil
				}
				w.answer(certs.ID(rune(who|0x20)), change)
				said = append(said, w.lost()...)
				if i < len(test.says)-1 && len(said) > 0 {
					t.Errorf("after %q it is lost", test.says[:i+1])
				}
			}
			if (len(said) > 0) != test.lost {
				t.Fatalf("is called lost: %v", said)
			}
			if e := w.c.table.Of("subject")[0]; e.Alive() == test.lost {
				t.Errorf("is alive: %v", e.Alive())
			}
		})
	}
}

// TestAccusation: when the witnesses agree, LOST goes to all neighbours in our name; also to the
// lost peer, in case it hears it, which is not a neighbour any more. Users see it when the time to
// refute is over.
func TestAccusation(t *testing.T) {
	w := watching(t, "a", "b", "c")
	w.quiet(link.QuietAfter + tickEvery)
	for _, id := range []certs.ID{"a", "b", "c"} {
		w.answer(id, nil)
	}
	said := w.lost()
	if len(said) != len(w.links)+1 || w.c.links.Link(w.subject).Neighbour {
		t.Fatalf("says it to %d, is still its neighbour: %v", len(said), w.c.links.Link(w.subject).Neighbour)
	}
	if len(w.out.Events) != 0 {
		t.Errorf("shows %v at once", w.out.Events)
	}
	other := newRig(t, nil)
	l := other.neighbour(0, "other")
	for _, a := range []*pb.Announcement{
		say(pb.AnnouncementType_JOIN, 5, "subject", 1000, 0), say(pb.AnnouncementType_JOIN, 0, "self", 1000, 0),
	} {
		other.c.env.Cfg.ID = "another" // the rigs have one identity
		n, _ := other.c.gossip.Open(nil, a)
		other.c.table.Insert(table.NewEntry(n.Record, n.State, 0))
	}
	other.receive(l, propagation(said[0]))
	if e := other.c.table.Of("subject")[0]; e.State != pb.AnnouncementType_LOST || len(other.out.Closes) != 0 {
		t.Errorf("others hold it as %v, closes %v", e.State, other.out.Closes)
	}
	if by := said[0].GetAccusers(); !slices.Equal(by, []string{"self"}) {
		t.Errorf("the accusers are %q", by)
	}
	w.pass(table.SuspectAlone + tickEvery)
	if !slices.Contains(w.out.Events, base.Event(base.Left{ID: "subject"})) {
		t.Errorf("then shows %v", w.out.Events)
	}
}

// TestHeardAgain: a probe ends when we hear the peer; if only a witness has heard it, the
// witnesses are asked again.
func TestHeardAgain(t *testing.T) {
	w := watching(t, "a", "b", "c")
	w.quiet(link.QuietAfter + tickEvery)
	w.answer("a", nil)
	w.answer("b", nil)
	w.c.Step(w.now, Heard{Link: w.subject, Heard: w.now})
	w.quiet(2 * tickEvery)
	w.answer("c", nil)
	if len(w.lost()) > 0 || len(w.c.probes.List) > 0 {
		t.Errorf("is called lost, or is looked for")
	}

	w = watching(t, "a", "b", "c")
	w.quiet(link.QuietAfter + tickEvery)
	w.answer("a", fresh)
	if len(w.out.Dials) != 1 || w.out.Dials[0].Key != testIdentity(5).Key() {
		t.Errorf("the path to it may have changed: dials %v", w.out.Dials)
	}
	w.answer("b", nil)
	w.answer("c", nil)
	w.quiet(link.FreshWithin - 2*tickEvery)
	if len(w.asked()) > 0 {
		t.Errorf("asks %v soon after it was heard", w.asked())
	}
	w.quiet(3 * tickEvery)
	if got := w.asked(); !slices.Equal(got, []string{"a", "b", "c"}) || len(w.lost()) > 0 {
		t.Errorf("then asks %v", got)
	}
	for _, id := range []certs.ID{"a", "b", "c"} {
		w.answer(id, nil)
	}
	if len(w.lost()) == 0 {
		t.Error("then nobody hears it, and it is not called lost")
	}
}

// TestWitnessesThatDoNotAnswer: a witness that does not answer twice does not count, so one that
// answers is enough; if none does, strangers are asked, and if they know nothing either the peer
// is hidden from our user, and not accused.
func TestWitnessesThatDoNotAnswer(t *testing.T) {
	w := watching(t, "a", "b", "c")
	w.quiet(link.QuietAfter + tickEvery)
	w.answer("a", nil)
	w.quiet(detect.WitnessRound + tickEvery)
	if got := w.asked(); !slices.Equal(got, []string{"b", "c"}) || len(w.lost()) > 0 {
		t.Errorf("in the second round asks %v, says %v", got, w.lost())
	}
	w.quiet(detect.WitnessRound)
	if len(w.lost()) == 0 {
		t.Error("one quiet answer is not enough though no other witness answers")
	}

	w = watching(t, "gone", "far")
	asked := make(map[string]bool)
	for began := w.now; w.now < began+link.QuietAfter+detect.ProbeTime; {
		w.quiet(time.Second)
		for _, id := range w.asked() {
			asked[id] = true
		}
		if len(w.lost()) > 0 {
			t.Fatalf("accuses it alone after %v", w.now-began)
		}
	}
	for _, id := range []string{"gone", "far", "a", "b", "c", "d", "e"} {
		if !asked[id] {
			t.Errorf("does not ask %s", id)
		}
	}
	w.quiet(time.Second)
	if e := w.c.table.Of("subject")[0]; e.Buried() || len(w.lost()) > 0 {
		t.Errorf("at last it is held as %v", e.State)
	}
}

// TestStrangers: three are asked at once, and only after two pings.
func TestStrangers(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(300) })
	r.neighbour(1, "one")
	r.pass(tickEvery)
	subject := r.c.table.Pick(func(e *table.Entry) bool { return e != r.c.table.Self && r.c.links.LinkTo(e.Record.Key) == nil })
	r.c.probes.Start(subject, true)
	var asked []int
	for range 3 { // a ping; a second one, and the strangers when it is not answered
		r.pass(detect.PingTimeout)
		n := 0
		for _, m := range r.frames() {
			if question := m.GetRouted().GetQuestion(); question.GetId() == string(subject.Record.ID) {
				n++
			}
		}
		asked = append(asked, n)
	}
	if !slices.Equal(asked, []int{0, detect.StrangersAsked, 0}) {
		t.Errorf("asks %v", asked)
	}
}

// TestUnknownToAll: a peer that we can't reach, and that nobody knows anything about, is hidden
// from our user after a while; our announcements do not change.
func TestUnknownToAll(t *testing.T) {
	w := watching(t, "gone")
	w.c.Step(w.now, Disconnected{Link: w.subject, Why: "broken"})
	w.drain()
	for began := w.now; w.now < began+detect.ProbeTime+2*time.Second; {
		w.quiet(time.Second)
		if len(w.lost()) > 0 {
			t.Fatal("accuses it alone")
		}
	}
	if e := w.c.table.Of("subject")[0]; w.has("subject") || e.Buried() {
		t.Errorf("is shown: %v, held as %v", w.has("subject"), e.State)
	}
	w.receive(w.links["a"], propagation(say(pb.AnnouncementType_JOIN, 5, "subject", 1000, 0)))
	if !slices.ContainsFunc(w.out.Events, func(e base.Event) bool { j, ok := e.(base.Joined); return ok && j.ID == "subject" }) {
		t.Errorf("found again: events %v", w.out.Events)
	}
}

// TestAnswersThatDoNotCount: an answer counts only of a peer that was asked, about this very run
// and state.
func TestAnswersThatDoNotCount(t *testing.T) {
	for _, test := range []struct {
		name   string
		from   certs.ID
		change func(*pb.Answer)
	}{
		{"about another run", "a", func(a *pb.Answer) { a.Epoch = 1001 }},
		{"about another state", "a", func(a *pb.Answer) { a.Seq = 1 }},
		{"about another peer", "a", func(a *pb.Answer) {
			key := testIdentity(22).Key()
			a.Subject = key[:]
		}},
		{"of a peer that was not asked", "b", nil},
		{"of the subject itself", "subject", nil},
	} {
		w := watching(t, "a")
		w.quiet(link.QuietAfter + tickEvery)
		w.receive(w.links["e"], &pb.Routed{
			From: string(test.from), To: "self", Passed: []string{string(test.from), "e"}, Parents: []byte{0, 0},
			Content: answered(test.from, test.change).GetContent(),
		})
		if len(w.lost()) > 0 || len(w.out.Closes) > 0 {
			t.Errorf("an answer %s is enough, or ends the link: %v", test.name, w.out.Closes)
		}
		if w.answer("a", nil); len(w.lost()) == 0 {
			t.Errorf("after an answer %s that of a witness does not count", test.name)
		}
	}
}
