package main

import (
	"math/rand/v2"
	"slices"
)

// pair is two peers by their numbers, the smaller first.
type pair [2]int

func pairOf(a, b int) pair { return pair{min(a, b), max(a, b)} }

// pairs are all pairs of n peers.
func pairs(n int) []pair {
	var all []pair
	for a := range n {
		for b := a + 1; b < n; b++ {
			all = append(all, pair{a, b})
		}
	}
	return all
}

// doors are the peers through which all join: number 0 and number 1.
const doors = 2

// topology draws who can never reach whom: a third of the pairs, or as many as there may be, so
// that all can reach each other over others. The doors reach each other, each peer reaches a door,
// and each reaches two others at least, so that there is more than one way.
func topology(n int, lot *rand.Rand) map[pair]int {
	all := pairs(n)
	lot.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	apart := map[pair]int{}
	for _, p := range all {
		if len(apart) == len(all)/3 {
			break
		}
		apart[p] = 1
		if p == (pair{0, 1}) || !reaches(p[0], n, apart) || !reaches(p[1], n, apart) || !connected(n, apart, nil) {
			delete(apart, p)
		}
	}
	return apart
}

// reaches reports whether a peer has a door and two others at least.
func reaches(a, n int, apart map[pair]int) bool {
	door, others := a < doors, 0
	for b := range n {
		if b != a && apart[pairOf(a, b)] == 0 {
			others++
			door = door || b < doors
		}
	}
	return door && others >= 2
}

// connected reports whether all peers that are not out reach each other, over any
// number of the others, when the pairs in apart can't do so directly.
func connected(n int, apart map[pair]int, out map[int]bool) bool {
	var unreached []int
	for p := range n {
		if !out[p] {
			unreached = append(unreached, p)
		}
	}
	var reached []int
	if len(unreached) > 0 {
		reached, unreached = unreached[:1:1], unreached[1:]
	}
	for i := 0; i < len(reached); i++ {
		unreached = slices.DeleteFunc(unreached, func(p int) bool {
			open := apart[pairOf(reached[i], p)] == 0
			if open {
				reached = append(reached, p)
			}
			return open
		})
	}
	return len(unreached) == 0
}
