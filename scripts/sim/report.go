package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"quicpeer/overlay/coretest"
)

// row is a line of the table of figures.
type row struct {
	scenario string
	measure  string
	bar      string // empty: the figure is for information
	figure   string
	missed   bool
	tables   bool   // it says whether all tables are right
	rival    string // memberlist's
}

// info is a figure without a bar.
func info(measure, format string, args ...any) row {
	return row{measure: measure, figure: fmt.Sprintf(format, args...)}
}

// within is a time that must not be above the bar. never means that it did not come to that.
func within(measure string, d, bar time.Duration, rival string) row {
	return row{measure: measure, figure: seconds(d), bar: "≤ " + seconds(bar), missed: d > bar, rival: rival}
}

// atMost is a number that must not be above the bar.
func atMost(measure string, x, bar float64, unit, rival string) row {
	return row{measure: measure, figure: number(x, unit), bar: "≤ " + number(bar, unit), missed: x > bar, rival: rival}
}

// must is something that has to be so.
func must(measure string, ok bool, format string, args ...any) row {
	return row{measure: measure, figure: fmt.Sprintf(format, args...), bar: "yes", missed: !ok}
}

// tables is whether all are right, and how many entries are not.
func tables(measure string, ok bool, wrong int) row {
	r := must(measure, ok, "%d entries wrong", wrong)
	r.tables = true
	return r
}

func seconds(d time.Duration) string {
	switch {
	case d >= never:
		return "never"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func number(x float64, unit string) string {
	text := fmt.Sprintf("%.3g", x)
	if x == float64(int64(x)) && x < 1e9 {
		text = fmt.Sprintf("%d", int64(x))
	}
	return strings.TrimSpace(text + " " + unit)
}

// print writes the table and returns false if a bar is missed.
func print(out io.Writer, seed uint64, rows []row) (ok bool) {
	fmt.Fprintf(out, "seed %d, one-way latency %v to %v\n", seed, coretest.LeastLatency, coretest.MostLatency)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tmeasure\tbar\tfigure\t\tmemberlist")
	ok = true
	last := ""
	for _, r := range rows {
		verdict := ""
		if r.bar != "" {
			verdict = "ok"
		}
		if r.missed {
			verdict, ok = "MISSED", false
		}
		name := r.scenario
		if name == last {
			name = ""
		}
		last = r.scenario
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, r.measure, r.bar, r.figure, verdict, r.rival)
	}
	t.Flush()
	return ok
}

// times is a sample of durations.
type times []time.Duration

// percentile of the sample, 1 being its greatest; never if it is empty.
func (t times) percentile(p float64) time.Duration {
	if len(t) == 0 {
		return never
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func (t times) max() time.Duration { return t.percentile(1) }

// spread is the median of the sample and the longest.
func (t times) spread(measure string) row {
	return info(measure+", median and longest", "%s, %s", seconds(t.percentile(0.5)), seconds(t.max()))
}

// figures are these rows, and others for what should not be.
func (w *world) figures(rows ...row) []row {
	if n := w.count.violations; n > 0 {
		rows = append(rows, must("nothing against the rules", false, "%d times", n))
	}
	for i, text := range w.count.first {
		if i == 5 {
			return append(rows, info("odd", "... (seed %d)", w.Seed))
		}
		rows = append(rows, info("odd", "%s", text))
	}
	return rows
}
