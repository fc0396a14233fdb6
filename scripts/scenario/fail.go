package main

import (
	"fmt"
	"slices"
	"strings"
)

// A verb that can't go on ends the scenario where it is.

// fail ends the scenario. It shows the peers that the line doesn't name, and how busy the
// machine is: the cause is often there.
func (s *scenario) fail(format string, args ...any) {
	var b strings.Builder
	if slow := s.pace.Slowness(); slow >= 1.5 {
		fmt.Fprintf(&b, "\n  the machine is %.1f times as slow as when idle; deadlines take that into account", slow)
	}
	for _, p := range s.peers {
		if p.process != nil && !slices.Contains(s.args, p.name) {
			b.WriteString("\n" + p.process.describe(8))
		}
	}
	s.ts.Fatalf("%s%s", fmt.Sprintf(format, args...), b.String())
}

// must fails on an error.
func (s *scenario) must(err error) {
	if err != nil {
		s.fail("%v", err)
	}
}

// require wants the line to be as the usage of its verb says.
func (s *scenario) require(ok bool) {
	if !ok {
		s.ts.Fatalf("usage: %s", s.usage)
	}
}
