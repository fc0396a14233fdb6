package main

import (
	"os"
	"slices"
	"testing"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// TestLab is the short version of the lab: real processes behind real NATs. It checks the
// paths that messages take, and that each is shown once and in order, but no times.
func TestLab(t *testing.T) {
	if err := netlab.Missing("nft"); err != nil {
		t.Skip("the NAT laboratory can't be built here, it needs ", err)
	}
	if err := harness.ReadSources(); err != nil {
		t.Fatal(err)
	}
	l, err := newLab(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs() {
		if !slices.Contains([]string{"none - restricted", "cone - symmetric", "restricted - restricted", "symmetric - symmetric", "two LANs behind restricted"}, p.name) {
			continue
		}
		r := l.measure(p, 0)
		want := "relayed"
		if p.direct {
			want = "direct"
		}
		if r.err != nil || r.path != want {
			t.Errorf("%s: messages end up %q, %v", p.name, r.path, r.err)
			l.showLogs(os.Stderr)
		}
	}
	for _, in := range incidents() {
		if in.name != "new address, restricted - restricted" {
			continue
		}
		if o := l.live(in); o.err != nil || o.path != "direct" {
			t.Errorf("%s: messages end up %q, %v", in.name, o.path, o.err)
			l.showLogs(os.Stderr)
		}
	}
}

// TestPairs: each kind of host with each, and what must be direct.
func TestPairs(t *testing.T) {
	direct := 0
	for _, p := range pairs() {
		if p.direct {
			direct++
		}
	}
	if n := len(pairs()); n != 10+6+1 || direct != 8+6 {
		t.Errorf("%d pairs, %d direct", n, direct)
	}
}
