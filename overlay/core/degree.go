package core

// The rule by which peers choose how many neighbours they have, apart from links and
// messages: networks that are too large to be simulated whole are grown by it too.

// Standing is how a peer is off for neighbours.
type Standing struct {
	Degree int // neighbours, and those that are asked to become some
	Gained int // of the neighbours, those that it has asked for
}

// Short is how many neighbours the peer asks for at once; not above 0 if it has enough.
func (s Standing) Short() int { return wantNeighbours - s.Degree }

// TakesMore says that the peer asks for one more, in no hurry: until it has eight, or has
// gained five by asking, or those who come and go would leave all with five.
func (s Standing) TakesMore() bool {
	return s.Degree >= wantNeighbours && s.Degree < enoughNeighbours && s.Gained < wantNeighbours
}

// HasRoom says that the peer grants neighbourhood to whoever asks.
func (s Standing) HasRoom() bool { return s.Degree < MaxNeighbours }

// MakesRoom says that it gives up a neighbour for somebody who asks, and has so many.
func MakesRoom(have int) bool { return have < wantNeighbours }

// Richest is the place of the neighbour that is given up: by what they have said, it has
// most, and more than enough. None has if it is -1.
func Richest(degrees []int) int {
	richest, most := -1, enoughNeighbours
	for i, n := range degrees {
		if n > most {
			richest, most = i, n
		}
	}
	return richest
}
