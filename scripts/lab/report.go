package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
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

func (o outcome) verdict(in incident) string {
	switch {
	case o.err != nil:
		return o.err.Error()
	case o.silence > in.back:
		return "silent for too long"
	case o.path != "direct":
		return "its messages end up " + o.path
	}
	return ""
}

// row is a line of the matrix: one pair, all its trials.
type row struct {
	pair    pair
	results []result
	faults  []string
}

// spread is the median of durations and the longest, in milliseconds.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "–"
	}
	slices.Sort(list)
	ms := func(d time.Duration) string { return fmt.Sprint(d.Round(time.Millisecond).Milliseconds()) }
	if len(list) == 1 {
		return ms(list[0])
	}
	return ms(list[len(list)/2]) + " / " + ms(list[len(list)-1])
}

func (r row) cells() []string {
	var first, direct []time.Duration
	var firstPaths, paths []string
	for _, x := range r.results {
		first = append(first, x.first)
		if x.direct >= 0 && x.err == nil {
			direct = append(direct, x.direct)
		}
		firstPaths, paths = append(firstPaths, x.firstPath), append(paths, x.path)
	}
	verdict := "yes"
	if len(r.faults) > 0 {
		verdict = strings.Join(r.faults, "; ")
	}
	return []string{r.pair.name, spread(first), distinct(firstPaths), spread(direct), distinct(paths), verdict}
}

func distinct(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// markdown writes a table.
func markdown(w io.Writer, rows [][]string) {
	for i, r := range rows {
		fmt.Fprintln(w, "| "+strings.Join(r, " | ")+" |")
		if i == 0 {
			fmt.Fprintln(w, strings.Repeat("| --- ", len(r))+"|")
		}
	}
}

// showLogs writes the end of what the peers have logged.
func (l *lab) showLogs(w io.Writer) {
	const lines = 40
	for _, id := range []string{"pub", "a", "b"} {
		data, err := os.ReadFile(l.dir + "/" + id + ".log")
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(w, "--- %s\n%s\n", id, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
}
