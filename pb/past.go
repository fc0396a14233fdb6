package pb

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
