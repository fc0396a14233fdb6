package main

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
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

func TestSameSeedSameTrace(t *testing.T) {
	a, b, c := life(1), life(1), life(2)
	if a.Trace != b.Trace || a.Count.Bytes != b.Count.Bytes || a.Count.Pings != b.Count.Pings {
		t.Errorf("two runs of one seed differ: traces %x and %x, %d and %d bytes", a.Trace, b.Trace, a.Count.Bytes, b.Count.Bytes)
	}
	if a.Trace == c.Trace {
		t.Error("two seeds give the same run")
	}
}

// TestQuick runs every scenario in small. Its bars are not judged, but that tables
// come right is, in all scenarios that end in rest.
func TestQuick(t *testing.T) {
	s := settings{seed: 1, n: 100, quick: true, log: io.Discard}
	said := make(map[string]bool)
	for _, r := range s.run(scenarios) {
		t.Log(r)
		said[r.scenario] = true
		if r.tables && r.missed {
			t.Errorf("%s: %s: %s", r.scenario, r.measure, r.figure)
		}
	}
	for _, name := range names() {
		if !said[name] {
			t.Errorf("nothing is said of the scenario %q", name)
		}
	}
}

func TestUnknownScenario(t *testing.T) {
	if _, err := chosen("crash,dance"); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("the error is %v", err)
	}
}

// TestBars holds the rows that cost little to their bars: crash, join and split, in a
// network of 300. The race detector would make it take minutes, and within a network there
// is one goroutine: so the program is built without.
func TestBars(t *testing.T) {
	out, err := exec.Command("go", "run", ".", "-quick", "-n", "300", "-only", "crash,join,split").CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "\nsplit ") {
		t.Errorf("a bar is missed: %v", err)
	}
}
