package base

import "quicpeer/pb"

// Counts is what a core has counted since its start, for whoever watches it: docs/metrics.md says
// what each figure is for.
type Counts struct {
	Refused    map[pb.HandshakeCode]uint64 // newcomers that were not let in, by the answer
	Violations uint64                      // links ended because the peer had broken the protocol
	Lost       uint64                      // peers that the user was shown as lost
	// FalseLost counts peers that were called lost, or shown as lost, and are here in the same run.
	FalseLost uint64
	Punches   Outcomes // meetings that both sides have dialled for
	Joins     Outcomes // dials of addresses to join, remembered and discovered ones too
}

// Outcomes counts attempts by how they have ended.
type Outcomes struct {
	Done    uint64
	Refused uint64
	Failed  uint64
}

// Refuse counts a newcomer that is not let in.
func (c *Counts) Refuse(code pb.HandshakeCode) {
	if c.Refused == nil {
		c.Refused = make(map[pb.HandshakeCode]uint64)
	}
	c.Refused[code]++
}
