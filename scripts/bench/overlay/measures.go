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

// measure is something that is measured of a network.
type measure struct {
	name, title, unit string
	bars              bars
	worst             bool // each run has to keep to the bar, not their median alone
}

// bars are what quicpeer promises for networks of up to 100 members, and of up to 300.
type bars [2]float64

// none is the bar where nothing is promised.
var none = math.Inf(1)

// The bars are the design's goals for two cores. They hold up to 300 nodes, the
// most that two cores carry in one process; beyond, nobody has measured. What all
// nodes compute when they join at once grows with n².
var measures = []measure{
	{joinAll, "all join at once through one door: start to last table complete", "s", bars{3, 12}, true},
	{joinCPU, "of that, CPU time for each", "ms", bars{none, none}, false},
	{joinOne, "one more joins: start to known by all", "s", bars{0.3, 0.3}, false},
	{leave, "one leaves: start to known by all", "s", bars{0.3, 0.3}, false},
	{crashOne, "one is killed: known by all survivors", "s", bars{3.5, 3.5}, false},
	{crashMany, "a tenth is killed at once: known by all survivors", "s", bars{6, 6}, false},
	{slander, "living members said to be lost", "", bars{0, 0}, true},
	{idleCPU, "idle: CPU of each", "% of a core", bars{none, none}, false},
	{idleKB, "idle: sent by each, headers included", "kB/s", bars{none, none}, false},
	{idlePacks, "idle: sent by each", "packets/s", bars{none, none}, false},
}

// promise is the bar for a network of n members.
func (m measure) promise(n int) float64 {
	switch {
	case n <= 100:
		return m.bars[0]
	case n <= 300:
		return m.bars[1]
	}
	return none
}

// verdict compares quicpeer's values, the smallest first, with the promise: "ok", "missed",
// or "" where there is nothing to compare. A run that was given up misses every promise.
func (m measure) verdict(n int, values []float64) string {
	if len(values) == 0 || m.promise(n) == none {
		return ""
	}
	most := slices.Max(values)
	if most == none || m.worst && most > m.promise(n) || command.Median(values) > m.promise(n) {
		return "missed"
	}
	return "ok"
}

// subject is what a value was measured of.
type subject struct {
	system  string
	n       int
	measure string
}

// samples are the results so far. What didn't happen within patience is infinite.
type samples map[subject][]float64

// of are the values of a measure, the smallest first.
func (s samples) of(system string, n int, measure string) []float64 {
	return slices.Sorted(slices.Values(s[subject{system, n, measure}]))
}

// format is a value with three digits.
func format(value float64) string {
	switch {
	case value == none:
		return fmt.Sprintf("not in %v", patience)
	case value == math.Trunc(value) || value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	case value >= 0.1:
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.3f", value)
}

// patience bounds each wait: several times what the slowest takes, memberlist at 300 nodes.
const patience = time.Minute
