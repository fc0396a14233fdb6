package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// line is one of a peer's standard output.
type line struct {
	at     time.Time
	raw    string
	event  string         // of a --json peer; empty if the line is no event
	fields map[string]any // of a --json peer
	taken  bool           // by an expectation
}

func newLine(raw string, text bool) *line {
	l := &line{at: time.Now(), raw: raw}
	if !text {
		d := json.NewDecoder(strings.NewReader(raw))
		d.UseNumber()
		if d.Decode(&l.fields) == nil {
			l.event, _ = l.fields["event"].(string)
		}
	}
	return l
}

// field is a field as a word: a string itself, anything else as compact JSON,
// nothing where it is absent.
func (l *line) field(name string) string {
	switch v := l.fields[name].(type) {
	case nil:
		if _, present := l.fields[name]; present {
			return "null"
		}
		return ""
	case string:
		return v
	default:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err.Error()
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
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

var fieldWord = regexp.MustCompile(`(?s)^([a-z_]+)([=~])(.*)$`)

func parsePattern(text bool, args []string) (pattern, error) {
	if len(args) == 0 || text && len(args) != 1 {
		return pattern{}, errUsage
	}
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

func (p pattern) named(l *line) bool {
	return p.text != nil || l.event == p.event && l.event != ""
}

func (p pattern) matches(l *line) bool {
	if p.text != nil {
		return p.text.MatchString(l.raw)
	}
	return p.named(l) && !slices.ContainsFunc(p.fields, func(f fieldPattern) bool {
		if f.match != nil {
			return !f.match.MatchString(l.field(f.name))
		}
		return f.exact != l.field(f.name)
	})
}

// describe shows what a failed expectation had to go by.
func (p *process) describe() string { return p.describeLast(25) }

func (p *process) describeLast(most int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	switch {
	case p.ended:
		fmt.Fprintf(&b, "  %s has ended with status %s", p.name, p.status)
	case p.muted:
		fmt.Fprintf(&b, "  %s runs, muted", p.name)
	default:
		fmt.Fprintf(&b, "  %s runs", p.name)
	}
	from := max(0, len(p.lines)-most)
	fmt.Fprintf(&b, "; it printed %d lines (x: taken by an expectation)\n", len(p.lines))
	if from > 0 {
		fmt.Fprintf(&b, "      %d earlier ones\n", from)
	}
	for _, l := range p.lines[from:] {
		mark := ' '
		if l.taken {
			mark = 'x'
		}
		fmt.Fprintf(&b, "    %c %s %s\n", mark, l.at.Format("15:04:05.000"), shorten(l.raw, 300))
	}
	if len(p.stderr) > 0 {
		fmt.Fprintf(&b, "  its standard error ends with\n%s\n", tail(string(p.stderr), most, false))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
}

// tail is the last lines of a text, or the first with head, indented.
func tail(s string, most int, head bool) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	if len(lines) > most && head {
		lines = lines[:most]
	} else if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	for i, l := range lines {
		lines[i] = "    " + shorten(l, 300)
	}
	return strings.Join(lines, "\n")
}
