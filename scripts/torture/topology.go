package main

import "math/rand/v2"

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

// topology draws who can never reach whom: a third of the pairs, or as many as
// there may be, so that all can reach each other over others. The doors reach each
// other, each peer reaches a door, and each reaches two others at least, so that
// there is more than one way.
func topology(n int, lot *rand.Rand) map[pair]bool {
	all := pairs(n)
	lot.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	apart := map[pair]bool{}
	for _, p := range all {
		if len(apart) == len(all)/3 {
			break
		}
		apart[p] = true
		if p == (pair{0, 1}) || !reaches(p[0], n, apart) || !reaches(p[1], n, apart) || !connected(n, apart, nil) {
			delete(apart, p)
		}
	}
	return apart
}

// reaches reports whether a peer has a door and two others at least.
func reaches(a, n int, apart map[pair]bool) bool {
	door, others := a < doors, 0
	for b := range n {
		if b != a && !apart[pairOf(a, b)] {
			others++
			door = door || b < doors
		}
	}
	return door && others >= 2
}

// connected reports whether all peers that are not out reach each other, over any
// number of the others, when the pairs in apart can't do so directly.
func connected(n int, apart map[pair]bool, out map[int]bool) bool {
	group := make([]int, n) // each joins the group of those that it reaches
	for i := range group {
		group[i] = i
	}
	for _, p := range pairs(n) {
		a, b := group[p[0]], group[p[1]]
		if a == b || apart[p] || out[p[0]] || out[p[1]] {
			continue
		}
		for i := range group {
			if group[i] == b {
				group[i] = a
			}
		}
	}
	first := -1
	for i, g := range group {
		switch {
		case out[i]:
		case first < 0:
			first = g
		case g != first:
			return false
		}
	}
	return true
}
