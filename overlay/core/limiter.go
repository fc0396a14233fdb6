package core

import "time"

// limiter is a rate limiter: burst at once, then one in every. It keeps one number, the time
// at which the next is due, as the virtual scheduling of the generic cell rate algorithm does
// (GCRA, ITU-T I.371).
type limiter struct{ next time.Duration }

// take lets one through, or says that it has to be refused.
func (lm *limiter) take(now time.Duration, burst int, every time.Duration) bool {
	return lm.spend(now, time.Duration(burst)*every, every)
}

// spend is take for things of different cost: cost is the interval that this one is worth,
// burst the sum of intervals that may be spent at once.
func (lm *limiter) spend(now, burst, cost time.Duration) bool {
	lm.next = max(lm.next, now)
	if lm.next-now > burst {
		return false
	}
	lm.next += cost
	return true
}
