package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

// line is one of a peer's standard output.
type line struct {
	harness.Event      // of a --json peer; of a peer of typed lines At and Raw alone
	taken         bool // by an expectation
}

func newLine(raw string, text bool) *line {
	if text {
		return &line{Event: harness.Event{At: time.Now(), Raw: raw}}
	}
	return &line{Event: harness.ParseEvent(raw)}
}

// pattern is what an expectation looks for.
type pattern struct {
	text   *regexp.Regexp // of a peer of typed lines
	event  string
	fields []fieldPattern
}

type fieldPattern struct {
	name  string
	exact string
	match *regexp.Regexp // instead of exact
}

var fieldWord = regexp.MustCompile(`(?s)^([a-z_0-9]+)([=~])(.*)$`)

func parsePattern(text bool, args []string) (pattern, error) {
	if text {
		re, err := regexp.Compile(args[0])
		return pattern{text: re}, err
	}
	p := pattern{event: args[0]}
	for _, word := range args[1:] {
		m := fieldWord.FindStringSubmatch(word)
		if m == nil {
			return p, fmt.Errorf("%q is neither field=value nor field~regexp", word)
		}
		f := fieldPattern{name: m[1], exact: m[3]}
		if m[2] == "~" {
			var err error
			if f.match, err = regexp.Compile(m[3]); err != nil {
				return p, err
			}
		}
		p.fields = append(p.fields, f)
	}
	return p, nil
}

func (p pattern) matches(l *line) bool {
	if p.text != nil {
		return p.text.MatchString(l.Raw)
	}
	return l.Name == p.event && l.Name != "" && !slices.ContainsFunc(p.fields, func(f fieldPattern) bool {
		if f.match != nil {
			return !f.match.MatchString(l.Field(f.name))
		}
		return f.exact != l.Field(f.name)
	})
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
			words = append(words, f.name+"="+harness.Shorten(f.exact, 60))
		}
	}
	return strings.Join(words, " ")
}
