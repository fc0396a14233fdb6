package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"quicpeer/scripts/internal/harness"
)

// TestTorture is the short torture of the program, which has the race detector if this test
// has it. Its seed is fixed, so that a failure is not a matter of luck; make torture draws
// another one each time.
func TestTorture(t *testing.T) {
	s := short
	s.seed = 3 // in which every kind of trouble comes
	s.test(t)
}

// TestTortureFiles is the same of files.
func TestTortureFiles(t *testing.T) {
	s := short
	s.files, s.seed = true, 1
	s.test(t)
}

func (s settings) test(t *testing.T) {
	if testing.Short() {
		t.Skip("lets real processes run for a minute")
	}
	if err := harness.ReadSources(); err != nil {
		t.Fatal(err)
	}
	var report strings.Builder
	ok, err := s.play(t.Context(), harness.HasRaceDetector(), &report)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Error(report.String())
	} else {
		t.Log(report.String())
	}
}

func TestBody(t *testing.T) {
	lot := rand.New(rand.NewPCG(1, 1))
	for i := range 300 {
		s := stamp{"p01", "p02", i}
		b := s.body(i, lot)
		if got, ok := parseBody(b); !ok || got != s || !utf8.ValidString(b) {
			t.Fatalf("%q is parsed as %v, %v", b, got, ok)
		}
		if i > 40 && len(b) != i {
			t.Fatalf("%d bytes asked for, %d made", i, len(b))
		}
		at := lot.IntN(len(b))
		for _, wrong := range []string{b[:at], b[:at] + "~" + b[at+1:], b + "~", b[:at] + "~" + b[at:]} {
			if got, ok := parseBody(wrong); ok && wrong != b {
				t.Fatalf("%q instead of %q is parsed as %v", wrong, b, got)
			}
		}
	}
	for range 3 {
		if b := (stamp{"p01", "p02", 7}).body(longestMessage, lot); len(b) != longestMessage {
			t.Fatalf("the longest body has %d bytes", len(b))
		}
	}
}

func TestDoom(t *testing.T) {
	for _, test := range []struct {
		doom    *doom
		status  string
		account bool
	}{
		{toBeKilled, "killed", true},
		{toBeKilled, "1", false},
		{toStop, "0", true},
		{toStop, "5", true},
		{toStop, "1", false},
		{toStop, "killed", false},
		{notDoomed, "0", false},
		{notDoomed, "killed", false},
	} {
		if got := test.doom.accounts(test.status); got != test.account {
			t.Errorf("%s accounts for %s: %v", test.doom.how, test.status, got)
		}
	}
}

func TestAgenda(t *testing.T) {
	var a agenda
	now := time.Now()
	var done []int
	for i, seconds := range []int{3, 1, 2, 9, 1} {
		a.plan(now.Add(time.Duration(seconds)*time.Second), func(time.Time) { done = append(done, i) })
	}
	for _, task := range a.due(now.Add(3 * time.Second)) {
		task.do(task.at)
	}
	if fmt.Sprint(done, len(a.tasks)) != "[1 4 2 0] 1" {
		t.Errorf("done %v, and %d are left", done, len(a.tasks))
	}
	a.hasten()
	if len(a.due(time.Now())) != 1 {
		t.Error("what was hastened is not due")
	}
}
