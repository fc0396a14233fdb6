package coretest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// testWorld is a network of n machines in which anything wrong fails the test.
func testWorld(t *testing.T, loss float64, n int) *World {
	w := NewWorld(1, loss, Hooks{Odd: func(format string, args ...any) { t.Errorf(format, args...) }})
	for i := range n {
		w.Add(certs.ID(fmt.Sprint("m", i)), Identity(uint64(i)), 1000)
	}
	return w
}

func TestQueueKeepsOrder(t *testing.T) {
	q := newQueue()
	var got []int
	at := []time.Duration{5, 1, 1, 30_000, 0, 5, 14_000} // in ms; two beyond the ring
	for i, ms := range at {
		q.push(event{at: ms * time.Millisecond, do: func() { got = append(got, i) }})
	}
	for now := time.Duration(0); now <= 31*time.Second; now += 700 * time.Millisecond {
		for {
			e, when, ok := q.pop(now)
			if !ok {
				break
			}
			if when != e.at {
				t.Errorf("the event of %v happens at %v", e.at, when)
			}
			e.do()
		}
	}
	want := []int{4, 1, 2, 0, 5, 6, 3}
	if !slices.Equal(got, want) {
		t.Errorf("order %v, not %v", got, want)
	}
}

// TestKeepalivesUnderLoss compares the model with what the study measured of such links: without
// loss none is ever silent for long; at 20 % a link is silent for 2 s about once an hour, and for
// one second much more often.
func TestKeepalivesUnderLoss(t *testing.T) {
	const hours = 20
	silences := func(loss float64, most time.Duration) int {
		w := testWorld(t, loss, 2)
		a, b := &End{Process: &Process{Machine: w.Machines[0]}}, &End{Process: &Process{Machine: w.Machines[1]}}
		a.Other, b.Other = b, a
		a.alive.begin(0)
		b.alive.begin(0)
		n, silent := 0, false
		for w.Now < hours*time.Hour {
			w.Now += 50 * time.Millisecond
			a.advance()
			was := silent
			if silent = w.Now-a.alive.heard > most; silent && !was {
				n++
			}
		}
		return n
	}
	if n := silences(0, 700*time.Millisecond); n > 0 {
		t.Errorf("without loss a link is silent for 0.7 s %d times", n)
	}
	if n := silences(0.2, 2*time.Second); n > 3*hours {
		t.Errorf("at 20 %% loss a link is silent for 2 s %d times in %d hours", n, hours)
	}
	if n := silences(0.2, time.Second); n < 5*hours {
		t.Errorf("at 20 %% loss a link is silent for 1 s only %d times in %d hours", n, hours)
	}
}

func TestDeadLinkEndsWhenIdle(t *testing.T) {
	w := testWorld(t, 0, 2)
	w.Load()
	w.Run(5 * time.Second)
	if len(w.Machines[0].Process.Ends) == 0 {
		t.Fatal("no link")
	}
	w.Machines[1].Process.Crash()
	w.Run(pb.IdleTimeout - time.Second)
	dead := len(w.Machines[0].Process.Ends)
	w.Run(2 * time.Second)
	if dead > 1 || len(w.Machines[0].Process.Ends) != 0 {
		t.Errorf("%d and then %d links to a dead peer", dead, len(w.Machines[0].Process.Ends))
	}
}
