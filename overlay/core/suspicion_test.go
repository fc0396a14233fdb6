package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// lostBy is a LOST of a watcher's subject by an accuser.
func lostBy(accuser string) *pb.PropagationMessage {
	a := say(pb.AnnouncementType_LOST, 5, "subject", 1000, 0)
	a.Accusers = []string{accuser}
	return propagation(a)
}

// accusers returns the last accuser of each LOST in the frames of the last input to a link.
func (w *watcher) accusers(to certs.ID) []string {
	var list []string
	for i, m := range w.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			if a.GetType() == pb.AnnouncementType_LOST && w.out.Frames[i].Link == w.links[to] {
				list = append(list, a.GetAccusers()[len(a.GetAccusers())-1])
			}
		}
	}
	return list
}

// TestAccusers: the accusers of a peer, how soon it is shown as lost, and whose word is passed
// on. A second accuser shortens the time to refute; one that is not a member, or is the accused
// itself, does not count, and no link is blamed for it.
func TestAccusers(t *testing.T) {
	for _, test := range []struct {
		name     string
		accusers []string
		shown    time.Duration // 0: not at all
		passed   []string
	}{
		{"one", []string{"a"}, table.SuspectAlone, []string{"a"}},
		{"two", []string{"a", "b"}, table.SuspectFor, []string{"a", "b"}},
		{"three", []string{"a", "b", "c"}, table.SuspectFor, []string{"a", "b"}},
		{"the same twice", []string{"a", "a"}, table.SuspectAlone, []string{"a"}},
		{"a stranger", []string{"x"}, 0, nil},
		{"a stranger, then two", []string{"x", "a", "b"}, table.SuspectFor, []string{"a", "b"}},
		{"one and a stranger", []string{"a", "x"}, table.SuspectAlone, []string{"a"}},
		{"one and the accused", []string{"a", "subject"}, table.SuspectAlone, []string{"a"}},
		{"the accused", []string{"subject"}, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := watching(t)
			began := w.now
			var passed []string
			for _, accuser := range test.accusers {
				w.receive(w.links["e"], lostBy(accuser))
				passed = append(passed, w.accusers("d")...)
				if len(w.out.Closes) > 0 {
					t.Errorf("closes %v", w.out.Closes)
				}
			}
			if !slices.Equal(passed, test.passed) {
				t.Errorf("passes on %v", passed)
			}
			shown := time.Duration(0)
			for shown == 0 && w.now < began+2*table.SuspectAlone {
				w.pass(tickEvery / 5)
				if !w.has("subject") {
					shown = w.now - began
				}
			}
			if shown < test.shown || shown > test.shown+tickEvery || (shown == 0) != (test.shown == 0) {
				t.Errorf("shows it after %v, not %v", shown, test.shown)
			}
		})
	}
}

// TestTwoAccusersAtOnce: a LOST that comes by two accusers, as in a table, is shown as soon as by
// the two one after the other; an old one, as in the other half of a cut network, as late as by
// one.
func TestTwoAccusersAtOnce(t *testing.T) {
	for _, test := range []struct {
		accusers []string
		age      time.Duration
		soon     bool
	}{
		{[]string{"a", "b"}, 0, true},
		{[]string{"a", "b"}, table.SuspectAlone - time.Second, true},
		{[]string{"a", "b"}, table.SuspectAlone, false},
		{[]string{"a", "b"}, time.Hour, false},
		{[]string{"a", "a"}, 0, false},
		{[]string{"a", "x"}, 0, false},
	} {
		w := watching(t)
		a := say(pb.AnnouncementType_LOST, 5, "subject", 1000, 0)
		a.Accusers = test.accusers
		w.receive(w.links["e"], propagation(aged(a, test.age)))
		if w.pass(table.SuspectFor + tickEvery); w.has("subject") == test.soon {
			t.Errorf("%v, %v ago: then it is here: %v", test.accusers, test.age, !test.soon)
		}
		if w.pass(table.SuspectAlone); w.has("subject") {
			t.Errorf("%v, %v ago: it is here for ever", test.accusers, test.age)
		}
	}
}

// TestOwnSilenceConfirms: a peer that has not heard the accused lately says so, once: at once, or
// when its link falls silent too. One that hears it does not.
func TestOwnSilenceConfirms(t *testing.T) {
	for silent, want := range map[time.Duration][2][]string{
		0:                            {{"e"}, nil},
		link.FreshWithin - tickEvery: {{"e"}, {"self"}},
		link.FreshWithin + tickEvery: {{"e", "self"}, nil},
	} {
		w := watching(t, "a", "b", "c")
		goOn := w.quiet
		if silent == 0 {
			goOn = w.pass
		}
		goOn(silent)
		w.receive(w.links["e"], lostBy("e"))
		if got := w.accusers("d"); !slices.Equal(got, want[0]) {
			t.Errorf("after %v of silence accuses as %v", silent, got)
		}
		if goOn(8 * tickEvery); !slices.Equal(w.accusers("d"), want[1]) || w.has("subject") != (silent == 0) {
			t.Errorf("after %v of silence then accuses as %v, shows it: %v", silent, w.accusers("d"), w.has("subject"))
		}
	}
}

// TestOwnProbeConfirms: a peer that has found another unreachable by pings, without a link to it,
// confirms that it is lost.
func TestOwnProbeConfirms(t *testing.T) {
	w := watching(t)
	w.receive(w.links["a"], propagation(say(pb.AnnouncementType_JOIN, 7, "far", 10, 0)))
	key := testIdentity(7).Key()
	w.receive(w.links["b"], routedFrom("b", &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{Subject: key[:], Id: "far", Epoch: 10}}}))
	w.pass(2*detect.PingTimeout + 2*tickEvery)
	lost := say(pb.AnnouncementType_LOST, 7, "far", 10, 0)
	lost.Accusers = []string{"b"}
	w.receive(w.links["b"], propagation(lost))
	w.pass(tickEvery)
	if got := w.accusers("d"); !slices.Equal(got, []string{"self"}) {
		t.Errorf("confirms as %v", got)
	}
}

// TestSlandered: however often a member says that a living peer is lost, in the name of whoever
// it likes, the peer is shown all the time if it refutes, the losses are passed on at a limited
// rate, and later a true one counts.
func TestSlandered(t *testing.T) {
	w := watching(t)
	seq, passed, start := uint32(0), 0, w.now
	lose := func() {
		for _, accuser := range []string{"a", "b"} {
			a := say(pb.AnnouncementType_LOST, 5, "subject", 1000, seq)
			a.Accusers = []string{accuser}
			w.receive(w.links["e"], propagation(a))
			passed += len(w.accusers("d"))
		}
	}
	for w.now < start+time.Minute {
		lose()
		w.pass(table.SuspectFor - 50*time.Millisecond)
		if !w.c.table.Of("subject")[0].Alive() {
			seq++
			w.receive(w.subject, propagation(say(pb.AnnouncementType_JOIN, 5, "subject", 1000, seq)))
		}
		if !w.has("subject") || len(w.out.Closes) > 0 {
			t.Fatalf("after %v it is shown: %v; closes %v", w.now-start, w.has("subject"), w.out.Closes)
		}
	}
	if most := 2 * (gossip.ChangesAtOnce + int(time.Minute/gossip.ChangeEvery) + 1); passed > most || passed < most/2 {
		t.Errorf("passes on %d losses in a minute, not at most %d", passed, most)
	}
	w.pass(gossip.ChangeEvery)
	lose()
	if w.pass(table.SuspectFor + tickEvery); w.has("subject") {
		t.Error("is never shown as lost again")
	}
}

// TestLinkOfLosses: a link has so many losses taken at once, and then so many a second.
func TestLinkOfLosses(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(link.IntroducedBurst + 1000) })
	liar := r.neighbour(1, "liar")
	for _, e := range slices.Clone(r.c.table.Entries) {
		if e != r.c.table.Self && e.Record.ID != "liar" {
			r.c.accept(r.c.links.Link(liar), link.News{Record: e.Record, State: pb.AnnouncementType_LOST, Said: r.now, Accusers: []certs.ID{"liar"}})
		}
	}
	if n := r.c.table.Gone; n < link.IntroducedBurst || n > link.IntroducedBurst+1 {
		t.Errorf("%d losses are taken at once", n)
	}
}
