package core

import (
	"maps"

	"quicpeer/overlay/core/base"
)

// Stats is what a core has counted, and what it keeps for others.
type Stats struct {
	base.Counts
	Letters     int // kept for peers that are away
	LetterBytes int
}

// Stats returns what the core has counted since its start.
func (c *Core) Stats() Stats {
	s := Stats{Counts: c.env.Counts}
	s.Refused = maps.Clone(s.Refused)
	s.Letters, s.LetterBytes = c.custody.Holding()
	return s
}
