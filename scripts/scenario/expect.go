package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// limit is when an expectation is given up.
type limit struct {
	until  time.Time
	stated time.Duration // what the report says
}

func in(d time.Duration) limit { return limit{time.Now().Add(d), d} }

func (l limit) String() string { return l.stated.String() }

// within takes "within D" off the end of the arguments. The time runs from the
// last line that did something, so that all who have to see what it did by then
// are held to the same moment, whichever of them is asked first.
func (s *scenario) within(args []string) (rest []string, l limit, err error) {
	rest, d, err := cutDuration(args, "within")
	if err != nil || len(rest) == len(args) {
		return args, in(patience), err
	}
	return rest, limit{s.acted.Add(d), d}, nil
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

// looked is the process and the pattern that arguments name.
func (s *scenario) looked(args []string) (*process, pattern, error) {
	if len(args) < 2 {
		return nil, pattern{}, errUsage
	}
	p, err := s.one(args[:1])
	if err != nil {
		return nil, pattern{}, err
	}
	pat, err := parsePattern(p.text, args[1:])
	return p, pat, err
}

// find waits for a line that matches. Unless all lines are looked at it is one
// that no expectation has taken.
func (p *process) find(pat pattern, within limit, all bool) (found *line, err error) {
	seen := 0
	err = p.wait(within, func(bool) (bool, error) {
		for ; seen < len(p.lines); seen++ {
			if l := p.lines[seen]; (all || !l.taken) && pat.matches(l) {
				found = l
				return true, nil
			}
		}
		return false, nil
	})
	if errors.Is(err, errTooLate) {
		err = fmt.Errorf("%s printed no %s within %v\n%s", p.name, pat, within, p.describe())
	}
	return found, err
}

func (s *scenario) expect(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	p, pat, err := s.looked(args)
	if err != nil {
		return err
	}
	l, err := p.find(pat, within, false)
	if err != nil {
		return err
	}
	s.take(p, l)
	return nil
}

func (s *scenario) take(p *process, l *line) {
	p.change(func() { l.taken = true })
	s.remember(p.name, l)
}

func (s *scenario) next(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	p, pat, err := s.looked(args)
	if err != nil {
		return err
	}
	if p.text {
		return fmt.Errorf("%s has typed lines, next needs events", p.name)
	}
	l, err := p.find(pattern{event: pat.event}, within, false)
	if err != nil {
		return err
	}
	if !pat.matches(l) {
		return fmt.Errorf("the next is no %s but\n    %s\n%s", pat, shorten(l.raw, 300), p.describe())
	}
	s.take(p, l)
	return nil
}

func (s *scenario) never(args []string) error {
	if len(args) < 2 || args[len(args)-2] != "for" {
		return errUsage
	}
	args, during, err := cutDuration(args, "for")
	if err != nil {
		return err
	}
	p, pat, err := s.looked(args)
	if err != nil {
		return err
	}
	// When the process has ended there is nothing to wait for.
	l, _ := p.find(pat, in(during), false)
	if l != nil {
		return fmt.Errorf("%s printed what it never should:\n    %s\n%s", p.name, shorten(l.raw, 300), p.describe())
	}
	return nil
}

func (s *scenario) count(args []string) error {
	if len(args) < 3 {
		return errUsage
	}
	want, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return errUsage
	}
	p, pat, err := s.looked(args[:len(args)-1])
	if err != nil {
		return err
	}
	got := 0
	p.mu.Lock()
	for _, l := range p.lines {
		if pat.matches(l) {
			got++
		}
	}
	p.mu.Unlock()
	if got != want {
		return fmt.Errorf("%s printed %d times %s, not %d\n%s", p.name, got, pat, want, p.describe())
	}
	return nil
}

func (s *scenario) exit(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return errUsage
	}
	p, err := s.one(args[:1])
	if err != nil {
		return err
	}
	var status string
	// A muted process is not waited for to print its last: it can't.
	err = p.wait(within, func(over bool) (bool, error) {
		status = p.status
		return p.ended && (over || p.muted), nil
	})
	if err != nil {
		return fmt.Errorf("%s hasn't ended within %v\n%s", p.name, within, p.describe())
	}
	p.change(func() { p.excused = true })
	if status != args[1] {
		return fmt.Errorf("%s ended with status %s, not %s\n%s", p.name, status, args[1], p.describe())
	}
	return nil
}

func (s *scenario) log(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	absent := len(args) > 0 && args[0] == "!"
	if absent {
		args = args[1:]
	}
	if len(args) != 2 {
		return errUsage
	}
	p, err := s.one(args[:1])
	if err != nil {
		return err
	}
	re, err := regexp.Compile("(?m)" + args[1])
	if err != nil {
		return err
	}
	if absent {
		p.mu.Lock()
		at := re.Find(p.stderr)
		p.mu.Unlock()
		if at != nil {
			return fmt.Errorf("%s's standard error has %q\n%s", p.name, at, p.describe())
		}
		return nil
	}
	err = p.wait(within, func(bool) (bool, error) { return re.Match(p.stderr), nil })
	if err != nil {
		return fmt.Errorf("%s's standard error has no %q within %v\n%s", p.name, args[1], within, p.describe())
	}
	return nil
}

// String is the pattern as it was written.
func (p pattern) String() string {
	if p.text != nil {
		return fmt.Sprintf("line like %q", p.text)
	}
	words := []string{p.event}
	for _, f := range p.fields {
		if f.match != nil {
			words = append(words, fmt.Sprintf("%s~%s", f.name, f.match))
		} else {
			words = append(words, f.name+"="+shorten(f.exact, 60))
		}
	}
	return strings.Join(words, " ")
}
