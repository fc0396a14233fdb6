package link

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestDoubt: the score grows with what speaks against us, up to a bound, and shrinks by one a
// second otherwise; all times that we allow grow with it.
func TestDoubt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		db := &Doubt{Env: &base.Env{}}
		score, shrinks := 0, time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				if least := rapid.IntRange(-1, WorstHealth+2).Draw(rt, "least"); least > 0 && least >= score {
					score, shrinks = min(least, WorstHealth), db.Now+betterEvery
					db.AtLeast(least)
				} else {
					db.AtLeast(least)
				}
			case 1:
				db.Now += time.Duration(rapid.Int64Range(0, int64(2*betterEvery)).Draw(rt, "passes"))
			default:
				if db.Recover(); score > 0 && db.Now >= shrinks {
					score, shrinks = score-1, db.Now+betterEvery
				}
			}
			if db.Score != score || db.Stretch(time.Second) != time.Duration(1+score)*time.Second || db.Doubtful() != (score == WorstHealth) {
				rt.Fatalf("the score is %d, not %d; a second is %v", db.Score, score, db.Stretch(time.Second))
			}
		}
		if db.Deaf = true; !db.Doubtful() {
			rt.Fatal("a deaf peer does not doubt itself")
		}
	})
}

// TestPatience: a link may be silent for as long as our score and its round trips make it.
func TestPatience(t *testing.T) {
	for _, test := range []struct {
		score             int
		roundTrip, jitter time.Duration
		want              time.Duration
	}{
		{0, 0, 0, QuietAfter},
		{0, 100 * time.Millisecond, 20 * time.Millisecond, QuietAfter},
		{0, 300 * time.Millisecond, 50 * time.Millisecond, QuietAfter + 700*time.Millisecond},
		{2, 300 * time.Millisecond, 50 * time.Millisecond, 3*QuietAfter + 700*time.Millisecond},
		{WorstHealth, 0, 0, 7 * QuietAfter},
	} {
		db := &Doubt{Env: &base.Env{}, Score: test.score}
		if got := db.Patience(&Link{RoundTrip: test.roundTrip, Jitter: test.jitter}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestGiveTime: how long a suspect may refute, by its accusers, the age of the LOST, our score, and
// how long ago we have heard it ourselves.
func TestGiveTime(t *testing.T) {
	const began, never = time.Hour, -time.Second
	for _, test := range []struct {
		accusers int
		age      time.Duration
		score    int
		heard    time.Duration
		want     time.Duration
	}{
		{1, 0, 0, never, table.SuspectAlone},
		{2, 0, 0, never, table.SuspectFor},
		{2, table.SuspectAlone - 1, 0, never, table.SuspectFor},
		{2, table.SuspectAlone, 0, never, table.SuspectAlone},
		{1, 0, 5, never, table.SuspectAlone},
		{2, 0, 2, never, 3 * table.SuspectFor},
		{2, 0, 3, never, table.SuspectMost},
		{2, 0, WorstHealth, never, table.SuspectMost},
		{2, 0, 0, FreshWithin, table.SuspectAlone},
		{2, 0, 0, FreshWithin + 1, table.SuspectFor},
	} {
		ls := newLinks(2)
		ls.Now = began
		if test.heard != never {
			ls.add(1).Heard = began - test.heard
		}
		e := ls.entry(1)
		e.State, e.Said = pb.AnnouncementType_LOST, began-test.age
		e.With().Suspicion = table.Suspicion{Accusers: make([]certs.ID, test.accusers), Since: began}
		db := NewDoubt(ls.Env, ls)
		db.Score = test.score
		if db.GiveTime(e); e.Our().Until != began+test.want {
			t.Errorf("%+v: until %v after it began", test, e.Our().Until-began)
		}
	}
}

// TestGiveTimeToTheFar: a suspect gets the time that its word takes to us, as it and we have said, or as
// the link between us has it; and after it has refuted for a while more.
func TestGiveTimeToTheFar(t *testing.T) {
	const began, second = time.Hour, time.Second
	for _, test := range []struct {
		accusers      int
		theirs, ours  time.Duration
		link, refuted time.Duration // 0: without a link; never
		want          time.Duration
	}{
		{2, second, 0, 0, 0, table.SuspectFor + second},
		{2, second, 400 * time.Millisecond, 0, 0, table.SuspectFor + 1400*time.Millisecond},
		{1, second, 0, 0, 0, table.SuspectAlone + second},
		{2, 0, 0, 500 * time.Millisecond, 0, table.SuspectFor + 500*time.Millisecond},
		{2, second, 0, 500 * time.Millisecond, 0, table.SuspectFor + second},
		{2, 0, 0, 3 * second, 0, table.SuspectFor + base.MaxRoundTrip},
		{2, 0, 0, 0, began - table.RefutedFor + 1, table.SuspectAlone},
		{2, 0, 0, 0, began - table.RefutedFor, table.SuspectFor},
	} {
		ls := newLinks(2)
		ls.Now = began
		self := *ls.table.Self.Record
		self.RoundTrip = test.ours
		ls.table.Self.Record = &self
		if test.link > 0 {
			l := ls.add(1)
			l.RoundTrip, l.Heard = test.link, -time.Hour
		}
		e := ls.entry(1)
		record := *e.Record
		record.RoundTrip = test.theirs
		e.Record, e.State, e.Said = &record, pb.AnnouncementType_LOST, began
		e.With().Suspicion = table.Suspicion{Accusers: make([]certs.ID, test.accusers), Since: began}
		e.With().Refuted = test.refuted
		if NewDoubt(ls.Env, ls).GiveTime(e); e.Our().Until != began+test.want {
			t.Errorf("%+v: until %v after it began", test, e.Our().Until-began)
		}
	}
}

// TestRefuted: a peer that was called lost and is back at once has refuted; one that was away has not.
func TestRefuted(t *testing.T) {
	for back, refuted := range map[time.Duration]bool{table.SuspectFor: true, table.SuspectAlone: true, time.Minute: false} {
		ls := newLinks(0)
		db := NewDoubt(ls.Env, ls)
		e := table.NewEntry(recordOf(1), pb.AnnouncementType_JOIN, 0)
		e.With()
		ch := &Change{Entry: e, Was: base.Version{State: pb.AnnouncementType_LOST}, Said: time.Hour, News: News{Record: e.Record, State: pb.AnnouncementType_JOIN}}
		ls.Now = time.Hour + back
		if ch.SuspectFrom(db); (e.Our().Refuted == ls.Now) != refuted {
			t.Errorf("back after %v: it has refuted at %v", back, e.Our().Refuted)
		}
	}
}

// TestSuspectFrom: a suspicion begins when a living peer is called lost, and is over when it is
// here; one more LOST gives no more time.
func TestSuspectFrom(t *testing.T) {
	ls := newLinks(0)
	ls.Now = time.Hour
	db := NewDoubt(ls.Env, ls)
	e := table.NewEntry(recordOf(1), pb.AnnouncementType_JOIN, 0)
	say := func(state pb.AnnouncementType, wasAlive bool) *Change {
		e.State, e.Said = state, db.Now
		ch := &Change{Entry: e, WasAlive: wasAlive, News: News{Record: e.Record, State: state, Accusers: []certs.ID{"a"}}}
		ch.SuspectFrom(db)
		return ch
	}
	if say(pb.AnnouncementType_JOIN, true); e.Side != nil {
		t.Error("a peer that nobody suspects has dealings")
	}
	if say(pb.AnnouncementType_LOST, true); !e.Suspect(db.Now+table.SuspectAlone-1) || e.Suspect(db.Now+table.SuspectAlone) {
		t.Errorf("may refute until %v", e.Our().Until)
	}
	e.Side.Waiting = []base.LinkID{7}
	if ch := say(pb.AnnouncementType_JOIN, true); len(ch.Waiting) != 1 || len(e.Our().Accusers) > 0 || len(e.Our().Waiting) > 0 || e.Our().Until != 0 {
		t.Errorf("refuted: waiting are %v, held are %+v", ch.Waiting, e.Our().Suspicion)
	}
	if say(pb.AnnouncementType_LOST, false); e.Suspect(db.Now) {
		t.Error("a peer that was gone may refute anew")
	}
}
