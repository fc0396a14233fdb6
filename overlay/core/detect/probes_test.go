package detect

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestWitnesses: whoever answers what and when, a peer is accused only if three witnesses have not
// heard it, or all if it has named fewer, and none has heard it just now; only those count that
// were asked. It is accused as soon as all of them agree.
func TestWitnesses(t *testing.T) {
	const subject = 9
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(12)
		var named []certs.ID
		for i := range rapid.IntRange(1, 6).Draw(rt, "named") {
			named = append(named, idOf(i))
		}
		other := r.neighbour(10)
		r.silent(subject, named...)
		r.pass(100*time.Millisecond, other)
		wantIDs(t, "asked", r.questions(), named...)
		quiet := make(map[certs.ID]bool)
		heard, rounds := time.Duration(-1), r.Now+2*witnessRound
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			if rapid.IntRange(0, 3).Draw(rt, "step") == 0 {
				r.pass(time.Duration(rapid.Int64Range(1, int64(400*time.Millisecond)).Draw(rt, "passes")), other)
			} else {
				from, fresh := rapid.IntRange(0, 8).Draw(rt, "from"), rapid.IntRange(0, 5).Draw(rt, "fresh") == 0
				r.answer(from, subject, fresh)
				if id := idOf(from); slices.Contains(named, id) {
					if quiet[id] = !fresh; fresh {
						heard = r.Now
					}
				}
			}
			n := 0
			for _, id := range named {
				if quiet[id] {
					n++
				}
			}
			accused := len(happened[Accused](r)) > 0
			switch lately := heard >= 0 && r.Now-heard < link.FreshWithin; {
			case accused && (n == 0 || lately || r.Now < rounds && n < min(enoughWitnesses, len(named))):
				rt.Fatalf("accused though of %d witnesses %d have not heard it, heard %v", len(named), n, heard)
			case !accused && n == len(named) && !lately:
				rt.Fatalf("not accused though none of %d has heard it", n)
			case accused || r.Now >= rounds: // strangers are asked now
				return
			}
		}
	})
}

// TestWitnessRounds: witnesses are asked again while they do not answer, and do not count after
// two questions; eight are asked at first. Then strangers are asked, in a few rounds, and at last
// the peer is hidden if nobody knows anything.
func TestWitnessRounds(t *testing.T) {
	const subject = 39
	r := newRig(40)
	var named []certs.ID
	for i := range 10 {
		named = append(named, idOf(i))
	}
	other := r.neighbour(38)
	l := r.silent(subject, named...)
	r.pass(100*time.Millisecond, other)
	if got := r.questions(); len(got) != askedAtOnce {
		t.Errorf("at first asks %v", got)
	}
	for i, m := range r.routed {
		q := question(m)
		if q.GetId() != string(idOf(subject)) || certs.PublicKey(q.GetSubject()) != l.Key || q.GetEpoch() != 1000 || q.GetSeq() != 2 {
			t.Errorf("asks for %v", q)
		}
		if r.over[i] == l.ID || !slices.Contains(m.GetPassed(), string(idOf(subject))) {
			t.Errorf("asks over the subject: %v", m)
		}
	}
	r.answer(0, subject, false)
	r.pass(witnessRound, other)
	if got := r.questions(); len(got) != len(named)-1 || slices.Contains(got, "p0") {
		t.Errorf("then asks %v", got)
	}
	if r.pass(2*witnessRound, other); len(happened[Accused](r)) != 1 { // two of them were not asked at first
		t.Error("one that answers is not enough though no other one does")
	}

	r = newRig(40)
	other = r.neighbour(38)
	r.silent(subject, "gone")
	asked := make(map[certs.ID]bool)
	for range probeTime / (100 * time.Millisecond) {
		r.pass(100*time.Millisecond, other)
		for _, id := range r.questions() {
			asked[id] = true
		}
	}
	if len(asked) != 1+strangersAsked*maxStrangerRounds || !asked["gone"] || asked[idOf(subject)] || asked["self"] {
		t.Errorf("asks %d", len(asked))
	}
	if n := len(happened[Accused](r)); n > 0 {
		t.Errorf("accuses it alone, %d times", n)
	}
}

// TestMissed: a peer without a link that nobody knows anything about is hidden; one of which a
// witness or we have heard is not. A slow link allows answers more time, up to twice
// as much.
func TestMissed(t *testing.T) {
	for name, test := range map[string]struct {
		hears  func(*rig)
		hidden int
	}{
		"nobody":    {func(*rig) {}, 1},
		"a witness": {func(r *rig) { r.answer(0, 9, true) }, 0},
		"we":        {func(r *rig) { r.neighbour(9) }, 0},
	} {
		r := newRig(20)
		other := r.neighbour(10)
		r.entry(9).With().Neighbours = []certs.ID{"p0"}
		r.LinkBroken(r.entry(9))
		r.pass(5*time.Second, other)
		test.hears(r)
		r.pass(probeTime, r.links.List...)
		if n := len(happened[Missed](r)); n != test.hidden || len(r.probes.List) > 0 {
			t.Errorf("%s has heard it: hidden %d times, %d probes go on", name, n, len(r.probes.List))
		}
	}
	for _, roundTrip := range []time.Duration{5 * time.Second, time.Minute} {
		r := newRig(20)
		other := r.neighbour(10)
		other.RoundTrip = roundTrip
		r.LinkBroken(r.entry(9))
		if r.pass(probeTime+min(other.Slowness(), probeTime), other); len(happened[Missed](r)) > 0 {
			t.Errorf("hidden before answers can have come over a link of %v", roundTrip)
		}
		if r.pass(time.Second, other); len(happened[Missed](r)) != 1 {
			t.Errorf("not hidden when answers should have come over a link of %v", roundTrip)
		}
	}
}

// TestPings: a peer without a link is pinged twice, and dialled, before others are asked; soon if
// there is a reason. A pong ends it, if it is for this very ping and of this peer.
func TestPings(t *testing.T) {
	for _, urgent := range []bool{true, false} {
		r := newRig(20)
		other := r.neighbour(10)
		e := r.entry(9)
		r.probes.start(e, urgent)
		if again := r.probes.start(e, urgent); again != nil {
			t.Error("two probes of one peer")
		}
		r.probes.Pursue()
		wantIDs(t, "at once pings", r.pings(), "p9")
		pause := pingAgain
		if urgent {
			pause = pingTimeout
		}
		r.pass(pause-1, other)
		wantIDs(t, "before its time pings", r.pings())
		if r.pass(1, other); len(r.Out.Dials) != 1 {
			t.Errorf("dials %v", r.Out.Dials)
		}
		wantIDs(t, "then pings", r.pings(), "p9")
		r.pass(pingTimeout-1, other)
		wantIDs(t, "before its time asks", r.questions())
		r.pass(1, other)
		if asked := r.questions(); len(asked) != strangersAsked {
			t.Errorf("then asks %v", asked)
		}
	}
	r := newRig(20)
	r.neighbour(10)
	p := r.probes.start(r.entry(9), true)
	for _, test := range []struct {
		from   certs.ID
		number uint64
		ends   bool
	}{{"p9", p.number + 1, false}, {"p8", p.number, false}, {"p9", p.number, true}} {
		if r.probes.ReceivePong(1, test.from, &pb.Ping{Number: test.number}); p.ended != test.ends {
			t.Errorf("a pong %d of %s ends it: %v", test.number, test.from, p.ended)
		}
	}
}

// TestQuestions: what is answered, at once or when we have found out, and what is not.
func TestQuestions(t *testing.T) {
	const about = 9
	type answer struct{ fresh, said bool }
	for _, test := range []struct {
		name   string
		change func(*rig)
		answer answer // at once
		probe  bool   // begins
	}{
		{"just heard", func(r *rig) { r.neighbour(about) }, answer{true, true}, false},
		{"heard a while ago", func(r *rig) { r.neighbour(about).Heard -= link.FreshWithin }, answer{true, true}, false},
		{"not heard lately", func(r *rig) { r.neighbour(about).Heard -= link.FreshWithin + 1 }, answer{false, true}, false},
		{"over a slow link", func(r *rig) {
			l := r.neighbour(about)
			l.Heard, l.RoundTrip = l.Heard-2*link.FreshWithin, time.Second
		}, answer{true, true}, false},
		{"while we doubt ourselves a bit", func(r *rig) { r.neighbour(about).Heard -= 3 * link.FreshWithin; r.doubt.Score = 2 }, answer{}, false},
		{"the same, silent for longer", func(r *rig) { r.neighbour(about).Heard -= 3*link.FreshWithin + 1; r.doubt.Score = 2 }, answer{false, true}, false},
		{"while we are deaf", func(r *rig) { r.neighbour(about); r.doubt.Deaf = true }, answer{}, false},
		{"without a link", func(*rig) {}, answer{}, true},
		{"without a link, found unreachable", func(r *rig) { r.probes.start(r.entry(about), true).own = true }, answer{false, true}, true},
		{"of another state", func(r *rig) { r.entry(about).Record.Seq++ }, answer{}, false},
		{"of another run", func(r *rig) { r.entry(about).Record.Epoch++ }, answer{}, false},
		{"that has left", func(r *rig) { r.entry(about).State = pb.AnnouncementType_LEAVE }, answer{}, false},
		{"not known", func(r *rig) { r.table.Remove(r.entry(about)) }, answer{}, false},
		{"a guest", func(r *rig) { r.entry(about).Record.Visitor = true }, answer{}, false},
	} {
		r := newRig(20)
		r.neighbour(10)
		test.change(r)
		r.ask("p10", about)
		got := r.answers()["p10"]
		if (answer{got.GetFresh(), got != nil}) != test.answer || len(r.probes.List) > 0 != test.probe {
			t.Errorf("%s: answers %v, probes %d", test.name, got, len(r.probes.List))
		}
	}
}

// TestAskers: those that have asked about a peer without a link hear what comes of the probe, so
// many at most.
func TestAskers(t *testing.T) {
	const about = 9
	for _, heard := range []bool{true, false} {
		r := newRig(60)
		other := r.neighbour(10)
		for i := range MaxAskers + 3 {
			r.ask(idOf(20+i), about)
			r.ask(idOf(20+i), about)
		}
		if got := r.answers(); len(got) > 0 || len(r.probes.List) != 1 {
			t.Fatalf("answers %v, %d probes", got, len(r.probes.List))
		}
		if heard {
			r.probes.ReceivePong(1, idOf(about), &pb.Ping{Number: r.probes.List[0].number})
		} else {
			r.pass(2*pingTimeout+time.Second/2, other)
		}
		got := r.answers()
		if len(got) != MaxAskers {
			t.Errorf("answers %d", len(got))
		}
		for to, a := range got {
			if a.GetFresh() != heard || a.GetEpoch() != 1000 || a.GetSeq() != 2 {
				t.Errorf("tells %s: %v", to, a)
			}
		}
	}
}

// TestProbesAreBounded: so many peers are probed at once, and none that can't be.
func TestProbesAreBounded(t *testing.T) {
	r := newRig(2 * MaxProbes)
	for i := range 2 * MaxProbes {
		r.ask("p0", i)
	}
	if n := len(r.probes.List); n != MaxProbes {
		t.Errorf("%d probes", n)
	}
	for name, change := range map[string]func(r *rig) *table.Entry{
		"ourselves":        func(r *rig) *table.Entry { return r.table.Self },
		"a guest":          func(r *rig) *table.Entry { r.entry(1).Record.Visitor = true; return r.entry(1) },
		"for a visitor":    func(r *rig) *table.Entry { r.Visiting = true; return r.entry(1) },
		"when we leave":    func(r *rig) *table.Entry { r.Leaving = true; return r.entry(1) },
		"of nobody before": func(r *rig) *table.Entry { return r.entry(1) },
	} {
		r := newRig(3)
		if p := r.probes.start(change(r), true); (p != nil) != (name == "of nobody before") {
			t.Errorf("a probe %s: %v", name, p)
		}
	}
}

// TestWhatEndsAProbe: news of the subject, a link that hears it, and our own farewell.
func TestWhatEndsAProbe(t *testing.T) {
	for name, change := range map[string]func(r *rig, e *table.Entry){
		"a later statement": func(_ *rig, e *table.Entry) { r := *e.Record; r.Tie++; e.Record = &r },
		"its LEAVE":         func(_ *rig, e *table.Entry) { e.State = pb.AnnouncementType_LEAVE },
		"a link":            func(r *rig, _ *table.Entry) { r.neighbour(9) },
		"our farewell":      func(r *rig, _ *table.Entry) { r.Leaving = true },
	} {
		r := newRig(20)
		r.neighbour(10)
		r.probes.start(r.entry(9), true)
		change(r, r.entry(9))
		if r.probes.Pursue(); len(r.probes.List) > 0 || len(r.pings()) > 0 {
			t.Errorf("%s does not end it", name)
		}
	}
	for _, deaf := range []bool{false, true} {
		r := newRig(20)
		r.neighbour(10)
		r.probes.start(r.entry(9), true)
		r.doubt.Deaf = deaf
		if r.probes.Pursue(); len(r.probes.List) != 1 || len(r.pings()) > 0 == deaf {
			t.Errorf("deaf %v: %d probes, pings", deaf, len(r.probes.List))
		}
	}
}

// TestTold: who has not heard a suspect lately confirms that it is lost, but not one that may be
// deaf itself.
func TestTold(t *testing.T) {
	for _, test := range []struct {
		silence          time.Duration
		linked, doubtful bool
		confirms         int
	}{
		{0, true, false, 0}, {link.FreshWithin, true, false, 0}, {link.FreshWithin + 1, true, false, 1},
		{link.FreshWithin + 1, true, true, 0}, {0, false, false, 0},
	} {
		r := newRig(20)
		e := r.entry(9)
		if test.linked {
			r.neighbour(9).Heard -= test.silence
		}
		r.doubt.Deaf = test.doubtful
		e.State = pb.AnnouncementType_LOST
		e.With().Until = r.Now + time.Second
		r.probes.Told(link.Change{Entry: e})
		if n := len(happened[Accused](r)); n != test.confirms {
			t.Errorf("%+v: confirms it %d times", test, n)
		}
	}
}

// TestContradiction: a witness that has heard a peer whose link is silent to us teaches us to
// doubt ourselves, once; the path to the peer is tried anew. So does one that has heard a peer
// that does not answer our pings.
func TestContradiction(t *testing.T) {
	r := newRig(20)
	other := r.neighbour(10)
	r.silent(9, "p0", "p1")
	r.pass(100*time.Millisecond, other)
	r.answer(0, 9, true)
	r.answer(1, 9, true)
	if r.doubt.Score != 1 || len(r.Out.Dials) != 1 || r.Out.Dials[0].Key != recordOf(9).Key {
		t.Errorf("the score is %d, dials %v", r.doubt.Score, r.Out.Dials)
	}

	r = newRig(20)
	p := r.probes.start(r.entry(9), true)
	p.own, p.witnesses = true, []witness{{id: idOf(0)}}
	if r.answer(0, 9, true); r.doubt.Score != 1 || !p.ended {
		t.Errorf("a contradiction to pings: the score is %d, ended %v", r.doubt.Score, p.ended)
	}
}
