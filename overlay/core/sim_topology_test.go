package core_test

import (
	"time"

	"quicpeer/overlay/core/table"
)

// shape is which peers can reach each other.
type shape int

const (
	shapeFull shape = iota
	shapeRandom
	shapeRing
	shapeStar
	shapeLine
	shapes
)

func (s shape) String() string {
	return [...]string{"full mesh", "random graph", "ring", "star", "line"}[s]
}

// widest is how many peers a shape may have here. An accusation is shown after SuspectFor, so it
// must cross the network and come back in that time; and a peer that has core.MaxNeighbours
// already must not be the only one that another can reach.
func (s shape) widest() int {
	switch s {
	case shapeLine:
		return 8
	case shapeRing:
		return 14
	case shapeStar:
		return table.MaxNeighbours + 1
	case shapeRandom:
		return 16
	}
	return 60
}

// take gives the network a shape. A random one is a tree of small depth with
// more edges.
func (w *world) take(s shape) {
	n := len(w.Machines)
	w.setEdges(func(a, b int) bool {
		switch s {
		case shapeFull:
			return true
		case shapeLine:
			return a-b == 1
		case shapeRing:
			return a-b == 1 || a == n-1 && b == 0
		case shapeStar:
			return b == 0
		}
		return b == a/2 || w.Rand.IntN(4) == 0
	})
}

// setEdges sets them for each pair a > b.
func (w *world) setEdges(edge func(a, b int) bool) {
	for a := range w.Machines {
		for b := range a {
			w.Sever(w.Machines[a], w.Machines[b], !edge(a, b))
		}
	}
}

// build starts all machines within span: the first is the network, each other
// joins at some of those before it that it can reach, be they up yet or not.
func (w *world) build(count int, span time.Duration) {
	begun := w.Now
	started := 0
	for i := range count {
		n := w.Machines[i]
		var join []string
		for _, j := range w.Rand.Perm(i) {
			if w.Reach(n, w.Machines[j]) && len(join) < 2 {
				join = append(join, w.Machines[j].Address)
			}
		}
		at := begun
		if i > 0 {
			at = w.Now + w.Between(0, span)
		}
		w.At(at, func() { started++; n.Start(join...) })
	}
	w.runUntil(span+time.Second, func() bool { return started == count })
	w.settle(60 * time.Second)
}
