package base

import "time"

// Limiter is a rate limiter: burst at once, then one in every. It keeps one number, the time
// at which the next is due, as the virtual scheduling of the generic cell rate algorithm does
// (GCRA, ITU-T I.371).
type Limiter struct{ Next time.Duration }

// Take lets one through, or says that it has to be refused.
func (lm *Limiter) Take(now time.Duration, burst int, every time.Duration) bool {
	return lm.Spend(now, time.Duration(burst)*every, every)
}

// Spend is take for things of different cost: cost is the interval that this one is worth,
// burst the sum of intervals that may be spent at once.
func (lm *Limiter) Spend(now, burst, cost time.Duration) bool {
	lm.Next = max(lm.Next, now)
	if lm.Next-now > burst {
		return false
	}
	lm.Next += cost
	return true
}
