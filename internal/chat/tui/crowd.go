package tui

import (
	"fmt"
	"slices"
	"strings"

	"quicpeer/certs"
)

// crowd is who is here. Joins, leaves and receipts are collected for a moment: many are shown in one line.
type crowd struct {
	here         []certs.ID          // who is here, sorted
	away         map[certs.ID]string // of these, who is away, and what they say
	joined, left []certs.ID
	lost         map[certs.ID]bool
	has          []receipts
	begun        bool // it was shown who was here at the beginning
}

// receipts are how many messages have reached a peer.
type receipts struct {
	to certs.ID
	n  int
}

// joins notes who comes, and leaves who goes; what cancels itself out is not shown.
func (c *crowd) joins(id certs.ID) {
	if i, ok := slices.BinarySearch(c.here, id); !ok {
		c.here = slices.Insert(c.here, i, id)
	}
	if i := slices.Index(c.left, id); i >= 0 {
		c.left = slices.Delete(c.left, i, i+1)
		return
	}
	c.joined = append(c.joined, id)
}

func (c *crowd) leaves(id certs.ID, lost bool) {
	delete(c.away, id)
	if i, ok := slices.BinarySearch(c.here, id); ok {
		c.here = slices.Delete(c.here, i, i+1)
	}
	if i := slices.Index(c.joined, id); i >= 0 {
		c.joined = slices.Delete(c.joined, i, i+1)
		return
	}
	c.left = append(c.left, id)
	if c.lost == nil {
		c.lost = map[certs.ID]bool{}
	}
	c.lost[id] = lost
}

// moved says that a peer has come or gone, and that it was not shown yet.
func (c *crowd) moved(id certs.ID) bool {
	return slices.Contains(c.joined, id) || slices.Contains(c.left, id)
}

// isAway notes what a peer says of being away; empty: it is not.
func (c *crowd) isAway(id certs.ID, text string) {
	delete(c.away, id)
	if _, ok := slices.BinarySearch(c.here, id); !ok || text == "" { // a visitor's leaving isn't told
		return
	}
	if c.away == nil {
		c.away = map[certs.ID]string{}
	}
	c.away[id] = text
}

// received counts a receipt.
func (c *crowd) received(from certs.ID) {
	for i := range c.has {
		if c.has[i].to == from {
			c.has[i].n++
			return
		}
	}
	c.has = append(c.has, receipts{from, 1})
}

// sum says what was collected, and forgets it: who has come and gone, then receipts; empty: nothing. Names are
// written by dressed.
func (c *crowd) sum(dressed func(certs.ID) string) (movement, receipts string) {
	parts := make([]string, len(c.has))
	for i, r := range c.has {
		parts[i] = dressed(r.to)
		if r.n > 1 {
			parts[i] += fmt.Sprintf(" %d", r.n)
		}
	}
	movement, receipts = c.company(dressed), strings.Join(parts, ", ")
	c.joined, c.left, c.lost, c.has, c.begun = nil, nil, nil, nil, true
	return movement, receipts
}

// company says who has come and gone.
func (c *crowd) company(dressed func(certs.ID) string) string {
	switch {
	case !c.begun && len(c.here) == 0:
		return "nobody else is here yet"
	case !c.begun && len(c.here) == 1:
		return list(c.here, dressed) + " is here"
	case !c.begun:
		return fmt.Sprintf("%d are here: %s", len(c.here), list(c.here, dressed))
	case len(c.joined)+len(c.left) == 0:
		return ""
	case len(c.left) == 0 && len(c.joined) == 1:
		return dressed(c.joined[0]) + " joined"
	case len(c.joined) == 0 && len(c.left) == 1 && c.lost[c.left[0]]:
		return dressed(c.left[0]) + " was lost"
	case len(c.joined) == 0 && len(c.left) == 1:
		return dressed(c.left[0]) + " left"
	}
	var counts, parts []string
	if n := len(c.joined); n > 0 {
		counts, parts = append(counts, fmt.Sprintf("+%d", n)), append(parts, list(c.joined, dressed)+" joined")
	}
	if n := len(c.left); n > 0 {
		lost := slices.DeleteFunc(slices.Clone(c.left), func(id certs.ID) bool { return !c.lost[id] })
		gone := slices.DeleteFunc(slices.Clone(c.left), func(id certs.ID) bool { return c.lost[id] })
		counts = append(counts, fmt.Sprintf("−%d", n))
		if len(gone) > 0 {
			parts = append(parts, list(gone, dressed)+" left")
		}
		if len(lost) > 0 {
			parts = append(parts, list(lost, dressed)+" lost")
		}
	}
	return strings.Join(counts, " ") + " (" + strings.Join(parts, "; ") + ")"
}

// maxNamed is how many of those who come or go at once are named.
const maxNamed = 8

func list(ids []certs.ID, dressed func(certs.ID) string) string {
	var names []string
	for _, id := range ids[:min(len(ids), maxNamed)] {
		names = append(names, dressed(id))
	}
	s := strings.Join(names, ", ")
	if more := len(ids) - maxNamed; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
