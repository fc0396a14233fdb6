package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"quicpeer/scripts/bench/command"
)

// report prints the results in Markdown, and says whether quicpeer has missed a bar.
func (o options) report(w io.Writer, all samples) (missed bool) {
	sizes := slices.Compact(slices.Sorted(slices.Values(o.sizes)))
	for _, n := range sizes {
		fmt.Fprintf(w, "\n## %d nodes\n\n| measure | bar | %s | %s | |\n| --- | --- | --- | --- | --- |\n", n, ours.name, theirs.name)
		for _, m := range measures {
			values := all.of(ours.name, n, m.name)
			verdict := m.verdict(n, values)
			missed = missed || verdict == "missed"
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", m.titled(), m.barred(n),
				spread(values), spread(all.of(theirs.name, n, m.name)), verdict)
		}
	}
	o.growth(w, sizes, all)
	fmt.Fprintln(w, `
Medians, in brackets the least and the most of more than one value; what every run has to keep to is judged by the
most. memberlist neither encrypts nor authenticates here, quicpeer does both.`)
	return missed
}

// growth prints how each cost grows with the network.
func (o options) growth(w io.Writer, sizes []int, all samples) {
	fmt.Fprintf(w, "\n## Growth: medians of %s", ours.name)
	if !o.alone {
		fmt.Fprintf(w, " / of %s", theirs.name)
	}
	fmt.Fprint(w, "\n\n| measure |")
	for _, n := range sizes {
		fmt.Fprintf(w, " N = %d |", n)
	}
	fmt.Fprint(w, "\n| --- |", strings.Repeat(" --- |", len(sizes)), "\n")
	for _, m := range measures {
		fmt.Fprintf(w, "| %s |", m.titled())
		for _, n := range sizes {
			var both []string
			for _, s := range []system{ours, theirs} {
				if values := all.of(s.name, n, m.name); len(values) > 0 {
					both = append(both, format(command.Median(values)))
				}
			}
			fmt.Fprintf(w, " %s |", strings.Join(both, " / "))
		}
		fmt.Fprintln(w)
	}
}

func (m measure) titled() string { return strings.TrimSuffix(m.title+", "+m.unit, ", ") }

func (m measure) barred(n int) string {
	switch bar := m.promise(n); {
	case bar == none:
		return ""
	case m.worst:
		return "≤ " + format(bar) + " in every run"
	default:
		return "≤ " + format(bar)
	}
}

// spread is the median of values, the smallest first, and the range if there is one.
func spread(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	least, most := values[0], values[len(values)-1]
	if least == most {
		return format(least)
	}
	return fmt.Sprintf("%s (%s to %s)", format(command.Median(values)), format(least), format(most))
}
