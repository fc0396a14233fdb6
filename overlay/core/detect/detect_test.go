package detect

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestSilentLink: a link may be silent for a while; then the neighbours of its peer are asked, once,
// and not if another link to it lives.
func TestSilentLink(t *testing.T) {
	r := newRig(20)
	other, l := r.neighbour(10), r.neighbour(9)
	l.Entry.With().Neighbours = []certs.ID{"self", "p1", "p2", "p9"}
	r.pass(link.QuietAfter-1, other)
	if wantIDs(t, "before its time asks", r.questions()); l.Quiet || len(r.Out.Dials) > 0 {
		t.Errorf("it is quiet %v, dials %v", l.Quiet, r.Out.Dials)
	}
	r.pass(1, other)
	if wantIDs(t, "then asks", r.questions(), "p1", "p2"); !l.Quiet || r.doubt.Deaf || r.doubt.Storm {
		t.Errorf("it is quiet %v, we are deaf %v", l.Quiet, r.doubt.Deaf)
	}
	r.pass(witnessRound/2, other)
	wantIDs(t, "soon asks", r.questions())

	r = newRig(20)
	old := r.silent(9, "p1")
	r.neighbour(9)
	r.pass(100*time.Millisecond, r.links.List[1])
	if wantIDs(t, "with another link asks", r.questions()); len(r.Out.Closes) != 1 || r.Out.Closes[0].Link != old.ID || r.Out.Closes[0].Reason != base.CloseDead {
		t.Errorf("with another link closes %v", r.Out.Closes)
	}
}

// TestSilenceConfirms: a silent link to a suspect confirms that it is lost, unless we may be deaf.
func TestSilenceConfirms(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		r := newRig(20)
		if !deaf {
			r.neighbour(10)
		}
		l := r.silent(9)
		l.Entry.State = pb.AnnouncementType_LOST
		l.Entry.With().Until = r.Now + time.Second
		if r.CheckLinks(); len(happened[Accused](r)) > 0 == deaf {
			t.Errorf("deaf %v: confirms it: %v", deaf, deaf)
		}
	}
}

// TestStorm: when several links fall silent at once, some of the neighbours of each peer are
// probed as well, and witnesses are those that it had named.
func TestStorm(t *testing.T) {
	r := newRig(40)
	r.neighbour(30)
	named := []certs.ID{"p1", "p2", "p3", "p4", "p5", "p30", "self"}
	r.silent(9, named...)
	r.silent(10, "p21", "p22")
	r.CheckLinks()
	var probed []certs.ID
	for _, p := range r.probes.List {
		probed = append(probed, p.subject.Record.ID)
	}
	isOf := func(list ...certs.ID) (n int) {
		for _, id := range probed {
			if slices.Contains(list, id) {
				n++
			}
		}
		return n
	}
	if first := isOf(named...); !r.doubt.Storm || isOf("p9", "p10") != 2 || first > orphansChecked || first == 0 || isOf("p21", "p22") != 2 || isOf("p30", "self") > 0 {
		t.Errorf("probes %v", probed)
	}
	n := len(r.probes.List)
	if r.CheckLinks(); len(r.probes.List) != n {
		t.Error("the neighbours are checked again")
	}
}

// TestDeaf: a peer that hears nobody dials those that it had links to, and considers itself cut
// off once such a dial has failed too, or there is nothing to dial.
func TestDeaf(t *testing.T) {
	r := newRig(20)
	r.silent(9)
	r.silent(10)
	if r.CheckLinks(); !r.doubt.Deaf || len(r.Out.Dials) != 2 {
		t.Fatalf("deaf %v, dials %v", r.doubt.Deaf, r.Out.Dials)
	}
	r.pass(link.IsolatedAfter)
	if len(happened[Isolated](r)) > 0 {
		t.Error("cut off before a dial has failed")
	}
	r.reach.DialFailed(r.Out.Dials[0].ID, false, "timeout")
	if r.CheckLinks(); len(happened[Isolated](r)) != 1 {
		t.Error("not cut off after a dial has failed")
	}
	r.links.List[0].Heard = r.Now
	if r.CheckLinks(); r.doubt.Deaf || r.doubt.DeafProven || len(happened[Isolated](r)) > 0 {
		t.Error("cut off though a link is heard")
	}

	r = newRig(0)
	r.doubt.Score = 1
	r.pass(2*link.IsolatedAfter - time.Millisecond)
	if len(happened[Isolated](r)) > 0 {
		t.Error("alone: cut off before its time")
	}
	if r.pass(time.Millisecond); len(happened[Isolated](r)) == 0 {
		t.Error("alone: never cut off")
	}
}

// TestFoundByALink: a missing peer is found again by a link that is heard after all went missing.
func TestFoundByALink(t *testing.T) {
	for _, later := range []time.Duration{0, 1} {
		r := newRig(20)
		l := r.neighbour(9)
		l.Entry.Missing, r.table.MissingSince = true, r.Now
		l.Heard += later
		if r.CheckLinks(); l.Entry.Missing != (later == 0) || len(happened[table.FoundAgain](r)) != int(later) {
			t.Errorf("heard %v later: missing %v", later, l.Entry.Missing)
		}
	}
}

// TestStuck: a stuck link is replaced by another one, if there is none.
func TestStuck(t *testing.T) {
	r := newRig(20)
	l := r.neighbour(9)
	l.Stuck = true
	r.CheckLinks()
	if r.CheckLinks(); len(r.Out.Dials) != 1 || r.Out.Dials[0].Key != l.Key {
		t.Errorf("dials %v", r.Out.Dials)
	}
	r = newRig(20)
	r.neighbour(9).Stuck = true
	r.neighbour(9)
	if r.CheckLinks(); len(r.Out.Dials) > 0 {
		t.Errorf("with another link dials %v", r.Out.Dials)
	}
}

// TestPromises: which links are closed because the other side does not do what it was asked to, or
// because nobody uses them; a slow peer has longer.
func TestPromises(t *testing.T) {
	stranger := func(l *link.Link) { l.Neighbour = false }
	asked := func(l *link.Link) { l.Neighbour, l.Asked, l.AskedAt = false, true, l.Opened }
	exchange := func(l *link.Link) { l.Exchange = &link.Exchange{Moved: l.Opened} }
	for _, test := range []struct {
		name   string
		change func(*link.Link)
		after  time.Duration // when it is closed; 0: not
		reason base.CloseReason
	}{
		{"a neighbour", func(*link.Link) {}, 0, 0},
		{"a neighbour that does not answer about tables", exchange, link.SyncTimeout, base.CloseTimeout},
		{"a slow one", func(l *link.Link) { exchange(l); l.RoundTrip = time.Second }, link.SyncTimeout + base.Slowness(time.Second, 0), base.CloseTimeout},
		{"one whose answer is being judged", func(l *link.Link) { exchange(l); l.Verifying = 1 }, 0, 0},
		{"one that was asked for neighbourhood", asked, askTimeout, base.CloseTimeout},
		{"a slow one that was asked", func(l *link.Link) { asked(l); l.RoundTrip = time.Second }, askTimeout + base.Slowness(time.Second, 0), base.CloseTimeout},
		{"one that was never used", stranger, unusedAfter, base.CloseIdle},
		{"one that was used", func(l *link.Link) { stranger(l); l.Used = l.Opened + 1 }, idleAfter + 1, base.CloseIdle},
	} {
		r := newRig(20)
		r.neighbour(10)
		l := r.neighbour(9)
		test.change(l)
		closes := func(after time.Duration) []base.Close {
			r.Now = l.Opened + after
			for _, l := range r.links.List {
				l.Heard = r.Now
			}
			r.CheckLinks()
			return r.Out.Closes
		}
		if test.after == 0 {
			if list := closes(time.Hour); len(list) > 0 {
				t.Errorf("%s: closes %v", test.name, list)
			}
			continue
		}
		if list := closes(test.after); len(list) > 0 {
			t.Errorf("%s: too early closes %v", test.name, list)
		}
		if list := closes(test.after + 1); len(list) != 1 || list[0].Link != l.ID || list[0].Reason != test.reason {
			t.Errorf("%s: closes %v", test.name, list)
		}
	}
	r := newRig(20)
	r.Ready = false
	l := r.neighbour(9)
	l.Neighbour = false
	r.Now += time.Hour
	l.Heard = r.Now
	if r.CheckLinks(); len(r.Out.Closes) > 0 {
		t.Errorf("while joining closes %v", r.Out.Closes)
	}
}

// TestRandomProbes: a peer without a link is probed now and then, and more often while others are
// found lost. Those that are here again by what others say come first.
func TestRandomProbes(t *testing.T) {
	r := newRig(50)
	other := r.neighbour(10)
	probed := make(map[certs.ID]int)
	probes := func(d time.Duration) (n int) {
		for until := r.Now + d; r.Now < until; r.Now += tick {
			other.Heard = r.Now
			r.Probe()
			for _, p := range r.probes.List {
				probed[p.subject.Record.ID]++
				n++
			}
			r.probes.List = nil
		}
		return n
	}
	const minutes = 30
	every := func(n int, d, every time.Duration) bool {
		return n >= int(d/every)*3/4 && n <= int(d/every)*5/4
	}
	if n := probes(minutes * time.Minute); !every(n, minutes*time.Minute, ProbeEvery) {
		t.Errorf("in %d minutes %d probes", minutes, n)
	}
	if len(probed) < 40 || probed[idOf(10)] > 0 || probed["self"] > 0 {
		t.Errorf("probes %v", probed)
	}
	r.Alarm()
	if n := probes(alarmFor); !every(n, alarmFor, probeAlarmed) {
		t.Errorf("alarmed %d probes", n)
	}
	r.NextProbe = r.Now + time.Hour
	for i := range 8 {
		r.Doubted = append(r.Doubted, r.entry(8+i)) // the third has a link
	}
	for i, want := range []int{doubtedAtOnce - 1, doubtedAtOnce, 2, 0} {
		if n := probes(tick); n != want {
			t.Errorf("in tick %d probes %d of the doubted", i, n)
		}
	}
}

const tick = 250 * time.Millisecond

// TestCameLate: a process that was stopped forgives all silence, doubts itself, and after long does
// not know who has left.
func TestCameLate(t *testing.T) {
	for by, awayLong := range map[time.Duration]int{time.Minute: 0, table.RememberLeft: 0, table.RememberLeft + 1: 1} {
		r := newRig(20)
		l := r.neighbour(9)
		l.Exchange, l.AskedAt = &link.Exchange{}, r.Now
		r.probes.start(r.entry(10), true)
		r.Now += by
		r.CameLate(by)
		r.CheckLinks()
		if r.probes.Pursue(); l.Quiet || len(r.Out.Closes)+len(r.Out.Dials)+len(r.probes.List) > 0 || r.doubt.LastHeard != r.Now {
			t.Errorf("after %v: quiet %v, closes %v, dials %v, %d probes", by, l.Quiet, r.Out.Closes, r.Out.Dials, len(r.probes.List))
		}
		if n := len(happened[AwayLong](r)); n != awayLong || r.doubt.Score != link.WorstHealth {
			t.Errorf("after %v: away for long %d, the score is %d", by, n, r.doubt.Score)
		}
	}
}
