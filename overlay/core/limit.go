package core

import (
	"time"
)

// allowance bounds how much of something comes in: burst at once, then one in every.
type allowance struct{ next time.Duration }

func (a *allowance) take(now time.Duration, burst int, every time.Duration) bool {
	return a.spend(now, time.Duration(burst)*every, every)
}

// spend is take for things that cost differently much: cost is the time in which one
// comes, burst that of all which may come at once.
func (a *allowance) spend(now, burst, cost time.Duration) bool {
	a.next = max(a.next, now)
	if a.next-now > burst {
		return false
	}
	a.next += cost
	return true
}
