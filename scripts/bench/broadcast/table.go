package main

import (
	"fmt"
	"io"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/bench/crowd"
)

// bar is the most that a figure may be, as a part of gossipsub's.
const bar = 0.7

// workload is a part of a result.
type workload struct {
	name string
	of   func(crowd.Result) crowd.Figures
}

var workloads = []workload{
	{"10 a second", func(r crowd.Result) crowd.Figures { return r.Steady }},
	{"100 at once", func(r crowd.Result) crowd.Figures { return r.Burst }},
}

// measure is a figure that has the bar.
type measure struct {
	name string
	of   func(crowd.Figures) float64
}

var measures = []measure{
	{"p50, ms", func(f crowd.Figures) float64 { return f.P50.Seconds() * 1000 }},
	{"p99, ms", func(f crowd.Figures) float64 { return f.P99.Seconds() * 1000 }},
	{"last node, ms", func(f crowd.Figures) float64 { return f.Last.Seconds() * 1000 }},
	{"CPU a delivery, µs", func(f crowd.Figures) float64 { return f.CPU.Seconds() * 1e6 }},
}

// report prints the results in Markdown, and says whether quicpeer has missed a bar.
func report(w io.Writer, ours, theirs []crowd.Result) (missed bool) {
	fmt.Fprintln(w, "| workload | measure | quicpeer | gossipsub | ratio | bar | |\n| --- | --- | --- | --- | --- | --- | --- |")
	verdict := func(ok bool) string {
		if !ok {
			missed = true
			return "missed"
		}
		return "ok"
	}
	for _, l := range workloads {
		for _, m := range measures {
			of := func(r crowd.Result) float64 { return m.of(l.of(r)) }
			part := ratio(ours, theirs, of)
			fmt.Fprintf(w, "| %s | %s | %s | %s | %.2f | ≤ %v | %s |\n", l.name, m.name, format(median(ours, of)), format(median(theirs, of)), part, bar, verdict(part <= bar))
		}
		us, them := delivered(ours, l.of), delivered(theirs, l.of)
		fmt.Fprintf(w, "| %s | delivered | %s | %s | | all | %s |\n", l.name, us, them, verdict(us.all()))
	}
	idle := func(r crowd.Result) float64 { return 100 * r.Idle }
	fmt.Fprintf(w, "| idle | CPU of all, %% of a core | %s | %s | %.2f | | |\n", format(median(ours, idle)), format(median(theirs, idle)), ratio(ours, theirs, idle))
	return missed
}

// format is a value with three digits.
func format(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

func median(list []crowd.Result, of func(crowd.Result) float64) float64 {
	var values []float64
	for _, r := range list {
		values = append(values, of(r))
	}
	return command.Median(values)
}

// ratio is the median of the ratios of each round.
func ratio(ours, theirs []crowd.Result, of func(crowd.Result) float64) float64 {
	var values []float64
	for i := range ours {
		values = append(values, of(ours[i])/of(theirs[i]))
	}
	return command.Median(values)
}

// deliveries are those of all rounds: how many there were, and should have been.
type deliveries struct{ are, should int }

func delivered(list []crowd.Result, of func(crowd.Result) crowd.Figures) (d deliveries) {
	for _, r := range list {
		d.are, d.should = d.are+of(r).Delivered, d.should+of(r).Expected
	}
	return d
}

func (d deliveries) all() bool { return d.are == d.should }

func (d deliveries) String() string { return fmt.Sprintf("%d of %d", d.are, d.should) }
