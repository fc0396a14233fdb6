package pb

import "time"

// Both sides of a link rely on these, beside what is in the frames.
const (
	// KeepaliveEvery is how long a link may be idle before a packet goes over it: about a
	// third of the 1.4 s after which the overlay takes a link for silent, time for a lost
	// packet to be repeated, after a probe timeout, and that one again. Both sides send:
	// each measures the other.
	KeepaliveEvery = 500 * time.Millisecond
	// IdleTimeout is how long a silent link lives. Not how crashes are found: the overlay
	// looks into silence after 1.4 s. Long enough for a Wi-Fi change, and for a process that
	// was frozen to come back over its old links; a guess.
	IdleTimeout = 15 * time.Second
)
