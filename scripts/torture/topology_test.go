package main

import (
	"math/rand/v2"
	"testing"
)

func TestTopology(t *testing.T) {
	for n := 4; n <= 20; n++ {
		for seed := range uint64(50) {
			apart := topology(n, rand.New(rand.NewPCG(seed, 0)))
			if !connected(n, apart, nil) {
				t.Fatalf("%d peers, seed %d: not connected by %v", n, seed, apart)
			}
			for a := range n {
				if !reaches(a, n, apart) {
					t.Fatalf("%d peers, seed %d: %d has no door or only one neighbour: %v", n, seed, a, apart)
				}
			}
			if want := len(pairs(n)) / 3; len(apart) > want || n >= 6 && len(apart) < want {
				t.Fatalf("%d peers, seed %d: %d pairs apart of %d", n, seed, len(apart), len(pairs(n)))
			}
		}
	}
}

func TestConnected(t *testing.T) {
	for _, test := range []struct {
		name  string
		open  []pair
		out   []int
		whole bool
	}{
		{"a chain", []pair{{0, 1}, {1, 2}, {2, 3}}, nil, true},
		{"a star", []pair{{0, 3}, {1, 3}, {2, 3}}, nil, true},
		{"two halves", []pair{{0, 1}, {2, 3}}, nil, false},
		{"one alone", []pair{{0, 1}, {1, 2}, {0, 2}}, nil, false},
		{"nobody", nil, nil, false},
		{"the one alone is out", []pair{{0, 1}, {1, 2}}, []int{3}, true},
		{"the first is out", []pair{{0, 1}, {1, 2}, {2, 3}}, []int{0}, true},
		{"the middle is out", []pair{{0, 1}, {1, 2}, {2, 3}}, []int{1}, false},
		{"all are out", nil, []int{0, 1, 2, 3}, true},
	} {
		apart := map[pair]int{}
		for _, p := range pairs(4) {
			apart[p] = 1
		}
		for _, p := range test.open {
			delete(apart, p)
		}
		out := map[int]bool{}
		for _, i := range test.out {
			out[i] = true
		}
		if got := connected(4, apart, out); got != test.whole {
			t.Errorf("%s: connected is %v", test.name, got)
		}
	}
}
