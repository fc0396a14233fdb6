package core

import (
	"testing"
	"time"
)

// TestRoundTripIsTold: our record says how far away we are when that has lasted, and once. Round trips that
// are long for moments, as on a busy machine, make no records.
func TestRoundTripIsTold(t *testing.T) {
	const second, busy = time.Second, 900 * time.Millisecond
	for _, test := range []struct {
		name    string
		at      func(since time.Duration) time.Duration // the round trip of all links
		told    time.Duration
		records uint32 // since the first
	}{
		{"near", func(time.Duration) time.Duration { return 50 * time.Millisecond }, 0, 0},
		{"far", func(time.Duration) time.Duration { return 300 * time.Millisecond }, 400 * time.Millisecond, 1},
		{"farther than counts", func(time.Duration) time.Duration { return time.Minute }, 2 * second, 1},
		{"busy at times", func(since time.Duration) time.Duration {
			if since%(4*second) < second {
				return 50 * time.Millisecond
			}
			return busy
		}, 0, 0},
		{"about the edge of a step", func(since time.Duration) time.Duration {
			return 350*time.Millisecond + since/time.Minute%2*100*time.Millisecond
		}, 800 * time.Millisecond, 2},
		{"far for a minute", func(since time.Duration) time.Duration {
			if since < time.Minute {
				return busy
			}
			return 50 * time.Millisecond
		}, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			for i, name := range []string{"bob", "carol", "dave"} {
				r.neighbour(uint64(1+i), name)
			}
			first, began := r.c.table.Self.Record.Seq, r.now
			for r.now < began+5*time.Minute {
				r.now += 250 * time.Millisecond
				for _, l := range r.c.links.List {
					r.c.Step(r.now, Heard{Link: l.ID, Heard: r.now, Used: r.now, RoundTrip: test.at(r.now - began)})
				}
				r.c.Step(r.now, Tick{})
				r.drain()
			}
			record := r.c.table.Self.Record
			if len(r.c.links.List) != 3 || record.RoundTrip != test.told || record.Seq-first != test.records {
				t.Errorf("%d links; it says %v, in %d more records; want %v in %d", len(r.c.links.List), record.RoundTrip, record.Seq-first, test.told, test.records)
			}
		})
	}
}
