package doctor

import (
	"cmp"
	"slices"
)

// Finding is something that stands in the way, or that was found in order.
type Finding struct {
	Check string `json:"check"` // a stable word: socket, firewall, multicast, …
	Level Level  `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why,omitzero"`
	Next  string `json:"next,omitzero"` // what to do
}

// Level says how grave a finding is.
type Level string

// The levels of findings, from the gravest.
const (
	Problem Level = "problem" // it stands in the way
	Note    Level = "note"    // it may matter, or could not be seen
	Fine    Level = "ok"
)

var ranks = map[Level]int{Problem: 0, Note: 1, Fine: 2}

// Problems counts those that stand in the way.
func Problems(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Level == Problem {
			n++
		}
	}
	return n
}

// Judge makes findings of facts, the gravest first.
func Judge(f Facts) []Finding {
	var all []Finding
	for _, judge := range []func(Facts) []Finding{
		judgeSocket, judgeFirewalls, judgeInterfaces, judgeMulticast, judgeNAT, judgeRouter, judgePeers,
		judgeClock, judgeState, judgeDisk, judgeFiles,
	} {
		all = append(all, judge(f)...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(ranks[a.Level], ranks[b.Level]) })
	return all
}

func one(check string, level Level, what, why, next string) []Finding {
	return []Finding{{check, level, what, why, next}}
}
