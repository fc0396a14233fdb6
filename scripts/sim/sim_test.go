package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/scripts/internal/harness"
)

// life is everything that can happen to a small network, in short.
func life(seed uint64) *world {
	w := newWorld(seed, lossy, "")
	w.load(50)
	w.rest()
	w.someone().Process.Crash()
	w.Run(5 * time.Second)
	w.arrival(10 * time.Second)
	w.someone().Process.Leave()
	w.Cut(func(i int) uint8 { return uint8(i) & 1 })
	w.Run(20 * time.Second)
	w.Heal()
	w.Run(10 * time.Second)
	w.replace(20*time.Second, time.Minute, 0.5)
	return w
}

// withoutRaceDetector skips a simulation in whose network there is one goroutine: TestQuick
// shows the detector two networks beside each other, and make test runs this one without it.
func withoutRaceDetector(t *testing.T) {
	if harness.HasRaceDetector() {
		t.Skip("takes twenty times as long with the race detector")
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	withoutRaceDetector(t)
	a, b, c := life(1), life(1), life(2)
	if a.Trace != b.Trace || a.Count.Bytes != b.Count.Bytes || a.Count.Pings != b.Count.Pings {
		t.Errorf("two runs of one seed differ: traces %x and %x, %d and %d bytes", a.Trace, b.Trace, a.Count.Bytes, b.Count.Bytes)
	}
	if a.Trace == c.Trace {
		t.Error("two seeds give the same run")
	}
}

// TestQuick runs every scenario in small, with the race detector three in very small. Its bars
// are not judged, but that tables come right is, in all scenarios that end in rest.
func TestQuick(t *testing.T) {
	s, list := settings{seed: 1, n: 100, quick: true, log: io.Discard}, scenarios
	if harness.HasRaceDetector() {
		s.n = 20
		list, _ = chosen("crash,join,split")
	}
	said := make(map[string]bool)
	for _, r := range s.run(list) {
		t.Log(r)
		said[r.scenario] = true
		if r.tables && r.missed {
			t.Errorf("%s: %s: %s", r.scenario, r.measure, r.figure)
		}
	}
	for _, sc := range list {
		if !said[sc.name] {
			t.Errorf("nothing is said of the scenario %q", sc.name)
		}
	}
}

func TestUnknownScenario(t *testing.T) {
	if _, err := chosen("crash,dance"); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("the error is %v", err)
	}
}

// TestBars holds the rows that cost little to their bars: crash, join and split, in a
// network of 300.
func TestBars(t *testing.T) {
	withoutRaceDetector(t)
	s := settings{seed: 1, n: 300, quick: true, log: io.Discard}
	list, err := chosen("crash,join,split")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if !print(&table, s.seed, s.run(list)) || !strings.Contains(table.String(), "\nsplit ") {
		t.Error("a bar is missed")
	}
	t.Log(table.String())
}

// TestRules: a peer that breaks the protocol makes the simulation miss a bar.
func TestRules(t *testing.T) {
	w := newWorld(1, 0, "")
	if rows := w.figures(); len(rows) > 0 {
		t.Errorf("of an empty world: %v", rows)
	}
	w.Odd("it lies")
	if !slices.ContainsFunc(w.figures(), func(r row) bool { return r.missed }) {
		t.Error("no bar is missed")
	}
}
