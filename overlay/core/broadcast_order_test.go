package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestBroadcastOrder: a broadcast that comes before its predecessor waits for it, but not for
// ever; one that was passed over is never shown. All are passed on at once.
func TestBroadcastOrder(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	say := func(n uint64) {
		r.receive(two, saidBroadcast(1, "one", 1000, n, fmt.Sprint(n)))
		if got := r.sentTexts(one); !slices.Equal(got, []string{fmt.Sprint(n)}) {
			t.Errorf("passes on %q", got)
		}
	}
	expect := func(texts ...string) {
		t.Helper()
		if !slices.Equal(r.texts(), texts) {
			t.Errorf("shows %q, not %q", r.texts(), texts)
		}
	}
	for _, n := range []uint64{3, 2, 5} {
		say(n)
		expect()
	}
	say(1)
	expect("1", "2", "3")
	r.pass(broadcast.HoldFor - time.Second)
	expect()
	r.pass(2 * time.Second)
	expect("5")
	r.receive(two, saidBroadcast(1, "one", 1000, 4, "4"))
	expect()
	if len(r.out.Frames) != 0 {
		t.Errorf("takes a broadcast that it has passed over: %v", r.frames())
	}
	say(6)
	expect("6")
}

// TestLastWords: broadcasts held back are shown before their author is shown as gone, if it said
// goodbye or was restarted; else they wait for it to come back.
func TestLastWords(t *testing.T) {
	for name, then := range map[string]*pb.Announcement{
		"it leaves":       say(pb.AnnouncementType_LEAVE, 5, "five", 1, 1),
		"it is restarted": say(pb.AnnouncementType_JOIN, 5, "five", 2, 0),
		"it is lost":      say(pb.AnnouncementType_LOST, 5, "five", 1, 0),
	} {
		r := newRig(t, nil)
		l := r.neighbour(1, "one")
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
		r.receive(l, saidBroadcast(5, "five", 1, 2, "2"))
		r.receive(l, propagation(then))
		lost := name == "it is lost"
		if then.GetType() != pb.AnnouncementType_JOIN {
			r.pass(table.SuspectAlone + broadcast.LastWordsFor + 2*tickEvery)
		}
		if len(r.out.Events) == 0 || len(r.texts()) == 1 == lost {
			t.Fatalf("%s: %v", name, r.out.Events)
		}
		if _, gone := r.out.Events[0].(base.Left); gone != lost {
			t.Errorf("%s: %v", name, r.out.Events)
		}
		if !lost {
			continue
		}
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 1)))
		r.receive(l, saidBroadcast(5, "five", 1, 1, "1"))
		if !slices.Equal(r.texts(), []string{"1", "2"}) {
			t.Errorf("%s and is back: %v", name, r.out.Events)
		}
	}
}

// TestFirstBroadcast: a newcomer begins with the broadcasts that its neighbour has not had,
// whether the neighbour says so or the first that comes shows it.
func TestFirstBroadcast(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	five := say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)
	five.Broadcasts = 7
	r.receive(l, propagation(five))
	r.receive(l, saidBroadcast(5, "five", 1, 9, "9"))
	if len(r.texts()) != 0 {
		t.Errorf("shows %q", r.texts())
	}
	r.receive(l, saidBroadcast(5, "five", 1, 8, "8"))
	if !slices.Equal(r.texts(), []string{"8", "9"}) {
		t.Errorf("shows %q", r.texts())
	}
	six := say(pb.AnnouncementType_JOIN, 6, "six", 1, 0)
	six.Broadcasts = pb.MaxNumber // a lie
	r.receive(l, propagation(six))
	r.receive(l, saidBroadcast(6, "six", 1, 3, "3"))
	if !slices.Equal(r.texts(), []string{"3"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.receive(l, saidBroadcast(6, "six", 1, 2, "2"))
	if len(r.texts()) != 0 {
		t.Errorf("shows %q", r.texts())
	}
	three := r.neighbour(3, "three")
	r.receive(three, allHeld())
	for _, m := range r.frames() {
		for _, a := range m.GetReconcile().GetAnnouncements() {
			record, err := pb.ParseRecord(a.GetRecord())
			if err != nil || a.GetBroadcasts() != map[string]uint64{"five": 9, "six": 3}[record.GetId()] {
				t.Errorf("says %v: %v", a, err)
			}
		}
	}
}

// TestRunBegunSince: a peer that was here when a run began lacks what its neighbour has had of it,
// if that may still be remembered; a peer that came later does not.
func TestRunBegunSince(t *testing.T) {
	for age, lacks := range map[time.Duration]bool{time.Second: true, 30 * time.Second: false, 2 * broadcast.MemoryFor: false} {
		r := newRig(t, nil)
		r.pass(20 * time.Second)
		if age > broadcast.MemoryFor {
			r.pass(2 * age)
		}
		l := r.neighbour(1, "one")
		five := say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)
		five.Broadcasts, five.Age = 1, base.ToAge(age)
		r.receive(l, propagation(five))
		r.receive(l, saidBroadcast(5, "five", 1, 2, "2"))
		if waits := len(r.texts()) == 0; waits != lacks {
			t.Errorf("begun %v ago: waits for the first: %v", age, waits)
		}
	}
}

// TestSilentAuthor: the missing broadcasts of an author that is called lost are not passed over
// before its end is shown, nor as soon as it is back.
func TestSilentAuthor(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
	r.receive(l, saidBroadcast(5, "five", 1, 2, "2"))
	r.pass(broadcast.HoldFor - tickEvery)
	r.receive(l, propagation(say(pb.AnnouncementType_LOST, 5, "five", 1, 0)))
	r.pass(table.SuspectAlone - tickEvery)
	if len(r.texts()) != 0 {
		t.Fatalf("shows %q", r.texts())
	}
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 1)))
	r.pass(2 * tickEvery)
	r.receive(l, saidBroadcast(5, "five", 1, 1, "1"))
	if !slices.Equal(r.texts(), []string{"1", "2"}) {
		t.Errorf("shows %q", r.texts())
	}
}
