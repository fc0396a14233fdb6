package messaging

import (
	"sync"
	"time"
)

// commits counts what is handed to the disk until it is safe there. Of what is on its way at once,
// one is timed.
type commits struct {
	mu      sync.Mutex
	took    Histogram
	waiting int
	timed   bool // one is
}

// begin counts a write, and returns what safeSince is to be called with when it is safe.
func (c *commits) begin() (began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	if !c.timed {
		c.timed, began = true, time.Now()
	}
	return began
}

func (c *commits) safeSince(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
	if !began.IsZero() {
		c.timed = false
		c.took.Observe(time.Since(began))
	}
}
