package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rangeOf is a range of broadcasts of a test identity.
func rangeOf(identity uint64, id string, epoch, first, last uint64) *pb.BroadcastRange {
	prefix := certs.MessagePrefix(testIdentity(identity).Key(), epoch, 0)
	return &pb.BroadcastRange{Author: base.TagOf(certs.ID(id)), Run: binary.BigEndian.Uint64(prefix[:]), First: first, Last: last}
}

// wanted returns the ranges that the last input has asked a link for.
func (r *rig) wanted(l base.LinkID) []*pb.BroadcastRange {
	var list []*pb.BroadcastRange
	for i, m := range r.frames() {
		if r.out.Frames[i].Link == l {
			list = append(list, m.GetBroadcastsWanted().GetRanges()...)
		}
	}
	return list
}

// is reports whether a list is this one range.
func is(list []*pb.BroadcastRange, first, last uint64) bool {
	return len(list) == 1 && list[0].GetFirst() == first && list[0].GetLast() == last
}

// TestCatchingUp: what a neighbour has and we lack is pulled, once, and from the next neighbour if
// the first does not answer. It is not flooded: the neighbours are told that we have it.
func TestCatchingUp(t *testing.T) {
	r := newRig(t, nil)
	one, two, three := r.neighbour(1, "one"), r.neighbour(2, "two"), r.neighbour(3, "three")
	r.pass(broadcast.TellAgain + tickEvery)
	r.receive(one, saidBroadcast(1, "one", 1000, 1, "1"))
	position := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 3)}}
	r.receive(one, position)
	if !is(r.wanted(one), 2, 3) {
		t.Fatalf("asks for %v", r.wanted(one))
	}
	r.receive(two, position)
	if len(r.out.Frames) != 0 {
		t.Fatalf("asks twice: %v", r.frames())
	}
	r.now += broadcast.AskAgain
	r.receive(two, position)
	if !is(r.wanted(two), 2, 3) || len(r.wanted(one)) != 0 {
		t.Fatalf("asks for %v", r.wanted(two))
	}
	for n := range uint64(2) {
		r.receive(two, saidBroadcast(1, "one", 1000, n+2, "again"))
		if len(r.texts()) != 1 || len(r.out.Frames) != 0 {
			t.Errorf("%v, %v", r.out.Events, r.frames())
		}
	}
	r.pass(tickEvery)
	if told := r.held(); len(told) != 2 || !is(told[:1], 1, 3) || !is(told[1:], 1, 3) {
		t.Errorf("tells %v", told) // two and three, and not the author
	}
	for i, m := range r.frames() {
		if m.GetBroadcastsHeld() != nil && r.out.Frames[i].Link != two && r.out.Frames[i].Link != three {
			t.Errorf("tells %d", r.out.Frames[i].Link)
		}
	}
	r.receive(three, position)
	if len(r.out.Frames) != 0 {
		t.Errorf("asks for what it has: %v", r.frames())
	}
}

// TestPositionOfAStranger: a new neighbour is told positions once more, since it may not have
// known the author before; broadcasts that it could not ask for come before those that follow.
func TestPositionOfAStranger(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	position := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(5, "five", 1, 2, 3)}}
	r.receive(l, position)
	if len(r.out.Frames) != 0 {
		t.Fatalf("%v", r.frames())
	}
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
	r.receive(l, saidBroadcast(5, "five", 1, 4, "4"))
	if len(r.texts()) != 0 {
		t.Errorf("shows %q", r.texts())
	}
	r.receive(l, position)
	if !is(r.wanted(l), 2, 3) {
		t.Errorf("asks for %v", r.wanted(l))
	}
	r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	r.drain()
	r.neighbour(2, "two")
	if len(r.held()) != 2 {
		t.Errorf("tells its new neighbour %v", r.held())
	}
	if r.pass(broadcast.TellAgain + tickEvery); len(r.held()) < 2 {
		t.Errorf("tells its new neighbour nothing again")
	}
}

// TestBroadcastMissed: broadcasts that an overloaded link has skipped are asked for.
func TestBroadcastMissed(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.receive(one, saidBroadcast(1, "one", 1000, 4, "4"))
	r.pass(broadcast.AskAgain + 2*tickEvery)
	if !is(r.wanted(one), 1, 3) {
		t.Errorf("asks for %v", r.wanted(one))
	}
}

// TestHolesInPositions: a position names the stretches that we have, since nobody can have the
// holes from us; the last of too many takes in the rest. An answer tells it once for each run.
func TestHolesInPositions(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	for n := range uint64(2 * table.MaxStretches) {
		r.receive(one, saidBroadcast(1, "one", 1000, 2*n+1, "x"))
	}
	r.neighbour(2, "two")
	list := r.held()
	if len(list) != table.MaxStretches || !is(list[:1], 1, 1) || !is(list[table.MaxStretches-1:], 2*table.MaxStretches-1, 4*table.MaxStretches-1) {
		t.Errorf("tells %v", list)
	}
	all := &pb.BroadcastsWanted{}
	for n := range uint64(pb.MaxRanges) {
		all.Ranges = append(all.Ranges, rangeOf(1, "one", 1000, n+1, n+1))
	}
	if r.receive(2, all); len(r.held()) != table.MaxStretches {
		t.Errorf("answers with %d ranges", len(r.held()))
	}
}

// TestGuess: who says to have what we lack is asked at once, although we are asking another that
// may have it; but once.
func TestGuess(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.receive(one, saidBroadcast(1, "one", 1000, 4, "4"))
	r.pass(broadcast.AskAgain + 2*tickEvery)
	if !is(r.wanted(one), 1, 3) {
		t.Fatalf("asks for %v", r.wanted(one))
	}
	two := r.neighbour(2, "two")
	position := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 4)}}
	if r.receive(two, position); !is(r.wanted(two), 1, 3) {
		t.Errorf("asks the one that has them for %v", r.wanted(two))
	}
	for range 8 {
		if r.receive(two, position); len(r.wanted(two)) != 0 {
			t.Errorf("asks again for %v", r.wanted(two))
		}
	}
}

// TestLongAnswer: an answer is bounded, and its end says that there is more.
func TestLongAnswer(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	const all = broadcast.AnswerMost + 20
	for i := range all {
		r.c.Step(r.now, Broadcast{Body: fmt.Sprint(i), SentAt: 0})
	}
	r.drain()
	for from := range uint64(2) {
		r.receive(l, &pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{rangeOf(0, "self", 1000, 1+from*broadcast.AnswerMost, all)}})
		sent := r.sentTexts(l)
		if len(sent) != min(broadcast.AnswerMost, all-int(from)*broadcast.AnswerMost) || sent[0] != fmt.Sprint(from*broadcast.AnswerMost) {
			t.Fatalf("sends %d, from %s", len(sent), sent[0])
		}
		if !is(r.held(), 1, all) {
			t.Fatalf("ends with %v", r.held())
		}
	}
	for range 10 * broadcast.PositionBurst {
		r.receive(l, &pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{rangeOf(0, "self", 1000, 1, all)}})
	}
	if len(r.out.Frames) != 0 {
		t.Errorf("answers without end")
	}
}

// TestRestOfAnAnswer: an answer that has brought something is followed by the next question; one
// that has not is not, or two peers that both lack something would ask each other for ever.
func TestRestOfAnAnswer(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	position := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 9)}}
	r.receive(one, position)
	r.receive(one, saidBroadcast(1, "one", 1000, 1, "1"))
	r.receive(one, position)
	if !is(r.wanted(one), 2, 9) {
		t.Errorf("asks for %v", r.wanted(one))
	}
	r.receive(one, position)
	if len(r.out.Frames) != 0 {
		t.Errorf("asks again: %v", r.frames())
	}
}

// TestLyingPositions: a peer that says to have broadcasts it does not have, of any author, makes
// us ask seldom and remember little.
func TestLyingPositions(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	asked := 0
	for i := range uint64(100) {
		lie := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(2, "two", 1000, 1, pb.MaxNumber)}}
		for n := range uint64(pb.MaxRanges - 1) {
			lie.Ranges = append(lie.Ranges, &pb.BroadcastRange{Author: n, Run: i, First: 1, Last: 2})
		}
		r.receive(one, lie)
		asked += len(r.wanted(one)) + len(r.wanted(two))
		if len(r.c.broadcasts.Behind) > 1 {
			t.Fatalf("%d runs are behind", len(r.c.broadcasts.Behind))
		}
		r.pass(100 * time.Millisecond)
		asked += len(r.wanted(one)) + len(r.wanted(two))
	}
	if asked == 0 || asked > 12 {
		t.Errorf("asks %d times in 10 s", asked)
	}
	r.receive(two, saidBroadcast(2, "two", 1000, 1, "1"))
	if !slices.Equal(r.texts(), []string{"1"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(2 * broadcast.HoldFor)
	if len(r.c.broadcasts.Behind) != 0 {
		t.Errorf("%d runs are behind", len(r.c.broadcasts.Behind))
	}
}

// naiveLack is lack by checking one number after the other.
func naiveLack(r *table.Run, from, to uint64) (first, last uint64) {
	first, to = max(from, r.Next), min(to, r.Known)
	for first <= to && r.Has(first) {
		first++
	}
	for last = first; last <= to && !r.Has(last); last++ {
	}
	return first, last - 1
}

// TestLack: the first missing numbers are found, whatever is held back.
func TestLack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &table.Run{Next: rapid.Uint64Range(1, 12).Draw(t, "next"), Heard: rapid.Bool().Draw(t, "heard")}
		for n := range uint64(20) {
			if rapid.IntRange(0, 2).Draw(t, "held") > 0 {
				r.Recent = append(r.Recent, &table.RecentBroadcast{Number: n + 1})
				r.Known = n + 1
			}
		}
		r.Known = max(r.Known, rapid.Uint64Range(0, 30).Draw(t, "known"))
		from := rapid.Uint64Range(0, 24).Draw(t, "from")
		to := from + rapid.Uint64Range(0, 24).Draw(t, "more")
		first, last := naiveLack(r, from, to)
		gotFirst, gotLast := r.Lack(from, to)
		if none := first > last; none != (gotFirst > gotLast) || !none && (gotFirst != first || gotLast != last) {
			t.Fatalf("%d to %d, not %d to %d", gotFirst, gotLast, first, last)
		}
	})
}

// TestRangesSaidOften: a frame's repeated ranges of a run are skipped, and an answer does not
// carry a broadcast twice.
func TestRangesSaidOften(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	often := slices.Repeat([]*pb.BroadcastRange{rangeOf(1, "one", 1000, 2, 5), rangeOf(2, "two", 1000, 1, 9)}, pb.MaxRanges/2)
	if r.receive(two, &pb.BroadcastsHeld{Ranges: often}); len(r.wanted(two)) != 2 {
		t.Errorf("asks for %v", r.wanted(two))
	}
	r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	r.drain()
	r.receive(one, &pb.BroadcastsWanted{Ranges: slices.Repeat([]*pb.BroadcastRange{rangeOf(0, "self", 1000, 1, 1)}, pb.MaxRanges)})
	if n := len(r.sentTexts(one)); n != 1 || len(r.held()) != 1 {
		t.Errorf("one broadcast is sent %d times, with %v", n, r.held())
	}
	list := []*pb.BroadcastRange{{Run: 1, First: 1, Last: 3}, {Run: 2, First: 2, Last: 2}, {Run: 1, First: 3, Last: 9}, {Run: 1, First: 4, Last: 4}}
	if got := table.Rising(list); len(got) != 3 || got[2] != list[3] {
		t.Errorf("rising: %v", got)
	}
}

// TestEndWaitsForLastWords: the end of a peer is not shown while we know that some of its
// broadcasts are missing, for two seconds at most.
func TestEndWaitsForLastWords(t *testing.T) {
	for name, answers := range map[string]bool{"answered": true, "not answered": false} {
		for _, end := range []*pb.Announcement{say(pb.AnnouncementType_LEAVE, 5, "five", 1, 1), say(pb.AnnouncementType_LOST, 5, "five", 1, 0)} {
			r := newRig(t, nil)
			one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
			r.receive(two, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
			r.receive(one, &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(5, "five", 1, 1, 2)}})
			wait := broadcast.LastWordsFor
			if end.Type == pb.AnnouncementType_LOST {
				wait += table.SuspectAlone
			}
			since, left := r.now, base.Left{ID: "five", Farewell: end.Type == pb.AnnouncementType_LEAVE}
			for r.now < since+wait-2*tickEvery {
				if r.receive(two, propagation(end)); len(r.out.Events) != 0 {
					t.Errorf("%s, %v: %v after %v", name, end.Type, r.out.Events, r.now-since)
				}
				if r.pass(tickEvery); len(r.out.Events) != 0 {
					t.Errorf("%s, %v: %v after %v", name, end.Type, r.out.Events, r.now-since)
				}
			}
			for n := uint64(1); n <= 2 && answers; n++ {
				if r.receive(one, saidBroadcast(5, "five", 1, n, "x")); len(r.texts()) != 1 {
					t.Errorf("%s, %v: %v", name, end.Type, r.out.Events)
				}
			}
			if r.pass(4 * tickEvery); len(r.out.Events) != 1 || r.out.Events[0] != left {
				t.Errorf("%s, %v: %v at the end", name, end.Type, r.out.Events)
			}
		}
	}
}

// TestWordsOfTheDeparted: what an author said while we were cut off is shown after its end, at
// once if it said goodbye, else once it has not come back.
func TestWordsOfTheDeparted(t *testing.T) {
	for name, end := range map[string]*pb.Announcement{
		"it has left":   say(pb.AnnouncementType_LEAVE, 5, "five", 1, 1),
		"it is lost":    say(pb.AnnouncementType_LOST, 5, "five", 1, 0),
		"it was unseen": say(pb.AnnouncementType_LEAVE, 5, "five", 2, 1),
	} {
		r := newRig(t, nil)
		one := r.neighbour(1, "one")
		r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
		r.receive(one, propagation(end))
		r.pass(table.SuspectAlone + 2*tickEvery)
		r.receive(one, saidBroadcast(5, "five", r.c.table.Get("five", testIdentity(5).Key()).Record.Epoch, 1, "1"))
		if now := len(r.texts()) == 1; now != (name == "it has left") {
			t.Errorf("%s: %v", name, r.out.Events)
		}
		shown := slices.Clone(r.out.Events)
		if r.pass(broadcast.HoldFor + tickEvery); (len(r.texts()) == 1) != (name == "it is lost") {
			t.Errorf("%s: %v in the end", name, r.out.Events)
		}
		shown = append(shown, r.out.Events...)
		r.pass(2 * time.Second)
		kinds := ""
		for _, e := range append(shown, r.out.Events...) {
			kinds += fmt.Sprintf("%T ", e)
		}
		if want := "base.Joined base.Broadcasted base.Left "; kinds != want && name != "it was unseen" || name == "it was unseen" && kinds != "" {
			t.Errorf("%s: its user sees %s", name, kinds)
		}
	}
}

// TestMemory: the latest broadcasts are remembered, within bounds of number, bytes, author and
// age; one that is held back and has to go is shown.
func TestMemory(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
	r.receive(l, saidBroadcast(5, "five", 1, 2, "2"))
	for range broadcast.MaxOfOne + 100 {
		r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	}
	if n := len(r.c.broadcasts.Recent); n != broadcast.MaxOfOne+1 || r.c.broadcasts.Recent[0].Run.Entry == r.c.table.Self {
		t.Errorf("%d are remembered", n)
	}
	r.drain()
	body := string(make([]byte, pb.MaxBroadcast))
	for range broadcast.MaxOfOneB/pb.MaxBroadcast + 1 {
		r.c.Step(r.now, Broadcast{Body: body, SentAt: 0})
	}
	if r.c.broadcasts.RecentBytes > broadcast.MaxOfOneB+1000 || r.c.broadcasts.Recent[0].Run.Entry == r.c.table.Self {
		t.Errorf("%d bytes are remembered", r.c.broadcasts.RecentBytes)
	}
	r.drain()
	b := r.c.broadcasts.Recent[0]
	r.c.broadcasts.ForgetBroadcast(b)
	r.drain()
	if !slices.Equal(r.texts(), []string{"2"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(broadcast.MemoryFor + time.Second)
	if len(r.c.broadcasts.Recent) != 0 || r.c.broadcasts.RecentBytes != 0 || len(r.c.broadcasts.Runs) != 0 {
		t.Errorf("%d are remembered, %d bytes, %d runs", len(r.c.broadcasts.Recent), r.c.broadcasts.RecentBytes, len(r.c.broadcasts.Runs))
	}
}

// TestCaughtUpLate: a broadcast that a peer catches up on is not for peers that came after it was
// sent, even if they came before that peer had it.
func TestCaughtUpLate(t *testing.T) {
	for _, age := range []time.Duration{0, 5 * time.Second, 15 * time.Second} {
		r := newRig(t, nil)
		one := r.neighbour(1, "one")
		r.pass(20 * time.Second)
		newcomer := r.linked(2, "two") // its run begins here
		r.pass(10 * time.Second)
		late := saidBroadcast(1, "one", 1000, 1, "x")
		late.Age = base.ToAge(age)
		r.receive(one, late)
		r.receive(newcomer, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
		offered := false
		for _, m := range r.frames() {
			offered = offered || m.GetBroadcastsHeld() != nil
		}
		if after := age < 10*time.Second; offered != after {
			t.Errorf("sent %v ago: offered to a peer that came 10 s ago: %v", age, offered)
		}
		if a := r.c.broadcasts.Recent[0]; base.ToAge(r.now-a.Said) != base.ToAge(age) {
			t.Errorf("passed on with the age %v, not %v", r.now-a.Said, age)
		}
	}
}
