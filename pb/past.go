package pb

import (
	"cmp"
)

// The frames that bring what was said before a peer came, in a room or to everyone.

// Limits of them, in bytes unless said otherwise.
const (
	MaxPast      = 200       // broadcasts in an answer about the past
	MaxPastBytes = 256 << 10 // signed bytes and signatures in such an answer, passes too
	MaxHave      = 512       // entries in PastWanted.have
	MaxPasses    = MaxPast   // entries in PastGiven.passes
)

// Everyone names what is said to everyone where rooms are named.
const Everyone = "*"

// checkPlace is CheckRoom for frames that are about what was said to everyone as well.
func checkPlace(room string) error {
	if room == Everyone {
		return nil
	}
	return CheckRoom(room)
}

func checkPastWanted(m *PastWanted) error {
	return cmp.Or(checkPlace(m.GetRoom()), checkAtMost("broadcasts had", len(m.GetHave()), MaxHave))
}

// checkPastGiven leaves the broadcasts and passes to those who open them: others have made them.
func checkPastGiven(m *PastGiven) error {
	return cmp.Or(
		checkPlace(m.GetRoom()),
		checkAtMost("broadcasts", len(m.GetBroadcasts()), MaxPast),
		checkAtMost("passes", len(m.GetPasses()), MaxPasses),
	)
}
