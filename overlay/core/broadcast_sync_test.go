package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/pb"
)

// rangeOf is a range of broadcasts of a test identity.
func rangeOf(identity uint64, id string, epoch, first, last uint64) *pb.BroadcastRange {
	prefix := certs.MessagePrefix(testIdentity(identity).Key(), epoch, 0)
	return &pb.BroadcastRange{Author: tagOf(certs.ID(id)), Run: binary.BigEndian.Uint64(prefix[:]), First: first, Last: last}
}

// wanted returns the ranges that the last input has asked a link for.
func (r *rig) wanted(l LinkID) []*pb.BroadcastRange {
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

// TestCatchingUp: missing broadcasts that are offered are asked for, once, and of the next
// neighbour if the first does not answer. They are not flooded but offered on.
func TestCatchingUp(t *testing.T) {
	r := newRig(t, nil)
	one, two, three := r.neighbour(1, "one"), r.neighbour(2, "two"), r.neighbour(3, "three")
	r.receive(one, saidBroadcast(1, "one", 1000, 1, "1"))
	offer := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 3)}}
	r.receive(one, offer)
	if !is(r.wanted(one), 2, 3) {
		t.Fatalf("asks for %v", r.wanted(one))
	}
	r.receive(two, offer)
	if len(r.out.Frames) != 0 {
		t.Fatalf("asks twice: %v", r.frames())
	}
	r.pass(askAgain + tickEvery)
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
	if offer := r.held(); len(offer) != 2 || !is(offer[:1], 1, 3) || !is(offer[1:], 1, 3) {
		t.Errorf("offers %v", offer) // to two and three, and not to the author
	}
	for i, m := range r.frames() {
		if m.GetBroadcastsHeld() != nil && r.out.Frames[i].Link != two && r.out.Frames[i].Link != three {
			t.Errorf("offers to %d", r.out.Frames[i].Link)
		}
	}
	r.receive(three, offer)
	if len(r.out.Frames) != 0 {
		t.Errorf("asks for what it has: %v", r.frames())
	}
}

// TestOfferOfAStranger: broadcasts offered of an unknown peer are asked for when the peer becomes
// known, and come before those that it sends then.
func TestOfferOfAStranger(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.receive(l, &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(5, "five", 1, 2, 3)}})
	if len(r.out.Frames) != 0 {
		t.Fatalf("%v", r.frames())
	}
	five := say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)
	five.Broadcasts = 3
	r.receive(l, propagation(five))
	r.receive(l, saidBroadcast(5, "five", 1, 4, "4"))
	if len(r.texts()) != 0 {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(tickEvery)
	if !is(r.wanted(l), 2, 3) {
		t.Errorf("asks for %v", r.wanted(l))
	}
}

// TestBroadcastMissed: broadcasts that an overloaded link has skipped are asked for.
func TestBroadcastMissed(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.receive(one, saidBroadcast(1, "one", 1000, 4, "4"))
	r.pass(missAfter + 2*tickEvery)
	if !is(r.wanted(one), 1, 3) {
		t.Errorf("asks for %v", r.wanted(one))
	}
}

// TestLongAnswer: an answer is bounded, and the rest is offered once more.
func TestLongAnswer(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	const all = answerMost + 20
	for i := range all {
		r.c.Step(r.now, Broadcast{Body: fmt.Sprint(i), SentAt: 0})
	}
	r.drain()
	want := []*pb.BroadcastRange{rangeOf(0, "self", 1000, 1, all)}
	for from := range 2 {
		r.receive(l, &pb.BroadcastsWanted{Ranges: want})
		sent := r.sentTexts(l)
		if len(sent) != min(answerMost, all-from*answerMost) || sent[0] != fmt.Sprint(from*answerMost) {
			t.Fatalf("sends %d, from %s", len(sent), sent[0])
		}
		want = r.held()
		if from == 0 && !is(want, answerMost+1, all) {
			t.Fatalf("offers %v", want)
		}
	}
	if len(want) != 0 {
		t.Errorf("offers %v", want)
	}
	for range 10 * summaryBurst {
		r.receive(l, &pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{rangeOf(0, "self", 1000, 1, all)}})
	}
	if len(r.out.Frames) != 0 {
		t.Errorf("answers without end")
	}
}

// TestLyingOffers: a peer that offers broadcasts it does not have, of any author, makes us ask
// seldom and remember little.
func TestLyingOffers(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	asked := 0
	for i := range uint64(100) {
		lie := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(2, "two", 1000, 1, pb.MaxNumber)}}
		for n := range uint64(pb.MaxRanges - 1) {
			lie.Ranges = append(lie.Ranges, &pb.BroadcastRange{Author: n, Run: i, First: 1, Last: 2})
		}
		r.receive(one, lie)
		asked += len(r.wanted(one))
		if len(r.c.broadcasts.offers) > maxOffers {
			t.Fatalf("%d offers", len(r.c.broadcasts.offers))
		}
		r.pass(100 * time.Millisecond)
		asked += len(r.wanted(one))
	}
	if asked == 0 || asked > 110 {
		t.Errorf("asks %d times in 10 s", asked)
	}
	r.receive(two, saidBroadcast(2, "two", 1000, 1, "1"))
	if !slices.Equal(r.texts(), []string{"1"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(2 * offerFor)
	if len(r.c.broadcasts.offers) != 0 {
		t.Errorf("%d offers", len(r.c.broadcasts.offers))
	}
}

// naiveLacking is lacking by checking one number after the other.
func naiveLacking(r *run, o *pb.BroadcastRange) (first, last uint64) {
	first, last = max(o.GetFirst(), r.next), o.GetLast()
	for first <= last && r.has(first) {
		first++
	}
	for first <= last && r.has(last) {
		last--
	}
	return first, last
}

// TestLacking: the first and the last missing number are found by examining few of those held
// back.
func TestLacking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &run{next: rapid.Uint64Range(1, 12).Draw(t, "next"), heard: rapid.Bool().Draw(t, "heard")}
		for n := range uint64(20) {
			if rapid.IntRange(0, 2).Draw(t, "held") > 0 {
				r.recent = append(r.recent, &recentBroadcast{number: n + 1})
			}
		}
		o := &pb.BroadcastRange{First: rapid.Uint64Range(1, 24).Draw(t, "first")}
		o.Last = o.First + rapid.Uint64Range(0, 24).Draw(t, "more")
		first, last := naiveLacking(r, o)
		got := r.lacking(o)
		if first > last && got != nil || first <= last && (got.GetFirst() != first || got.GetLast() != last) {
			t.Fatalf("%v, not %d to %d", got, first, last)
		}
	})
	looks := 0
	if n := inARow(maxOfOne, func(i int) uint64 { looks++; return uint64(i) }); n != maxOfOne || looks > 12 {
		t.Errorf("%d in a row, after %d looks", n, looks)
	}
}

// TestOffersSaidOften: a frame's repeated offers of the same broadcasts are skipped, and an
// answer does not carry a broadcast twice.
func TestOffersSaidOften(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	r.receive(two, &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 9)}})
	var often []*pb.BroadcastRange
	for i := range uint64(pb.MaxRanges) {
		often = append(often, rangeOf(1, "one", 1000, 2+i%2, 5), rangeOf(3, "three", 1000, 1, 1+i))
	}
	if r.receive(one, &pb.BroadcastsHeld{Ranges: often[:pb.MaxRanges]}); len(r.c.broadcasts.offers) != 2 {
		t.Errorf("%d offers are remembered", len(r.c.broadcasts.offers))
	}
	r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	r.drain()
	r.receive(one, &pb.BroadcastsWanted{Ranges: slices.Repeat([]*pb.BroadcastRange{rangeOf(0, "self", 1000, 1, 1)}, pb.MaxRanges)})
	if n := len(r.sentTexts(one)); n != 1 {
		t.Errorf("one broadcast is sent %d times", n)
	}
	list := []*pb.BroadcastRange{{Run: 1, First: 1, Last: 3}, {Run: 2, First: 2, Last: 2}, {Run: 1, First: 3, Last: 9}, {Run: 1, First: 4, Last: 4}}
	if got := rising(list); len(got) != 3 || got[2] != list[3] {
		t.Errorf("rising: %v", got)
	}
}

// TestManyOffers: some of the offers that wait are examined in each tick, in turn; a new one is
// used at once.
func TestManyOffers(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	for i := range uint64(maxOffers / pb.MaxRanges) {
		m := &pb.BroadcastsHeld{}
		for n := range uint64(pb.MaxRanges) {
			m.Ranges = append(m.Ranges, &pb.BroadcastRange{Author: n, Run: i*pb.MaxRanges + n + 1, First: 1, Last: 1})
		}
		r.receive(l, m)
	}
	for i := range maxOffers/offersAtOnce + 1 {
		if first := r.c.broadcasts.offers[0].what.GetRun(); len(r.c.broadcasts.offers) != maxOffers || first != uint64(i*offersAtOnce%maxOffers+1) {
			t.Fatalf("after %d ticks %d offers, of which %d comes next", i, len(r.c.broadcasts.offers), first)
		}
		r.c.nextTick = r.now
		r.c.Step(r.now, Tick{})
	}
	r.receive(l, &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(1, "one", 1000, 1, 3)}})
	if !is(r.wanted(l), 1, 3) {
		t.Errorf("asks for %v", r.wanted(l))
	}
}

// TestLeaveWaitsForLastWords: a LEAVE is held back while a neighbour is asked for the author's
// earlier broadcasts, for two seconds at most, and once.
func TestLeaveWaitsForLastWords(t *testing.T) {
	for name, answers := range map[string]bool{"answered": true, "not answered": false} {
		r := newRig(t, nil)
		one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
		r.receive(two, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)))
		offer := &pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{rangeOf(5, "five", 1, 1, 2)}}
		r.receive(one, offer)
		for range 2 {
			if r.receive(two, propagation(say(pb.AnnouncementType_LEAVE, 5, "five", 1, 1))); len(r.out.Events) != 0 {
				t.Errorf("%s: %v", name, r.out.Events)
			}
		}
		for n := uint64(1); n <= 2 && answers; n++ {
			if r.receive(one, saidBroadcast(5, "five", 1, n, "x")); len(r.texts()) != 1 {
				t.Errorf("%s: %v", name, r.out.Events)
			}
		}
		for since := r.now; !answers && r.now < since+askAgain-tickEvery; r.receive(two, offer) {
			if r.pass(tickEvery / 2); len(r.out.Events) != 0 {
				t.Errorf("%s: %v after %v", name, r.out.Events, r.now-since)
			}
		}
		if r.pass(2 * tickEvery); len(r.out.Events) != 1 || r.out.Events[0] != (Left{"five", true}) || len(r.c.broadcasts.leaves) != 0 {
			t.Errorf("%s: %v at the end", name, r.out.Events)
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
	for range maxOfOne + 100 {
		r.c.Step(r.now, Broadcast{Body: "x", SentAt: 0})
	}
	if n := len(r.c.broadcasts.recent); n != maxOfOne+1 || r.c.broadcasts.recent[0].run.entry == r.c.table.self {
		t.Errorf("%d are remembered", n)
	}
	r.drain()
	body := string(make([]byte, pb.MaxBroadcast))
	for range maxOfOneB/pb.MaxBroadcast + 1 {
		r.c.Step(r.now, Broadcast{Body: body, SentAt: 0})
	}
	if r.c.broadcasts.recentBytes > maxOfOneB+1000 || r.c.broadcasts.recent[0].run.entry == r.c.table.self {
		t.Errorf("%d bytes are remembered", r.c.broadcasts.recentBytes)
	}
	r.drain()
	b := r.c.broadcasts.recent[0]
	r.c.broadcasts.forgetBroadcast(b)
	r.drain()
	if !slices.Equal(r.texts(), []string{"2"}) {
		t.Errorf("shows %q", r.texts())
	}
	r.pass(memoryFor + time.Second)
	if len(r.c.broadcasts.recent) != 0 || r.c.broadcasts.recentBytes != 0 || len(r.c.broadcasts.runs) != 0 {
		t.Errorf("%d are remembered, %d bytes, %d runs", len(r.c.broadcasts.recent), r.c.broadcasts.recentBytes, len(r.c.broadcasts.runs))
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
		late.Age = toAge(age)
		r.receive(one, late)
		r.receive(newcomer, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
		offered := false
		for _, m := range r.frames() {
			offered = offered || m.GetBroadcastsHeld() != nil
		}
		if after := age < 10*time.Second; offered != after {
			t.Errorf("sent %v ago: offered to a peer that came 10 s ago: %v", age, offered)
		}
		if a := r.c.broadcasts.recent[0]; toAge(r.now-a.said) != toAge(age) {
			t.Errorf("passed on with the age %v, not %v", r.now-a.said, age)
		}
	}
}
