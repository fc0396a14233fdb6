package main

import (
	"fmt"
	"slices"

	"quicpeer/scripts/internal/harness"
)

// pair is two names, in order.
type pair [2]string

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// cut is the verb. It gives peers that don't run yet an address, so that those
// they are cut off from know it.
func (s *scenario) cut(args []string) error {
	if slices.Contains(args[1:], args[0]) {
		return errUsage
	}
	for _, b := range args[1:] {
		s.cuts[pairOf(args[0], b)] = true
	}
	for _, name := range args {
		if !nameWord.MatchString(name) {
			return errUsage
		}
		if s.lan != nil {
			if _, err := s.lan.Host(name); err != nil {
				return err
			}
		}
		p := s.place(name)
		if p.process != nil || p.fixed != "" {
			continue
		}
		if err := p.fix(); err != nil {
			return err
		}
	}
	return s.applyCuts()
}

// heal is the verb.
func (s *scenario) heal(args []string) error {
	switch len(args) {
	case 0:
		clear(s.cuts)
	case 2:
		if !s.cuts[pairOf(args[0], args[1])] {
			return fmt.Errorf("%s and %s are not cut off from each other", args[0], args[1])
		}
		delete(s.cuts, pairOf(args[0], args[1]))
	default:
		return errUsage
	}
	return s.applyCuts()
}

// applyCuts makes the cuts come true: by the kernel on a LAN of our own, by
// the processes elsewhere.
func (s *scenario) applyCuts() error {
	if s.lan != nil {
		return s.lan.Cut(func(a, b string) bool { return s.cuts[pairOf(a, b)] })
	}
	return s.writeCuts()
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
func (s *scenario) writeCuts() error {
	for _, p := range s.peers {
		var off []string
		for _, q := range s.peers {
			if !s.cuts[pairOf(p.name, q.name)] {
				continue
			}
			addresses, err := q.cutAddresses(s.pace)
			if err != nil {
				return err
			}
			off = append(off, addresses...)
		}
		if err := harness.WriteCuts(p.cutFile, off); err != nil {
			return err
		}
	}
	return nil
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
