package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"quicpeer/scripts/internal/harness"
)

// The verbs that only look. Each gets the process that its first word names, the other
// words, and the moment at which it gives up.

// within takes "within D" off the end of the arguments. The time runs from the last line
// that did something, so that all who have to see what it did by then are held to the same
// moment, whichever of them is asked first.
func (s *scenario) within(args []string) (rest []string, by harness.Deadline, err error) {
	rest, d, err := cutDuration(args, "within")
	if err != nil || len(rest) == len(args) {
		return args, s.pace.In(patience), err
	}
	return rest, s.pace.After(s.acted, d), nil
}

// cutDuration takes a word and a duration off the end of the arguments.
func cutDuration(args []string, word string) (rest []string, d time.Duration, err error) {
	n := len(args)
	if n < 2 || args[n-2] != word {
		return args, 0, nil
	}
	if d, err = time.ParseDuration(args[n-1]); err != nil || d <= 0 {
		return nil, 0, fmt.Errorf("%s takes a duration such as 10s, not %q", word, args[n-1])
	}
	return args[:n-2], d, nil
}

// pattern is what the words of a line say.
func (s *scenario) pattern(p *process, args []string) pattern {
	s.require(len(args) == 1 || len(args) > 1 && !p.text)
	pat, err := parsePattern(p.text, args)
	s.must(err)
	return pat
}

func (s *scenario) expect(p *process, args []string, by harness.Deadline) {
	l, err := p.find(s.pattern(p, args), by, false)
	s.must(err)
	s.take(p, l)
}

func (s *scenario) next(p *process, args []string, by harness.Deadline) {
	pat := s.pattern(p, args)
	if p.text {
		s.fail("%s has typed lines, next needs events", p.name)
	}
	l, err := p.find(pattern{event: pat.event}, by, false)
	s.must(err)
	if !pat.matches(l) {
		s.fail("the next is not %s but\n    %s\n%s", pat, harness.Shorten(l.Raw, 300), p.describe(25))
	}
	s.take(p, l)
}

func (s *scenario) never(p *process, args []string, _ harness.Deadline) {
	args, during, err := cutDuration(args, "for")
	s.must(err)
	s.require(during > 0)
	// By the clock on the wall: what a scenario holds up meanwhile, as by a freeze, it holds up
	// by that. When the process has ended there is nothing to wait for.
	l, _ := p.find(s.pattern(p, args), harness.NewPace().In(during), false)
	if l != nil {
		s.fail("%s printed what it never should:\n    %s\n%s", p.name, harness.Shorten(l.Raw, 300), p.describe(25))
	}
}

func (s *scenario) count(p *process, args []string, _ harness.Deadline) {
	n := len(args) - 1
	want, err := strconv.Atoi(args[n])
	s.require(err == nil)
	pat, got := s.pattern(p, args[:n]), 0
	p.Look(func() {
		for _, l := range p.lines {
			if pat.matches(l) {
				got++
			}
		}
	})
	if got != want {
		s.fail("%s printed %d times %s, not %d\n%s", p.name, got, pat, want, p.describe(25))
	}
}

func (s *scenario) table(p *process, args []string, by harness.Deadline) {
	want := slices.Sorted(slices.Values(args))
	s.must(p.untilTable(s.pace, by, func(entries []tableEntry) (problem string) {
		var got []string
		for _, e := range entries {
			got = append(got, e.ID)
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return ""
		}
		return fmt.Sprintf("%s's table has %q, not %q", p.name, got, want)
	}))
}

func (s *scenario) direct(p *process, args []string, by harness.Deadline) {
	want, err := strconv.Atoi(args[0])
	s.require(err == nil)
	s.must(p.untilTable(s.pace, by, func(entries []tableEntry) (problem string) {
		got := 0
		for _, e := range entries {
			if e.Direct {
				got++
			}
		}
		if got >= want {
			return ""
		}
		return fmt.Sprintf("%s has links to %d, not to %d", p.name, got, want)
	}))
}

func (s *scenario) exit(p *process, args []string, by harness.Deadline) {
	var status string
	// A muted process is not waited for to print its last: it can't.
	err := p.Wait(by, func(state harness.State) (bool, error) {
		status = state.Status
		return status != "" && (state.Over || state.Muted), nil
	})
	if err != nil {
		s.fail("%s hasn't ended within %v\n%s", p.name, by, p.describe(25))
	}
	p.Change(func() { p.excused = true })
	if status != args[0] {
		s.fail("%s ended with status %s, not %s\n%s", p.name, status, args[0], p.describe(25))
	}
}

func (s *scenario) log(p *process, args []string, by harness.Deadline) {
	at, err := p.complaint(args[0], by)
	s.must(err)
	if at == nil {
		s.fail("%s's standard error has no %q within %v\n%s", p.name, args[0], by, p.describe(25))
	}
}

// notLog is ! log.
func (s *scenario) notLog(p *process, args []string, _ harness.Deadline) {
	at, err := p.complaint(args[0], harness.NewPace().In(0))
	s.must(err)
	if at != nil {
		s.fail("%s's standard error has %q\n%s", p.name, at, p.describe(25))
	}
}
