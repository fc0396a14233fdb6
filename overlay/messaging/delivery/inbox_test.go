package delivery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/pb"
)

// sent is the message at a position.
func sent(epoch, counter uint64) *pb.Message {
	return &pb.Message{Id: append(make([]byte, 15), byte(counter)), Epoch: epoch, Content: fmt.Sprint(epoch, ".", counter)}
}

func parcel(after Position, messages ...*pb.Message) *Parcel {
	return &Parcel{Messages: messages, After: after, Answer: "alice"}
}

// stamp is that of the message at a position, of a run without a nonce.
func stamp(epoch, counter uint64) Stamp { return StampOf(sent(epoch, counter)) }

// shownAll has everything up to p shown.
func shownAll(p Position) Inbox {
	var in Inbox
	in.Show(stamp(p.Epoch, p.Counter))
	return in
}

// TestInboxJudges: which messages are new, repeats or too late, given how far was shown.
func TestInboxJudges(t *testing.T) {
	twoRuns := shownAll(Position{1, 5})
	twoRuns.Show(stamp(2, 3))
	passed := shownAll(Position{1, 5})
	passed.PassOver(Gap{From: Position{1, 5}, To: Position{1, 7}})
	const repeat, fresh = "a repeat", "fresh"
	for _, test := range []struct {
		name string
		in   Inbox
		at   Position
		want string
	}{
		{"the first", Inbox{}, Position{1, 1}, fresh},
		{"the next", shownAll(Position{1, 5}), Position{1, 6}, fresh},
		{"a repeat", shownAll(Position{1, 5}), Position{1, 5}, repeat},
		{"an older one", shownAll(Position{1, 5}), Position{1, 2}, repeat},
		{"of the next run", shownAll(Position{1, 5}), Position{2, 1}, fresh},
		{"a repeat from the run before", twoRuns, Position{1, 5}, repeat},
		{"late, from the run before", twoRuns, Position{1, 6}, TooLate},
		{"from a run in between", twoRuns, Position{1, 99}, TooLate},
		{"of a run before the first", shownAll(Position{7, 1}), Position{6, 1}, TooLate},
		{"passed over", passed, Position{1, 7}, TooLate},
		{"behind what was passed over", passed, Position{1, 8}, fresh},
		{"before what was passed over", passed, Position{1, 4}, repeat},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := test.in
			again := NewInbox(in.Mark()) // as after a restart
			for _, in := range []*Inbox{&in, &again} {
				if got := verdict(in, stamp(test.at.Epoch, test.at.Counter)); got != test.want {
					t.Errorf("it is %s, not %s", got, test.want)
				}
			}
		})
	}
}

// verdict names Judge's decision.
func verdict(in *Inbox, s Stamp) string {
	fresh, refused := in.Judge(s)
	switch {
	case fresh:
		return "fresh"
	case refused != "":
		return refused
	}
	return "a repeat"
}

// ofRun is the stamp of a message of another run of the epoch.
func ofRun(nonce, epoch, counter uint64) Stamp {
	m := sent(epoch, counter)
	m.Nonce, m.Content = nonce, fmt.Sprint(nonce, m.Content)
	return StampOf(m)
}

// TestInboxKnowsRuns: a message of another run under a number that was used does not pass for
// a repeat, and no message that was shown is refused for it.
func TestInboxKnowsRuns(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		var in Inbox
		take := func(list ...Stamp) {
			t.Helper()
			for _, s := range list {
				if got := verdict(&in, s); got != "fresh" {
					t.Errorf("%v is %s", s, got)
				}
				in.Show(s)
				if restarts {
					in = NewInbox(in.Mark())
				}
			}
		}
		expect := func(want string, list ...Stamp) {
			t.Helper()
			for _, s := range list {
				if got := verdict(&in, s); got != want {
					t.Errorf("%v is %s, not %s", s, got, want)
				}
			}
		}
		take(ofRun(7, 1, 1), ofRun(7, 1, 2), ofRun(7, 1, 4))
		expect("a repeat", ofRun(7, 1, 2), ofRun(7, 1, 4))
		expect(Reused, ofRun(8, 1, 2), ofRun(8, 1, 4), stamp(1, 4))
		other := sent(1, 4)
		other.Nonce = 7
		expect(Reused, StampOf(other)) // another text
		other = sent(1, 4)
		other.Nonce, other.Content, other.SentAt = 7, fmt.Sprint(7, other.Content), 1
		expect(Reused, StampOf(other)) // the same one, later
		if !restarts {
			expect(TooLate, ofRun(7, 1, 3)) // it was overtaken
		}
		take(ofRun(8, 1, 5)) // and so the run before is over
		expect("a repeat", ofRun(7, 1, 4), ofRun(8, 1, 5))
		expect(Reused, ofRun(7, 1, 5), ofRun(7, 1, 6), ofRun(8, 1, 4), ofRun(8, 1, 1))
		take(ofRun(9, 2, 1))
		expect("a repeat", ofRun(7, 1, 4), ofRun(8, 1, 5), ofRun(9, 2, 1))
		expect(Reused, ofRun(7, 1, 5), ofRun(7, 1, 9), ofRun(6, 1, 1), ofRun(8, 2, 1))
		expect(TooLate, ofRun(5, 0, 9))
		for i := range uint64(MaxRuns) { // as many, and the first are forgotten
			take(ofRun(100+i, 3+i, 1))
		}
		expect(TooLate, ofRun(7, 1, 4))
		expect("a repeat", ofRun(100, 3, 1))
	}
}

// TestInboxRemembersLately: recent messages are recognized by their content, and one with
// other content does not pass for a repeat.
func TestInboxRemembersLately(t *testing.T) {
	var in Inbox
	if got := verdict(&in, stamp(1, 0)); got != Impossible {
		t.Errorf("the number 0 is %s", got)
	}
	for i := range uint64(100) {
		in.Take(stamp(1, 2*i+2))
	}
	for i := range uint64(100) {
		want := "a repeat"
		if got := verdict(&in, stamp(1, 2*i+2)); got != want {
			t.Errorf("%d is %s", 2*i+2, got)
		}
		if i >= 100-maxLately {
			want = Reused
		}
		other := stamp(1, 2*i+2)
		other.Hash++
		if got := verdict(&in, other); got != want {
			t.Errorf("another %d is %s", 2*i+2, got)
		}
		if want == Reused && i < 99 {
			if got := verdict(&in, stamp(1, 2*i+3)); got != TooLate {
				t.Errorf("%d, which was overtaken, is %s", 2*i+3, got)
			}
		}
	}
}

// TestInboxHolds: parcels wait for the messages before them, in bounded memory.
func TestInboxHolds(t *testing.T) {
	in := shownAll(Position{1, 1})
	third, second := parcel(Position{1, 2}, sent(1, 3)), parcel(Position{1, 1}, sent(1, 2))
	if in.Offer(third, 0, true) || in.Next() != nil {
		t.Fatal("3 does not wait for 2")
	}
	if !in.Offer(second, 0, true) {
		t.Fatal("2 waits")
	}
	in.Take(stamp(1, 2))
	if in.Owe(second) {
		t.Error("a receipt before anything is shown")
	}
	if in.Next() != third || in.Next() != nil {
		t.Fatal("3 still waits")
	}
	in.Take(stamp(1, 3))
	in.Owe(third)
	if due := in.Show(stamp(1, 2)); len(due) != 1 || due[0] != second {
		t.Errorf("due when 2 is shown: %v", due)
	}
	if due := in.Show(stamp(1, 3)); len(due) != 1 || due[0] != third {
		t.Errorf("due when 3 is shown: %v", due)
	}
	if !in.Owe(second) || !in.Idle() {
		t.Error("the receipt of a repeat is not due at once")
	}
	for i := range 10 * maxHeld {
		in.Offer(parcel(Position{1, uint64(10 + i)}, sent(1, uint64(11+i))), 0, true)
	}
	if len(in.held) != maxHeld {
		t.Errorf("%d parcels are held", len(in.held))
	}
}

// TestInboxPassesOver: a missing message is given up after a while, and not before.
func TestInboxPassesOver(t *testing.T) {
	in := shownAll(Position{1, 1})
	p := parcel(Position{1, 4}, sent(1, 5))
	in.Offer(p, 10*time.Minute, true)
	if g, ok := in.Overdue(10 * time.Minute); ok {
		t.Errorf("given up at once: %v", g)
	}
	g, ok := in.Overdue(10*time.Minute + 1)
	if want := (Gap{From: Position{1, 1}, To: Position{1, 4}}); !ok || g != want {
		t.Fatalf("the gap is %v, %v", g, ok)
	}
	in.PassOver(g)
	if in.Next() != p {
		t.Error("what waited still waits")
	}
	if got := verdict(&in, stamp(1, 3)); got != TooLate {
		t.Errorf("what was given up is %s", got)
	}
	for i := range uint64(3 * MaxGaps) {
		in.PassOver(Gap{From: Position{2, 2 * i}, To: Position{2, 2*i + 1}})
	}
	if len(in.gaps) != MaxGaps {
		t.Errorf("%d gaps", len(in.gaps))
	}
}

// TestInboxKeepsWhatIsInTheHand: giving up on a message that one parcel has waited for too
// long does not refuse parcels that wait for less.
func TestInboxKeepsWhatIsInTheHand(t *testing.T) {
	in := shownAll(Position{1, 3})
	in.Offer(parcel(Position{1, 9}, sent(1, 10)), 0, true)
	in.Offer(parcel(Position{1, 5}, sent(1, 6), sent(1, 7)), 30*time.Minute, true)
	g, ok := in.Overdue(time.Minute)
	in.PassOver(g)
	if !ok || verdict(&in, stamp(1, 6)) != "fresh" || verdict(&in, stamp(1, 5)) != TooLate {
		t.Errorf("the gap is %v", g)
	}
	in.Postpone(time.Hour)
	if g, ok := in.Overdue(time.Hour); ok {
		t.Errorf("given up although it was postponed: %v", g)
	}
}

// TestInboxShownBeforeTaken: the program may be quicker than the goroutine that gives it a
// message.
func TestInboxShownBeforeTaken(t *testing.T) {
	in := shownAll(Position{1, 5})
	in.Show(stamp(2, 1))
	in.Take(stamp(2, 1))
	if got := verdict(&in, stamp(1, 6)); got != TooLate {
		t.Errorf("a late message of the run before is %s", got)
	}
	if got := verdict(&in, stamp(2, 1)); got != "a repeat" {
		t.Errorf("it is %s", got)
	}
}

// TestOutboxWays: each lane is at its own message, and a receipt that comes by one is good for
// all.
func TestOutboxWays(t *testing.T) {
	var o Outbox
	for i := range uint64(6) {
		o.Add(&Outgoing{Position: Position{1, i + 1}, Body: "12345"})
	}
	counters := func(list []*Outgoing) (c []uint64) {
		for _, m := range list {
			c = append(c, m.Counter)
		}
		return c
	}
	wide := Limits{Messages: 2, Bytes: 100, FlightBytes: 100, Flight: 100}
	for _, want := range [][]uint64{{1, 2}, {3, 4}} {
		if batch, _ := o.Take(Direct, wide); !slices.Equal(counters(batch), want) {
			t.Errorf("directly go %v, not %v", counters(batch), want)
		}
	}
	batch, after := o.Take(Relayed, wide)
	if !slices.Equal(counters(batch), []uint64{1, 2}) || after != (Position{}) {
		t.Errorf("over others go %v after %v", counters(batch), after)
	}
	if m := o.Settle(Position{1, 1}); m == nil || o.Settle(Position{1, 1}) != nil {
		t.Error("1 is settled once")
	}
	o.Settle(Position{1, 3})
	if o.Flying(Direct) != 2 || o.Flying(Relayed) != 1 || o.Len() != 4 || o.Bytes() != 20 {
		t.Errorf("%d and %d are on their way of %d", o.Flying(Direct), o.Flying(Relayed), o.Len())
	}
	batch, after = o.Take(Relayed, wide)
	if !slices.Equal(counters(batch), []uint64{4, 5}) || after != (Position{1, 2}) {
		t.Errorf("over others go %v after %v", counters(batch), after)
	}
	o.Rewind(Relayed)
	if batch, after = o.Take(Relayed, wide); !slices.Equal(counters(batch), []uint64{2, 4}) || after != (Position{}) {
		t.Errorf("over others go again %v after %v", counters(batch), after)
	}
	batch, _ = o.Take(Left, wide)
	o.Untake(Left, batch[1:]) // 4 can't be left with others now
	if o.Flying(Left) != 1 || o.FlyingBytes(Left) != 5 {
		t.Errorf("%d of %d bytes are being left", o.Flying(Left), o.FlyingBytes(Left))
	}
	if batch, after = o.Take(Left, wide); !slices.Equal(counters(batch), []uint64{4, 5}) || after != (Position{1, 2}) {
		t.Errorf("next left are %v after %v", counters(batch), after)
	}
	o.Rewind(Left)
	if batch, _ := o.Take(Direct, Limits{Messages: 9, Bytes: 9, FlightBytes: 12, Flight: 9}); batch != nil {
		t.Errorf("above the limit go %v", counters(batch))
	}
	if expired := o.Expire(time.Hour); len(expired) != 0 {
		t.Error("what is being written expires")
	}
	o.Rewind(Direct)
	if expired := o.Expire(time.Hour); len(expired) != 4 || o.Len() != 0 || o.Bytes() != 0 || o.Flying(Relayed) != 0 {
		t.Errorf("%d expire", len(expired))
	}
}

// TestInboxIgnores: a message of an ignored sender is refused, and again when it is repeated, also
// after a restart and when the sender is not ignored any more. Its receipt waits for the disk, and
// those before and behind it are not affected.
func TestInboxIgnores(t *testing.T) {
	in := shownAll(Position{1, 3})
	in.Take(stamp(1, 4)) // the program has not shown it
	both := parcel(Position{1, 3}, sent(1, 4), sent(1, 5))
	both.Refuse(1, Ignored)
	in.Ignore(Position{1, 5})
	if in.Owe(both) || in.Due(Position{1, 5}, Ignored) {
		t.Error("a receipt before anything is stored")
	}
	in.Ignore(Position{1, 6})
	gaps, upTo, ok := in.ToKeep()
	if want := (Gap{Position{1, 4}, Position{1, 6}, true}); !ok || len(gaps) != 1 || gaps[0] != want {
		t.Fatalf("to be stored are %v, %v", gaps, ok)
	}
	in.Ignore(Position{2, 1}) // meanwhile, of the next run
	if due := in.Keep(upTo); len(due) != 0 || !in.Due(Position{1, 6}, Ignored) || in.Due(Position{2, 1}, Ignored) {
		t.Errorf("due when the first are stored: %v", due)
	}
	if due := in.Show(stamp(1, 4)); len(due) != 1 || due[0] != both || both.refusal(0) != "" || both.refusal(1) != Ignored {
		t.Errorf("due when 4 is shown: %v", due)
	}
	if in.Idle() {
		t.Error("it can be forgotten before all is stored")
	}
	gaps, upTo, ok = in.ToKeep()
	in.Keep(upTo)
	if want := (Gap{Position{1, 4}, Position{2, 1}, true}); !ok || len(gaps) != 1 || gaps[0] != want || !in.Idle() {
		t.Errorf("stored are %v, %v, idle %v", gaps, ok, in.Idle())
	}
	if _, _, ok := in.ToKeep(); ok {
		t.Error("it is to be stored again")
	}
	again := NewInbox(in.Mark())
	for _, in := range []*Inbox{&in, &again} {
		for at, want := range map[Position]string{{1, 3}: "a repeat", {1, 4}: "a repeat", {1, 5}: Ignored, {1, 6}: Ignored, {2, 1}: Ignored, {2, 2}: "fresh"} {
			if got := verdict(in, stamp(at.Epoch, at.Counter)); got != want {
				t.Errorf("%v is %s, not %s", at, got, want)
			}
		}
		if !in.Idle() || !in.Due(Position{2, 1}, Ignored) {
			t.Error("something still waits")
		}
		in.Show(stamp(2, 2))
		in.Ignore(Position{2, 3})
		if in.Idle() || in.Due(Position{2, 3}, Ignored) || len(in.gaps) != 2 || verdict(in, stamp(2, 2)) != "a repeat" {
			t.Errorf("ignored again: %v", in.gaps)
		}
	}
}

// TestInboxIgnoresBehind: what was refused is stored before what came earlier is shown, or later.
func TestInboxIgnoresBehind(t *testing.T) {
	in := shownAll(Position{1, 3})
	in.Take(stamp(1, 4))
	p := parcel(Position{1, 4}, sent(1, 5))
	p.Refuse(0, Ignored)
	in.Ignore(Position{1, 5})
	if in.Owe(p) {
		t.Error("its receipt is due at once")
	}
	if due := in.Keep(Position{1, 5}); len(due) != 1 || in.Idle() {
		t.Errorf("due when that is stored: %v, and nothing waits: %v", due, in.Idle())
	}
	if in.Show(stamp(1, 4)); !in.Idle() {
		t.Error("something still waits")
	}
}
