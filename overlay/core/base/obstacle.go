package base

// Obstacle is what a dial to a peer to join met instead, as far as the user can do something
// about it.
type Obstacle int

const (
	ObstacleSilence  Obstacle = iota // no answer: nothing is there, or our packets do not arrive
	ObstacleName                     // the name can't be resolved
	ObstacleSelf                     // we answer there ourselves
	ObstacleProtocol                 // another protocol, or another version of ours, or the door of a private network answers
	ObstacleTwin                     // another process answers with our own key; fatal if no other door lets us in
	ObstacleFull                     // all places there are taken
	ObstacleTable                    // it let us in, but its table did not come: this is not a firewall
)
