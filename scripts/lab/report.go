package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

// Bars of the matrix.
const (
	firstBar  = 300 * time.Millisecond
	directBar = 2 * time.Second
)

// verdict says what is wrong with a result; empty: nothing.
func (r result) verdict(p pair, loss int) string {
	bar := directBar
	if loss > 0 {
		bar = directLimit
	}
	path := "relayed"
	if p.direct {
		path = "direct"
	}
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.path != path:
		return "its messages end up " + r.path
	case p.direct && r.direct > bar:
		return "direct too late"
	case loss == 0 && r.first > firstBar:
		return "the first message is late"
	}
	return ""
}

func (in incident) verdict(r result) string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.first > in.back:
		return "silent for too long"
	case r.path != "direct":
		return "its messages end up " + r.path
	}
	return ""
}

// table is a table of experiments, with those columns of its head that a result has.
type table struct {
	head    []string
	columns []int
	begun   bool
}

// spread is the median of durations and the longest, in milliseconds.
func spread(list []time.Duration) string {
	slices.Sort(list)
	ms := func(d time.Duration) string { return fmt.Sprint(d.Round(time.Millisecond).Milliseconds()) }
	switch n := len(list); n {
	case 0:
		return "–"
	case 1:
		return ms(list[0])
	default:
		return ms(list[n/2]) + " / " + ms(list[n-1])
	}
}

// print prints a line, the first with the head above it.
func (t *table) print(name string, results []result, faults []string) {
	var first, direct []time.Duration
	var firstPaths, paths []string
	for _, r := range results {
		first = append(first, r.first)
		if r.direct >= 0 && r.err == nil {
			direct = append(direct, r.direct)
		}
		firstPaths, paths = append(firstPaths, r.firstPath), append(paths, r.path)
	}
	verdict := cmp.Or(strings.Join(faults, "; "), "yes")
	all := []string{name, spread(first), distinct(firstPaths), spread(direct), distinct(paths), verdict}
	var cells []string
	for _, i := range t.columns {
		cells = append(cells, all[i])
	}
	if !t.begun {
		t.begun = true
		fmt.Printf("\n| %s |\n%s|\n", strings.Join(t.head, " | "), strings.Repeat("| --- ", len(t.head)))
	}
	fmt.Printf("| %s |\n", strings.Join(cells, " | "))
}

func distinct(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// showLogs writes the end of what the peers have logged.
func (l *lab) showLogs(w io.Writer) {
	for _, id := range []string{"pub", "a", "b"} {
		if data, err := os.ReadFile(l.dir + "/" + id + ".log"); err == nil {
			fmt.Fprintf(w, "--- %s\n%s\n", id, harness.Tail(string(data), 40))
		}
	}
}
