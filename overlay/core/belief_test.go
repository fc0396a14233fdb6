package core

import (
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

func mustRecord(t *testing.T, a *pb.Announcement) *pb.Record {
	t.Helper()
	r, err := pb.ParseRecord(a.GetRecord())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBelief: a LOST takes the testimonies of two members. One that is not believed changes
// nothing, is not blamed on the peer that passes it on, and is sent to the accused.
func TestBelief(t *testing.T) {
	for _, test := range []struct {
		name      string
		witnesses []uint64 // identities 31 and 32 are not of members
		ignored   certs.ID
		believed  bool
	}{
		{"two members", []uint64{21, 22}, "", true},
		{"two members and a stranger", []uint64{21, 31, 22}, "", true},
		{"a member and a stranger", []uint64{21, 31}, "", false},
		{"two strangers", []uint64{31, 32}, "", false},
		{"a member that is not believed", []uint64{21, 22}, "a", false},
		{"enough without that one", []uint64{21, 22, 23}, "a", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := watching(t)
			if test.ignored != "" {
				w.c.table.of(test.ignored)[0].with().ignoredTill = w.now + time.Second
			}
			a := say(pb.AnnouncementType_LOST, 5, "subject", 1000, 0)
			a.Testimonies = nil
			for _, i := range test.witnesses {
				a.Testimonies = append(a.Testimonies, testimony(i, string(rune('a'+i-21)), 5, 1000, 0))
			}
			w.receive(w.links["e"], propagation(a))
			if e := w.c.table.of("subject")[0]; e.alive() == test.believed || len(w.lost()) > 0 != test.believed {
				t.Errorf("held as %v, passed on to %d", e.state, len(w.lost()))
			}
			if len(w.out.Closes) > 0 {
				t.Errorf("closes %v", w.out.Closes)
			}
			told := 0
			for i, m := range w.frames() {
				if m.GetRouted().GetAccusation() != nil && w.out.Frames[i].Link == w.subject {
					told++
				}
			}
			if (told == 1) == test.believed {
				t.Errorf("tells the accused %d times", told)
			}
		})
	}
}

// TestToldOfAnAccusation: an accused peer refutes, if it is an accusation that others may
// believe.
func TestToldOfAnAccusation(t *testing.T) {
	accused := func(a *pb.Announcement) *pb.Routed {
		return routedFrom("one", &pb.Routed{Content: &pb.Routed_Accusation{Accusation: a}})
	}
	forged := say(pb.AnnouncementType_LOST, 0, "self", 1000, 0)
	forged.Testimonies[1].Signature[0] ^= 1
	alone := say(pb.AnnouncementType_LOST, 0, "self", 1000, 0)
	alone.Testimonies = alone.Testimonies[:1]
	for name, test := range map[string]struct {
		a       *pb.Announcement
		refutes bool
	}{
		"ourselves":                {say(pb.AnnouncementType_LOST, 0, "self", 1000, 0), true},
		"forged":                   {forged, false},
		"by one":                   {alone, false},
		"somebody else":            {say(pb.AnnouncementType_LOST, 2, "two", 1000, 0), false},
		"ourselves in another run": {say(pb.AnnouncementType_LOST, 0, "self", 999, 7), false},
	} {
		r := newRig(t, nil)
		one := r.neighbour(1, "one")
		r.neighbour(2, "two")
		r.receive(one, accused(test.a))
		if refutes := r.c.table.self.record.Seq > 0; refutes != test.refutes || len(r.out.Closes) > 0 || !r.c.table.self.alive() {
			t.Errorf("%s: refutes %v, closes %v", name, refutes, r.out.Closes)
		}
		if n := len(r.out.Frames); test.refutes && n != 2 || !test.refutes && n != 0 {
			t.Errorf("%s: sends %v", name, r.frames())
		}
	}
}

// TestAccuserIsIgnored: a member whose testimony was refuted at once several times is not
// believed for a while, and then counts again. Slower refutations do not count against it, since
// the peer may have been cut off.
func TestAccuserIsIgnored(t *testing.T) {
	for _, test := range []struct {
		name    string
		after   time.Duration // the refutation
		times   int
		ignored bool
	}{
		{"often, at once", 200 * time.Millisecond, refutedOften, true},
		{"once less, at once", 200 * time.Millisecond, refutedOften - 1, false},
		{"often, late", refutedAtOnce + time.Second, refutedOften, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			l := r.neighbour(1, "one")
			r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
			seq := uint32(0)
			lost := func() bool {
				r.receive(l, propagation(say(pb.AnnouncementType_LOST, 5, "five", 10, seq)))
				return !r.c.table.of("five")[0].alive()
			}
			for range test.times {
				if !lost() {
					t.Fatal("not believed before")
				}
				r.pass(test.after)
				seq++
				r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, seq)))
				r.pass(time.Second)
			}
			if lost() == test.ignored {
				t.Fatalf("then believed: %v", !test.ignored)
			}
			if test.ignored {
				r.now += ignoreFor
				if !lost() {
					t.Error("never believed again")
				}
			}
		})
	}
}
