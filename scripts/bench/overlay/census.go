package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// census knows the members, from the code that starts and ends them, and their tables, from
// their reports. The network is complete when every member knows exactly all the others. All
// methods may be called from any goroutine.
type census struct {
	mu      sync.Mutex
	tables  map[string]map[string]bool // of each living member: whom it knows
	right   int                        // entries of living members, in all tables
	wrong   int                        // entries of the dead
	slander int                        // how often a living member was reported as gone
	whole   time.Time                  // since when the network is complete; zero: it isn't
	trouble error                      // a member has stopped by itself
}

// born adds new members, whose tables are empty. Names are never used again.
func (c *census) born(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.tables[name] = map[string]bool{}
	}
	c.count()
}

// died removes members that are dead, or about to go: from now on no member should know them,
// and their reports don't matter.
func (c *census) died(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		for other := range c.tables[name] {
			*c.entries(other)--
		}
		delete(c.tables, name)
		for _, table := range c.tables {
			if table[name] {
				c.right--
				c.wrong++
			}
		}
	}
	c.count()
}

// joined says that a member has taken another into its table.
func (c *census) joined(at, other string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if table := c.tables[at]; table != nil && at != other && !table[other] {
		table[other] = true
		*c.entries(other)++
		c.count()
	}
}

// left says that a member has taken another out of its table.
func (c *census) left(at, other string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if table := c.tables[at]; table[other] {
		delete(table, other)
		*c.entries(other)--
		if c.tables[other] != nil {
			c.slander++
		}
		c.count()
	}
}

// stopped says that a member has stopped by itself, which spoils the run.
func (c *census) stopped(at string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables[at] != nil && c.trouble == nil {
		c.trouble = fmt.Errorf("%s has stopped: %w", at, err)
	}
}

// slanders counts reports of a living member as gone.
func (c *census) slanders() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slander
}

// entries is the counter in which entries of this member are.
func (c *census) entries(of string) *int {
	if c.tables[of] != nil {
		return &c.right
	}
	return &c.wrong
}

// count notes whether the network is complete now.
func (c *census) count() {
	n := len(c.tables)
	switch complete := c.right == n*(n-1) && c.wrong == 0; {
	case !complete:
		c.whole = time.Time{}
	case c.whole.IsZero():
		c.whole = time.Now()
	}
}

// await waits until the network is complete and returns since when.
func (c *census) await(limit time.Duration) (whole time.Time, err error) {
	for begin := time.Now(); whole.IsZero() && err == nil; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		whole, err = c.whole, c.trouble
		if whole.IsZero() && err == nil && time.Since(begin) > limit {
			err = fmt.Errorf("not complete within %v: %s", limit, c.gaps())
		}
		c.mu.Unlock()
	}
	return whole, err
}

// gaps describes up to three tables that are not as they should be.
func (c *census) gaps() string {
	var list []string
	for at, table := range c.tables {
		var lacks, keeps []string
		for other := range c.tables {
			if other != at && !table[other] {
				lacks = append(lacks, other)
			}
		}
		for other := range table {
			if c.tables[other] == nil {
				keeps = append(keeps, other)
			}
		}
		if len(lacks)+len(keeps) > 0 {
			list = append(list, fmt.Sprintf("%s lacks %s and keeps %s", at, some(lacks), some(keeps)))
		}
	}
	slices.Sort(list)
	text := fmt.Sprintf("%d of %d tables are wrong: ", len(list), len(c.tables))
	return text + strings.Join(list[:min(3, len(list))], "; ")
}

// some names up to three, and how many there are.
func some(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	slices.Sort(names)
	return fmt.Sprintf("%d (%s)", len(names), strings.Join(names[:min(3, len(names))], ", "))
}
