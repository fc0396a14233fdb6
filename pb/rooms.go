package pb

import (
	"cmp"
	"fmt"
	"strings"
)

// Rooms: what their names look like, and the frames that bring what was said in them before.

// Limits of them, in bytes unless said otherwise.
const (
	MaxRoom      = 32        // characters of a room's name, the # not counted
	MaxPast      = 200       // broadcasts in an answer about the past
	MaxPastBytes = 256 << 10 // signed bytes and signatures in such an answer, passes too
	MaxHave      = 512       // entries in PastWanted.have
	MaxPasses    = MaxPast   // entries in PastGiven.passes
)

// Everyone names what is said to everyone where rooms are named.
const Everyone = "*"

// CheckRoom reports why name is not a valid name of a room: #, then 1 to 32 of lower-case letters,
// digits, '.', '_' and '-'. There are no capitals, or #Dev and #dev would be two rooms that people
// take for one.
func CheckRoom(name string) error {
	rest, ok := strings.CutPrefix(name, "#")
	switch {
	case !ok:
		return fmt.Errorf("a room's name begins with #")
	case rest == "":
		return fmt.Errorf("a room's name can't be empty")
	case len(rest) > MaxRoom:
		return fmt.Errorf("a room's name has at most %d characters, this one %d", MaxRoom, len(rest))
	}
	for _, c := range rest {
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("a room's name consists of the letters a to z, digits, '.', '_' and '-', not %q", c)
		}
	}
	return nil
}

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
