package main

import (
	"slices"

	"quicpeer/scripts/internal/harness"
)

// pair is two names, in order.
type pair [2]string

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// cut is the verb. It gives peers that don't run yet an address, so that those they are cut off
// from know it.
func (s *scenario) cut(args []string) {
	s.require(!slices.Contains(args[1:], args[0]))
	for _, b := range args[1:] {
		s.cuts[pairOf(args[0], b)] = true
	}
	for _, name := range args {
		s.require(nameWord.MatchString(name))
		if s.lan != nil {
			s.host(name)
		}
		if p := s.place(name); p.process == nil && p.fixed == "" {
			s.must(p.fix())
		}
	}
	s.applyCuts()
}

// heal is the verb.
func (s *scenario) heal(args []string) {
	s.require(len(args) != 1)
	if len(args) == 0 {
		clear(s.cuts)
	} else {
		p := pairOf(args[0], args[1])
		if !s.cuts[p] {
			s.fail("%s and %s are not cut off from each other", args[0], args[1])
		}
		delete(s.cuts, p)
	}
	s.applyCuts()
}

// applyCuts makes the cuts come true: by the kernel on a LAN of our own, by
// the processes elsewhere.
func (s *scenario) applyCuts() {
	if s.lan != nil {
		s.must(s.lan.Cut(func(a, b string) bool { return s.cuts[pairOf(a, b)] }))
	} else {
		s.writeCuts()
	}
}

func (s *scenario) isCut(p *peer) bool {
	for c := range s.cuts {
		if c[0] == p.name || c[1] == p.name {
			return true
		}
	}
	return false
}

// writeCuts makes the files that the processes read.
func (s *scenario) writeCuts() {
	for _, p := range s.peers {
		var off []string
		for _, q := range s.peers {
			if s.cuts[pairOf(p.name, q.name)] {
				addresses, err := q.cutAddresses(s.pace)
				s.must(err)
				off = append(off, addresses...)
			}
		}
		s.must(harness.WriteCuts(p.cutFile, off))
	}
}

// cutAddresses are those to drop packets of. A peer that is started again while
// it is cut off keeps its port.
func (p *peer) cutAddresses(pace *harness.Pace) ([]string, error) {
	switch {
	case p.fixed != "":
		return []string{p.fixed}, nil
	case p.process == nil:
		return nil, nil
	}
	addresses, err := p.addresses(pace)
	if err == nil && len(addresses) == 1 {
		p.fixed = addresses[0]
	}
	return addresses, err
}
