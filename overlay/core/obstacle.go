package core

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
