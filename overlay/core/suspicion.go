package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"time"
)

// How long a suspect may refute that it is lost before users are shown it, by the number of its
// accusers.
const (
	suspectAlone = 3 * time.Second        // one: it may be the accuser who is cut off, or lies
	suspectFor   = 300 * time.Millisecond // two: a flood there and back takes 270 ms in 1000 peers
)

// suspicion is held against a peer that is called lost, as in SWIM. For a while it counts as here
// and may refute. A second accuser, who has found it lost independently, shortens that time
// (Lifeguard, section IV-B, with one confirmation): most of a dead peer's neighbours find it
// silent within a moment, but few have a bad path to the same living one.
type suspicion struct {
	accusers []certs.ID // the first two that we have heard of
	ours     bool       // we are one
	since    time.Duration
	until    time.Duration // it counts as here
	// waiting are links over which accusations came that do not count here.
	waiting []LinkID
}

// suspect reports whether a peer was called lost and may still refute.
func (e *entry) suspect(now time.Duration) bool {
	return e.state == pb.AnnouncementType_LOST && now < e.our().until
}
