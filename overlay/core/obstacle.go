package core

import "slices"

// Obstacle is what a dial to a peer to join came upon, as far as it tells what can be
// done about it.
type Obstacle int

const (
	ObstacleSilence  Obstacle = iota // nobody is there, or what we send does not get there
	ObstacleName                     // the name can't be resolved
	ObstacleSelf                     // we answer there ourselves
	ObstacleProtocol                 // what answers there does not speak our protocol, or this version of it
	ObstacleTwin                     // another process answers with our own key; if no other door lets us in that is the end
	ObstacleFull                     // all places there are taken
	ObstacleTable                    // it has let us in, and its table did not come: no firewall is in the way
)

// hindered is Hindered.
func (jn *joiner) hindered(id DialID, by Obstacle) {
	if d := jn.reach.dials[id]; d != nil && d.target != nil {
		d.target.obstacle = by
		d.target.hopeless = d.target.hopeless || by == ObstacleTwin
	}
}

// obstacles are those in the way of the peers to join, each once. Acquaintances are
// nobody's wish.
func (jn *joiner) obstacles() []Obstacle {
	var list []Obstacle
	for _, t := range jn.targets {
		by := t.obstacle
		switch {
		case t.refusal != nil:
			by = ObstacleFull
		case t.reached:
			by = ObstacleTable
		}
		if (!t.met || t.reached) && !slices.Contains(list, by) {
			list = append(list, by)
		}
	}
	return list
}
