package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

// process is one run of a peer. Look and Change guard the fields.
type process struct {
	*harness.Process
	name string
	text bool // typed lines, not JSON

	lines   []*line // standard output
	stderr  []byte
	excused bool // an exit or kill of the scenario accounts for the end
	check   contract
	tables  int // asked for, to tell the answers apart
}

// mostInput is how many lines may wait for a process that doesn't read.
const mostInput = 10000

// launch starts a command whose Args and Env are set.
func launch(name string, text bool, cmd *exec.Cmd, sh *show) (p *process, err error) {
	p = &process{name: name, text: text, check: contract{present: map[string]bool{}, messages: map[string]bool{}}}
	p.Process, err = harness.Start(harness.Spec{
		Cmd: cmd, Queue: mostInput,
		Line: func(running *harness.Process, raw []byte) {
			l := newLine(strings.TrimRight(string(raw), "\r\n"), text)
			running.Change(func() {
				p.lines = append(p.lines, l)
				if !text {
					p.check.see(l)
				}
			})
			if !strings.HasPrefix(l.Field("ref"), tableRef) {
				sh.saw(name, l.Raw)
			}
		},
		Complaint: func(running *harness.Process, raw []byte) {
			running.Change(func() { p.stderr = append(p.stderr, raw...) })
			sh.complained(name, strings.TrimRight(string(raw), "\r\n"))
		},
	})
	return p, err
}

// enqueue gives the process a line.
func (p *process) enqueue(text string) error { return p.feed(p.Write([]byte(text + "\n"))) }

// endInput gives it the end of its input.
func (p *process) endInput() error { return p.feed(p.CloseInput()) }

func (p *process) feed(err error) error {
	if p.State().Status != "" {
		return fmt.Errorf("%s has ended\n%s", p.name, p.describe(25))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return err
}

// kill ends the process if it runs.
func (p *process) kill() {
	p.Change(func() { p.excused = true })
	p.Kill()
}

// find waits for a line that matches. Unless all lines are looked at it is one that no
// expectation has taken.
func (p *process) find(pat pattern, by harness.Deadline, all bool) (found *line, err error) {
	seen := 0
	err = p.Wait(by, func(harness.State) (bool, error) {
		for ; seen < len(p.lines); seen++ {
			if l := p.lines[seen]; (all || !l.taken) && pat.matches(l) {
				found = l
				return true, nil
			}
		}
		return false, nil
	})
	if errors.Is(err, harness.ErrTooLate) {
		err = fmt.Errorf("%s printed no %s within %v\n%s", p.name, pat, by, p.describe(25))
	}
	return found, err
}

// complaint waits for what standard error has that matches; nil: nothing has come.
func (p *process) complaint(pattern string, by harness.Deadline) (at []byte, err error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err == nil {
		p.Wait(by, func(harness.State) (bool, error) { at = re.Find(p.stderr); return at != nil, nil })
	}
	return at, err
}

// tablePause is between two questions for the routing table.
const tablePause = 100 * time.Millisecond

// tableAnswer is what an answer may take beyond the deadline: a table is at least once
// asked for, however many others were before it.
const tableAnswer = 5 * time.Second

// tableRef begins the ref of a question for the table.
const tableRef = "harness-table-"

// tableEntry is what a routing table says of a peer.
type tableEntry struct {
	ID     string
	Direct bool
}

// untilTable asks for the routing table until check is content, or for the last time at the
// deadline.
func (p *process) untilTable(pace *harness.Pace, by harness.Deadline, check func([]tableEntry) (problem string)) error {
	if p.text {
		return fmt.Errorf("%s has typed lines, a table needs --json", p.name)
	}
	for {
		p.tables++
		ref := fmt.Sprintf("%s%d", tableRef, p.tables)
		if err := p.enqueue(`{"cmd":"table","ref":"` + ref + `"}`); err != nil {
			return err
		}
		answer := by
		if by.Left() < tableAnswer {
			answer = pace.In(tableAnswer)
		}
		l, err := p.find(pattern{event: "table", fields: []fieldPattern{{name: "ref", exact: ref}}}, answer, false)
		if err != nil {
			return err
		}
		// The scenario has not asked, so it isn't shown the answer.
		p.Change(func() { p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l }) })
		var table struct{ Peers []tableEntry }
		if err := json.Unmarshal([]byte(l.Raw), &table); err != nil {
			return err
		}
		problem, left := check(table.Peers), by.Left()
		switch {
		case problem == "":
			return nil
		case left < 0:
			return fmt.Errorf("%s, after %v\n%s", problem, by, p.describe(25))
		}
		<-time.After(min(tablePause, left))
	}
}

// unexpectedEnd says that the process ended with a failure of which the scenario knows nothing.
func (p *process) unexpectedEnd() string {
	status, excused := p.State().Status, false
	p.Look(func() { excused = p.excused })
	if excused || status == "" || status == "0" {
		return ""
	}
	return fmt.Sprintf("ended with status %s, and no exit or kill accounts for it", status)
}

// breaches are what a peer must never do.
func (p *process) breaches() (found []string) {
	p.Look(func() {
		found = p.check.breaches
		if crash := harness.Crash(string(p.stderr)); crash != "" {
			found = append(found, indent(crash))
		}
	})
	return found
}

// describe shows what a failed expectation had to go by: the last lines.
func (p *process) describe(most int) string {
	state := p.State()
	var b strings.Builder
	switch {
	case state.Status != "":
		fmt.Fprintf(&b, "  %s has ended with status %s", p.name, state.Status)
	case state.Muted:
		fmt.Fprintf(&b, "  %s runs, muted", p.name)
	default:
		fmt.Fprintf(&b, "  %s runs", p.name)
	}
	p.Look(func() {
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
			fmt.Fprintf(&b, "    %c %s %s\n", mark, l.At.Format("15:04:05.000"), harness.Shorten(l.Raw, 300))
		}
		if len(p.stderr) > 0 {
			fmt.Fprintf(&b, "  its standard error ends with\n%s\n", indent(harness.Tail(string(p.stderr), most)))
		}
	})
	return strings.TrimSuffix(b.String(), "\n")
}

// indent is a text with each line, or the beginning of it, to the right.
func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = "    " + harness.Shorten(l, 300)
	}
	return strings.Join(lines, "\n")
}
