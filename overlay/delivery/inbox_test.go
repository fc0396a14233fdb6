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

// shownAll has everything up to p shown.
func shownAll(p Position) Inbox {
	var in Inbox
	in.Take(p)
	in.Show(p)
	return in
}

// TestInboxJudges: what is new, a repeat or too late when so much has been shown.
func TestInboxJudges(t *testing.T) {
	twoRuns := shownAll(Position{1, 5})
	twoRuns.Take(Position{2, 3})
	twoRuns.Show(Position{2, 3})
	passed := shownAll(Position{1, 5})
	passed.PassOver(Gap{Position{1, 5}, Position{1, 7}})
	for _, test := range []struct {
		name                    string
		in                      Inbox
		at                      Position
		fresh, settled, refused bool
	}{
		{"the first", Inbox{}, Position{1, 1}, true, false, false},
		{"the next", shownAll(Position{1, 5}), Position{1, 6}, true, false, false},
		{"a repeat", shownAll(Position{1, 5}), Position{1, 5}, false, true, false},
		{"an older repeat", shownAll(Position{1, 5}), Position{1, 2}, false, true, false},
		{"of the next run", shownAll(Position{1, 5}), Position{2, 1}, true, false, false},
		{"a repeat from the run before", twoRuns, Position{1, 5}, false, true, false},
		{"late, from the run before", twoRuns, Position{1, 6}, false, true, true},
		{"from a run in between", Inbox(twoRuns), Position{1, 99}, false, true, true},
		{"of a run before the first", shownAll(Position{7, 1}), Position{6, 1}, false, true, true},
		{"passed over", passed, Position{1, 7}, false, true, true},
		{"behind what was passed over", passed, Position{1, 8}, true, false, false},
		{"before what was passed over", passed, Position{1, 4}, false, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.in.Fresh(test.at) != test.fresh || test.in.Settled(test.at) != test.settled || test.in.Refused(test.at) != test.refused {
				t.Errorf("fresh %v, settled %v, refused %v", test.in.Fresh(test.at), test.in.Settled(test.at), test.in.Refused(test.at))
			}
			again := NewInbox(test.in.Shown(), test.in.Gaps()) // as after a restart
			if again.Fresh(test.at) != test.fresh || again.Refused(test.at) != test.refused {
				t.Errorf("after a restart: fresh %v, refused %v", again.Fresh(test.at), again.Refused(test.at))
			}
			code := test.in.Receipt(sent(test.at.Epoch, test.at.Counter)).GetCode()
			if test.settled && (code == pb.ReceiptCode_REJECTED) != test.refused {
				t.Errorf("the receipt is %v", code)
			}
		})
	}
}

// TestInboxHolds: parcels wait for what comes before them, in bounded memory.
func TestInboxHolds(t *testing.T) {
	in := shownAll(Position{1, 1})
	third, second := parcel(Position{1, 2}, sent(1, 3)), parcel(Position{1, 1}, sent(1, 2))
	if in.Offer(third, 0, true) || in.Next() != nil {
		t.Fatal("3 does not wait for 2")
	}
	if !in.Offer(second, 0, true) {
		t.Fatal("2 waits")
	}
	in.Take(Position{1, 2})
	if in.Owe(second) {
		t.Error("a receipt before anything is shown")
	}
	if in.Next() != third || in.Next() != nil {
		t.Fatal("3 still waits")
	}
	in.Take(Position{1, 3})
	in.Owe(third)
	if due, _ := in.Show(Position{1, 2}); len(due) != 1 || due[0] != second {
		t.Errorf("due when 2 is shown: %v", due)
	}
	if due, _ := in.Show(Position{1, 3}); len(due) != 1 || due[0] != third {
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

// TestInboxPassesOver: what does not come is given up after a while, and not before.
func TestInboxPassesOver(t *testing.T) {
	in := shownAll(Position{1, 1})
	p := parcel(Position{1, 4}, sent(1, 5))
	in.Offer(p, 10*time.Minute, true)
	if g, ok := in.Overdue(10 * time.Minute); ok {
		t.Errorf("given up at once: %v", g)
	}
	g, ok := in.Overdue(10*time.Minute + 1)
	if want := (Gap{Position{1, 1}, Position{1, 4}}); !ok || g != want {
		t.Fatalf("the gap is %v, %v", g, ok)
	}
	in.PassOver(g)
	if in.Next() != p {
		t.Error("what waited still waits")
	}
	if in.Fresh(Position{1, 3}) || in.Receipt(sent(1, 3)).GetCode() != pb.ReceiptCode_REJECTED {
		t.Error("what was given up is taken")
	}
	for i := range uint64(3 * MaxGaps) {
		in.PassOver(Gap{Position{2, 2 * i}, Position{2, 2*i + 1}})
	}
	if len(in.Gaps()) != MaxGaps {
		t.Errorf("%d gaps", len(in.Gaps()))
	}
}

// TestInboxKeepsWhatIsInTheHand: giving up what one parcel has waited for too long does not
// refuse those that wait for less.
func TestInboxKeepsWhatIsInTheHand(t *testing.T) {
	in := shownAll(Position{1, 3})
	in.Offer(parcel(Position{1, 9}, sent(1, 10)), 0, true)
	in.Offer(parcel(Position{1, 5}, sent(1, 6), sent(1, 7)), 30*time.Minute, true)
	g, ok := in.Overdue(time.Minute)
	in.PassOver(g)
	if !ok || in.Refused(Position{1, 6}) || !in.Refused(Position{1, 5}) {
		t.Errorf("the gap is %v", g)
	}
	in.Postpone(time.Hour)
	if g, ok := in.Overdue(time.Hour); ok {
		t.Errorf("given up although it was postponed: %v", g)
	}
}

// TestInboxShownBeforeTaken: the program may be quicker than who gives it a message.
func TestInboxShownBeforeTaken(t *testing.T) {
	in := shownAll(Position{1, 5})
	if _, changed := in.Show(Position{2, 1}); !changed {
		t.Error("the run before is not closed")
	}
	in.Take(Position{2, 1})
	if !in.Refused(Position{1, 6}) {
		t.Error("a late message of the run before passes for a repeat")
	}
}

// TestOutboxWays: each way is at its own message, and a receipt that comes by one is
// good for all.
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
