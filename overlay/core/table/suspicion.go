package table

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// How long a suspect may refute that it is lost before users are shown it, by the number of its
// accusers.
const (
	SuspectAlone = 3 * time.Second        // one: it may be the accuser who is cut off, or lies
	SuspectFor   = 300 * time.Millisecond // two: a flood there and back takes 270 ms in 1000 peers
	SuspectMost  = 4 * SuspectFor         // two, however much we doubt ourselves
	// RefutedFor is how long two accusers count as one, when such were wrong: a guess.
	RefutedFor = time.Minute
)

// Suspicion is held against a peer that is called lost, as in SWIM. For a while it counts as here
// and may refute. A second accuser, who has found it lost independently, shortens that time
// (Lifeguard, section IV-B, with one confirmation): most of a dead peer's neighbours find it
// silent within a moment, but few have a bad path to the same living one.
type Suspicion struct {
	Accusers []certs.ID // the first two that we have heard of
	Ours     bool       // we were the first of them
	Since    time.Duration
	Until    time.Duration // it counts as here
	// Waiting are links over which accusations came that do not count here.
	Waiting []base.LinkID
}

// Suspect reports whether a peer was called lost and may still refute.
func (e *Entry) Suspect(now time.Duration) bool {
	return e.State == pb.AnnouncementType_LOST && now < e.Our().Until
}
