package messaging

import (
	"time"

	"quicpeer/overlay/messaging/store"
)

// Uptime measures how long a message has waited for its receiver, and a deposit was kept for
// its own: it is the time that this peer was running meanwhile, in all its runs together. The
// wall clock is not used: a board without a battery starts in 1970 or at its last shutdown and
// is set right later, so an apparent month may be a second. Nor can a peer that was off know
// for how long, since a clock that was set looks the same. So time off does not count, and
// waiting messages live longer by it, never less long. Their number and bytes are bounded.

// uptimeEvery is how often the uptime is stored, and so how much of it a kill forgets (a
// guess).
const uptimeEvery = 10 * time.Minute

// uptime is the clock of a state directory.
type uptime struct {
	before time.Duration // of earlier runs
	next   time.Duration // when it is to be noted, since the start of this one
}

// UptimeAt is the uptime at a time since the start, as it is stored.
func (d *Disk) UptimeAt(since time.Duration) int64 { return int64(d.uptime.before + since) }

// TimeOf is the reverse, for a time that an earlier run has stored, and so before the start. A
// time stored by a killed run may be ahead of the uptime that it had stored.
func (d *Disk) TimeOf(at int64) time.Duration { return min(time.Duration(at)-d.uptime.before, 0) }

// noteUptime stores the uptime now and then.
func (d *Disk) noteUptime(now time.Duration) {
	if now >= d.uptime.next {
		d.uptime.next = now + uptimeEvery
		d.Write(nil, UptimeOp(d.uptime.before+now))
	}
}

// UptimeOp stores an uptime.
func UptimeOp(d time.Duration) store.Op { return store.NumberOp("uptime", uint64(d)) }
