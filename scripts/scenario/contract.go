package main

import (
	"fmt"
	"time"

	"quicpeer/scripts/internal/harness"
)

// contract holds the lines of one --json peer against what every reader may rely on.
type contract struct {
	seen     int
	left     bool
	present  map[string]bool // IDs between their peer_joined and peer_left
	messages map[string]bool
	breaches []string
}

func (c *contract) see(l *line) {
	breach := func(format string, args ...any) {
		c.breaches = append(c.breaches, fmt.Sprintf(format, args...)+": "+harness.Shorten(l.Raw, 300))
	}
	c.seen++
	if l.Name == "" {
		breach("a line is not a JSON object with an event")
		return
	}
	if _, err := time.Parse(time.RFC3339Nano, l.Field("time")); err != nil {
		breach("an event without a time of RFC 3339")
	}
	if (c.seen == 1) != (l.Name == "ready") {
		breach("ready must be the first event, and only that")
	}
	if c.left {
		breach("an event after left")
	}
	id := l.Field("id")
	switch l.Name {
	case "peer_joined":
		if c.present[id] {
			breach("a peer joined that was there")
		}
		c.present[id] = true
	case "peer_left":
		if !c.present[id] {
			breach("a peer left that wasn't there")
		}
		delete(c.present, id)
	case "message":
		// A message that a holder kept on the way may come when its author has gone.
		if from := l.Field("from"); !c.present[from] && l.Field("path") == "direct" {
			breach("a message from a peer that isn't there")
		}
		m := l.Field("message")
		if c.messages[m] {
			breach("a message shown twice")
		}
		c.messages[m] = true
	case "left":
		c.left = true
	}
}
