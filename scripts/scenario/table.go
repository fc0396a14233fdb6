package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// tablePause is between two questions for the routing table.
const tablePause = 100 * time.Millisecond

// tableAnswer is what an answer may take beyond the deadline: a table is at least
// once asked for, however many others were before it.
const tableAnswer = 5 * time.Second

// tableRef begins the ref of a question of the verbs here.
const tableRef = "harness-table-"

// tableEntry is what a routing table says of a peer.
type tableEntry struct {
	ID     string
	Direct bool
}

// table is the verb.
func (s *scenario) table(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errUsage
	}
	want := slices.Sorted(slices.Values(args[1:]))
	var got []string
	p, err := s.askTable(args[0], within, func(entries []tableEntry) bool {
		got = nil
		for _, e := range entries {
			got = append(got, e.ID)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	if p == nil || err == nil {
		return err
	}
	return fmt.Errorf("%s's table has %q, not %q, after %v\n%s", p.name, got, want, within, p.describe())
}

// direct is the verb.
func (s *scenario) direct(args []string) error {
	args, within, err := s.within(args)
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return errUsage
	}
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return errUsage
	}
	got := 0
	p, err := s.askTable(args[0], within, func(entries []tableEntry) bool {
		got = 0
		for _, e := range entries {
			if e.Direct {
				got++
			}
		}
		return got >= want
	})
	if p == nil || err == nil {
		return err
	}
	return fmt.Errorf("%s has links to %d, not to %d, after %v\n%s", p.name, got, want, within, p.describe())
}

// askTable asks a peer for its routing table until it is right. An error without
// a peer is one of the question; with it the time was over.
func (s *scenario) askTable(name string, within limit, right func([]tableEntry) bool) (*process, error) {
	p, err := s.one([]string{name})
	if err != nil {
		return nil, err
	}
	if p.text {
		return nil, fmt.Errorf("%s has typed lines, a table needs --json", p.name)
	}
	for {
		s.asked++
		ref := fmt.Sprintf("%s%d", tableRef, s.asked)
		if err := p.enqueue(`{"cmd":"table","ref":"`+ref+`"}`, false); err != nil {
			return nil, err
		}
		exact := fieldPattern{name: "ref", exact: ref}
		answer := in(max(time.Until(within.until), tableAnswer))
		l, err := p.find(pattern{event: "table", fields: []fieldPattern{exact}}, answer, false)
		if err != nil {
			return p, err
		}
		// The scenario has not asked, so it isn't shown the answer.
		p.change(func() { p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l }) })
		var table struct{ Peers []tableEntry }
		if err := json.Unmarshal([]byte(l.raw), &table); err != nil {
			return nil, err
		}
		if right(table.Peers) {
			return p, nil
		}
		if time.Now().After(within.until) {
			return p, errTooLate
		}
		<-time.After(min(tablePause, time.Until(within.until)))
	}
}
