package core

import "time"

// shape is who can reach whom.
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

// widest is how many peers a shape may have here. An accusation is shown after
// suspectFor, so it must cross the network and come back in that time; and
// nobody may depend on a peer that has maxNeighbours already.
func (s shape) widest() int {
	switch s {
	case shapeLine:
		return 8
	case shapeRing:
		return 14
	case shapeStar:
		return maxNeighbours + 1
	case shapeRandom:
		return 16
	}
	return 60
}

// take gives the network a shape. A random one is a tree of small depth with
// more edges.
func (w *world) take(s shape) {
	n := len(w.nodes)
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
		return b == a/2 || w.rng.IntN(4) == 0
	})
}

// setEdges sets them for each pair a > b.
func (w *world) setEdges(edge func(a, b int) bool) {
	for a := range w.nodes {
		for b := range a {
			w.edge[a][b] = edge(a, b)
			w.edge[b][a] = w.edge[a][b]
		}
	}
}

// doors are addresses that the machine can join at: some of the running ones
// that it can reach, at most three, none if there are none.
func (n *node) doors() []string {
	w := n.world
	var list []string
	for _, i := range w.rng.Perm(len(w.nodes)) {
		p := w.nodes[i].process
		if p != nil && !p.leaving && w.reach(n.index, i) && len(list) < 3 {
			list = append(list, p.node.address)
		}
	}
	return list
}

// build starts all machines within span: the first is the network, each other
// joins at some of those before it that it can reach, be they up yet or not.
func (w *world) build(count int, span time.Duration) {
	begun := w.now
	started := 0
	for i := range count {
		n := w.nodes[i]
		var join []string
		for _, j := range w.rng.Perm(i) {
			if w.edge[i][j] && len(join) < 2 {
				join = append(join, w.nodes[j].address)
			}
		}
		at := begun
		if i > 0 {
			at = w.now + w.between(0, span)
		}
		w.at(at, func() { started++; n.start(join...) })
	}
	w.runUntil(span+time.Second, func() bool { return started == count })
	w.settle(60 * time.Second)
}
