package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"quicpeer/scripts/bench/command"
)

// report prints the results in Markdown, and says whether quicpeer has missed a
// bar.
func report(w io.Writer, all samples) (missed bool) {
	for _, n := range all.sizes() {
		fmt.Fprintf(w, "\n## %d nodes\n\n| measure | bar | %s | %s | |\n| --- | --- | --- | --- | --- |\n", n, ours.name, theirs.name)
		for _, m := range measures {
			values := all.of(ours.name, n, m.name)
			verdict := m.verdict(n, values)
			missed = missed || verdict == "missed"
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", m.titled(), m.barred(n),
				m.spread(values), m.spread(all.of(theirs.name, n, m.name)), verdict)
		}
	}
	growth(w, all)
	fmt.Fprintln(w, `
Medians, in brackets the least and the most of more than one value; what every run has to keep to is judged by the
most. memberlist neither encrypts nor authenticates here, quicpeer does both.`)
	return missed
}

// growth prints how each cost grows with the network.
func growth(w io.Writer, all samples) {
	fmt.Fprintf(w, "\n## Growth: medians of %s", ours.name)
	if slices.Contains(all.systems(), theirs.name) {
		fmt.Fprintf(w, " / of %s", theirs.name)
	}
	fmt.Fprint(w, "\n\n| measure |")
	for _, n := range all.sizes() {
		fmt.Fprintf(w, " N = %d |", n)
	}
	fmt.Fprint(w, "\n| --- |", strings.Repeat(" --- |", len(all.sizes())), "\n")
	for _, m := range measures {
		fmt.Fprintf(w, "| %s |", m.titled())
		for _, n := range all.sizes() {
			var both []string
			for _, s := range []string{ours.name, theirs.name} {
				if list := all.of(s, n, m.name); len(list) > 0 {
					both = append(both, m.format(command.Median(list)))
				}
			}
			fmt.Fprintf(w, " %s |", strings.Join(both, " / "))
		}
		fmt.Fprintln(w)
	}
}

func (m measure) titled() string {
	if m.unit == "" {
		return m.title
	}
	return m.title + ", " + m.unit
}

func (m measure) barred(n int) string {
	bar := m.promise(n)
	if math.IsInf(bar, 1) {
		return ""
	}
	if m.worst {
		return "≤ " + digits(bar) + " in every run"
	}
	return "≤ " + digits(bar)
}

// spread is the median, and the range if there is one.
func (m measure) spread(sorted []float64) string {
	switch len(sorted) {
	case 0:
		return ""
	case 1:
		return m.format(sorted[0])
	}
	least, most := sorted[0], sorted[len(sorted)-1]
	if least == most {
		return m.format(least)
	}
	return fmt.Sprintf("%s (%s to %s)", m.format(command.Median(sorted)), m.format(least), m.format(most))
}
