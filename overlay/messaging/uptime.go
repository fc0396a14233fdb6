package messaging

import (
	"time"

	"quicpeer/overlay/messaging/store"
)

// How long a message has waited for its receiver, and a deposit was kept for its own, is
// the time that this peer was running meanwhile, in all its runs together. The clock on
// the wall is not asked: a board without a battery starts in 1970 or at its last shutdown
// and is set right later, so what looks like a month may be a second. Nor can a peer that
// was off know for how long: a clock that was set looks the same. So time off does not
// count, and what waits lives longer by it, never less long. It is bounded by its number
// and bytes.

// uptimeEvery is how often the uptime is noted, and so what a kill forgets of it (a guess).
const uptimeEvery = 10 * time.Minute

// uptime is the clock of a state directory.
type uptime struct {
	before time.Duration // of earlier runs
	next   time.Duration // when it is to be noted, since the start of this one
}

// UptimeAt is the uptime at a time since the start, as it is stored.
func (d *Disk) UptimeAt(since time.Duration) int64 { return int64(d.uptime.before + since) }

// TimeOf is the reverse for what an earlier run has stored, and so before the start. What
// a killed run had stored may be ahead of the uptime that it had noted.
func (d *Disk) TimeOf(at int64) time.Duration { return min(time.Duration(at)-d.uptime.before, 0) }

// noteUptime notes it now and then.
func (d *Disk) noteUptime(now time.Duration) {
	if now >= d.uptime.next {
		d.uptime.next = now + uptimeEvery
		d.Write(nil, UptimeOp(d.uptime.before+now))
	}
}

// UptimeOp stores an uptime.
func UptimeOp(d time.Duration) store.Op { return store.NumberOp("uptime", uint64(d)) }
