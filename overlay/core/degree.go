package core

// Numbers of neighbours.
const (
	wantNeighbours   = 5  // asked for; the study measured a mean degree of 9.0 with these two
	enoughNeighbours = 8  // not asked for more
	maxDependants    = 64 // granted above that to peers without any other neighbour
)

// The rule by which peers choose how many neighbours they have, kept apart from links and
// messages so that networks too large to simulate whole can be grown by it too. The neighbours
// are what HyParView calls the active view (Leitão, Pereira, Rodrigues 2007).

// Standing is how many neighbours a peer has.
type Standing struct {
	Degree int // neighbours, including requests under way
	Gained int // neighbours that it has gained by asking
}

// Short is how many neighbours the peer asks for at once; not above 0 if it has enough.
func (s Standing) Short() int { return wantNeighbours - s.Degree }

// TakesMore reports whether the peer asks for one more, in no hurry: until it has eight, or has
// gained five by asking. Without the latter, peers that come and go would leave everybody with
// five.
func (s Standing) TakesMore() bool {
	return s.Degree >= wantNeighbours && s.Degree < enoughNeighbours && s.Gained < wantNeighbours
}

// HasRoom reports whether the peer grants neighbourhood to anybody who asks.
func (s Standing) HasRoom() bool { return s.Degree < MaxNeighbours }

// MakesRoom reports whether a full peer drops a neighbour for one that asks and has so few.
func MakesRoom(have int) bool { return have < wantNeighbours }

// Richest is the index of the neighbour to drop, by the degrees that they have named: the one
// with the most, if that is more than enough; -1 if none has.
func Richest(degrees []int) int {
	richest, most := -1, enoughNeighbours
	for i, n := range degrees {
		if n > most {
			richest, most = i, n
		}
	}
	return richest
}
