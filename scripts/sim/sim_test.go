package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// life is everything that can happen to a small network, in short.
func life(seed uint64) *world {
	w := newWorld(seed, lossy)
	w.load(50)
	w.rest()
	w.someone().crash()
	w.run(5 * time.Second)
	w.arrival(10 * time.Second)
	w.someone().leave()
	w.cut(func(i int) uint8 { return uint8(i) & 1 })
	w.run(20 * time.Second)
	w.heal()
	w.run(10 * time.Second)
	w.replace(20*time.Second, time.Minute, 0.5)
	return w
}

func TestSameSeedSameTrace(t *testing.T) {
	a, b, c := life(1), life(1), life(2)
	if a.trace != b.trace || a.count.bytes != b.count.bytes || a.count.pings != b.count.pings {
		t.Errorf("two runs of one seed differ: traces %x and %x, %d and %d bytes", a.trace, b.trace, a.count.bytes, b.count.bytes)
	}
	if a.trace == c.trace {
		t.Error("two seeds give the same run")
	}
}

// TestQuick runs every scenario in small. Its bars are not judged, but that tables
// come right is, in all scenarios that end in rest.
func TestQuick(t *testing.T) {
	var out bytes.Buffer
	if _, err := run(settings{seed: 1, n: 100, quick: true, log: io.Discard}, &out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	for _, name := range names() {
		if !strings.Contains(out.String(), "\n"+name+" ") {
			t.Errorf("nothing is said of the scenario %q", name)
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "entries wrong") && strings.Contains(line, "MISSED") {
			t.Error(line)
		}
	}
}

func TestUnknownScenario(t *testing.T) {
	if _, err := run(settings{only: "crash,dance"}, io.Discard); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("the error is %v", err)
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	q := newQueue()
	at := []time.Duration{5, 1, 1, 30_000, 0, 5, 14_000} // in ms; two beyond the ring
	for i, ms := range at {
		q.push(event{at: ms * time.Millisecond, life: int32(i)})
	}
	var got []int32
	for now := time.Duration(0); now <= 31*time.Second; now += 700 * time.Millisecond {
		for {
			e, when, ok := q.pop(now)
			if !ok {
				break
			}
			if when != e.at {
				t.Errorf("the event of %v happens at %v", e.at, when)
			}
			got = append(got, e.life)
		}
	}
	want := []int32{4, 1, 2, 0, 5, 6, 3}
	if len(got) != len(want) {
		t.Fatalf("order %v, not %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("order %v, not %v", got, want)
		}
	}
}

// TestKeepalivesUnderLoss holds the model to what the study measured of such
// links: without loss none is ever silent for long; at 20 % one is for 2 s about
// once an hour, and much more often for one second.
func TestKeepalivesUnderLoss(t *testing.T) {
	const hours = 20
	silences := func(loss float64, most time.Duration) int {
		w := newWorld(1, loss)
		a, b := &end{peer: w.addPeer()}, &end{peer: w.addPeer()}
		a.other, b.other = b, a
		a.alive.begin(0)
		b.alive.begin(0)
		n, silent := 0, false
		for w.now < hours*time.Hour {
			w.now += 50 * time.Millisecond
			a.advance()
			was := silent
			if silent = w.now-a.alive.heard > most; silent && !was {
				n++
			}
		}
		return n
	}
	if n := silences(0, 700*time.Millisecond); n > 0 {
		t.Errorf("without loss a link is silent for 0.7 s %d times", n)
	}
	if n := silences(lossy, 2*time.Second); n > 3*hours {
		t.Errorf("at 20 %% loss a link is silent for 2 s %d times in %d hours", n, hours)
	}
	if n := silences(lossy, time.Second); n < 5*hours {
		t.Errorf("at 20 %% loss a link is silent for 1 s only %d times in %d hours", n, hours)
	}
}

func TestDeadLinkEndsWhenIdle(t *testing.T) {
	w := newWorld(1, 0)
	w.load(2)
	w.run(5 * time.Second)
	if len(w.peers[0].ends) == 0 {
		t.Fatal("no link")
	}
	w.peers[1].crash()
	w.run(idleTimeout - time.Second)
	dead := len(w.peers[0].ends)
	w.run(2 * time.Second)
	if dead > 1 || len(w.peers[0].ends) != 0 {
		t.Errorf("%d and then %d links to a dead peer", dead, len(w.peers[0].ends))
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
