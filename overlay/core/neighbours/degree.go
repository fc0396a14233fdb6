package neighbours

import "quicpeer/overlay/core/table"

// The rule by which peers choose how many neighbours they have, kept apart from links and
// messages so that networks too large to simulate whole can be grown by it too. It is that of
// HyParView's active view (Leitão, Pereira, Rodrigues 2007): a peer asks while it is short, and a
// full one gives up a neighbour for it, one that can spare it. A peer that nobody has granted
// this asks with priority, and is granted it even where none can be spared.

// Short is how many neighbours a peer of that degree asks for; not above 0 if it has enough.
// Neighbours and requests under way count.
func Short(degree int) int { return table.WantNeighbours - degree }

// Grants reports whether a peer of that degree grants neighbourhood.
func Grants(degree int, priority bool) bool {
	return degree < table.MaxNeighbours || priority && degree < table.MostNeighbours
}

// Richest is the index of the neighbour to drop, by the degrees that they have named: the one
// with the most, if it is not short without us; -1 if there is none.
func Richest(degrees []int) int {
	richest, most := -1, table.WantNeighbours
	for i, n := range degrees {
		if n > most {
			richest, most = i, n
		}
	}
	return richest
}
