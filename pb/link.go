package pb

import "time"

// Times on which both sides of a link rely, beside the contents of the frames.
const (
	// KeepaliveEvery is how long a link may be idle before a packet goes over it. It is about
	// a third of the 1.4 s after which the overlay takes a link for silent: time for a lost
	// packet to be repeated, after a probe timeout, and for that one again. Both sides send,
	// since each measures the other.
	KeepaliveEvery = 500 * time.Millisecond
	// IdleTimeout is how long a silent link lives. It does not find crashes, since the overlay
	// looks into silence after 1.4 s. It is long enough for a Wi-Fi change, and for a process
	// that was frozen to come back over its old links; a guess.
	IdleTimeout = 15 * time.Second
)
