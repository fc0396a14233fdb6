package main

import (
	"testing"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

func TestMain(m *testing.M) {
	if played, err := play(); played {
		fail(err)
		return
	}
	m.Run()
}

// TestAttacks is the short version: those that take seconds, and whose bars are not of memory or
// processor time, which the race detector and other work change.
func TestAttacks(t *testing.T) {
	if err := netlab.Missing("tc"); err != nil {
		t.Skip("attacks can't be played here, it needs ", err)
	}
	if err := harness.ReadSources(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, err := harness.Build(dir, harness.HasRaceDetector())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks {
		if !a.short {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			if r := a.once(program, dir); !r.held {
				t.Errorf("%s\n%s", r.line(a), r.logs)
			}
		})
	}
}

// TestAttacksAreNamed: -only chooses by names, and each has what it takes.
func TestAttacksAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range attacks {
		if seen[a.name] || a.name == "" || a.about == "" || a.bar == "" || len(a.hosts) == 0 || a.run == nil {
			t.Errorf("%+v", a)
		}
		seen[a.name] = true
	}
}
