package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"quicpeer/scripts/bench/command"
)

// The measures, by their names.
const (
	joinAll   = "join_all_s"
	joinCPU   = "join_cpu_ms"
	joinOne   = "join_one_s"
	leave     = "leave_s"
	crashOne  = "crash_one_s"
	crashMany = "crash_many_s"
	slander   = "false_lost"
	idleCPU   = "idle_cpu_percent"
	idleKB    = "idle_kb_s"
	idlePacks = "idle_packets_s"
)

// measure is something that is measured of a network of n members.
type measure struct {
	name, title, unit string
	// bar is what quicpeer promises, nil if nothing. Above is nothing promised for
	// a network of this size.
	bar func(n int) float64
	// worst says that each run has to keep to the bar, not their median alone.
	worst bool
}

// none is the bar where nothing is promised.
var none = math.Inf(1)

func always(bar float64) func(int) float64 {
	return func(int) float64 { return bar }
}

// joinBar is for all nodes on two cores: what they compute grows with n².
func joinBar(n int) float64 {
	switch {
	case n <= 100:
		return 3
	case n <= 300:
		return 12
	}
	return none
}

// The bars are the design's goals for two cores. They hold up to 300 nodes, the
// most that two cores carry in one process; beyond, nobody has measured.
var measures = []measure{
	{joinAll, "all join at once through one door: start to last table complete", "s", joinBar, true},
	{joinCPU, "of that, CPU time for each", "ms", nil, false},
	{joinOne, "one more joins: start to known by all", "s", always(0.3), false},
	{leave, "one leaves: start to known by all", "s", always(0.3), false},
	{crashOne, "one is killed: known by all survivors", "s", always(3.5), false},
	{crashMany, "a tenth is killed at once: known by all survivors", "s", always(6), false},
	{slander, "living members said to be lost", "", always(0), true},
	{idleCPU, "idle: CPU of each", "% of a core", nil, false},
	{idleKB, "idle: sent by each, headers included", "kB/s", nil, false},
	{idlePacks, "idle: sent by each", "packets/s", nil, false},
}

// promise is the bar at a size.
func (m measure) promise(n int) float64 {
	if m.bar == nil || n > 300 {
		return none
	}
	return m.bar(n)
}

// sample is one value of one measure. What didn't
// happen within patience is infinite.
type sample struct {
	system  string
	n       int
	measure string
	value   float64
}

// samples are the results so far.
type samples []sample

// of selects the values of a measure, the smallest first.
func (s samples) of(system string, n int, measure string) []float64 {
	var list []float64
	for _, x := range s {
		if x.system == system && x.n == n && x.measure == measure {
			list = append(list, x.value)
		}
	}
	slices.Sort(list)
	return list
}

// sizes are the sizes of the networks, the smallest first.
func (s samples) sizes() []int {
	var list []int
	for _, x := range s {
		list = append(list, x.n)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// systems are the names of what was measured, in the order of their first sample.
func (s samples) systems() []string {
	var list []string
	for _, x := range s {
		if !slices.Contains(list, x.system) {
			list = append(list, x.system)
		}
	}
	return list
}

// verdict compares quicpeer's values with the promise: "ok", "missed", or "" where
// there is nothing to compare.
func (m measure) verdict(n int, sorted []float64) string {
	bar := m.promise(n)
	if len(sorted) == 0 || math.IsInf(bar, 1) {
		return ""
	}
	value := command.Median(sorted)
	if m.worst {
		value = sorted[len(sorted)-1]
	}
	if value > bar {
		return "missed"
	}
	return "ok"
}

// format is a value with three digits.
func (m measure) format(value float64) string {
	if math.IsInf(value, 1) {
		return fmt.Sprintf("not in %v", patience)
	}
	return digits(value)
}

func digits(value float64) string {
	switch {
	case value == math.Trunc(value) || value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	case value >= 0.1:
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.3f", value)
}

// patience bounds each wait: several times what the slowest takes, memberlist at
// 300 nodes.
const patience = time.Minute
