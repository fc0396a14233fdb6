// Package terse keeps a log short: the first few lines of each kind in a minute are written, the rest
// are counted. Otherwise strangers, who can make a peer log something with every connection, could
// fill its disk.
package terse

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of a log. They are guesses, but for the minute.
const (
	window   = time.Minute
	maxLines = 3  // of one kind in a window, as they come; the others become one line, with their number
	maxKinds = 64 // in a window; further ones count as one
)

// others is the kind of the lines beyond maxKinds.
const others = "other lines"

// Handler passes lines on to another slog.Handler. Lines with the same text are of one kind, whatever
// their attributes. If the other handler takes debug lines, all lines are passed on: that level is
// asked for to see everything.
type Handler struct {
	next slog.Handler
	*counts
}

// counts are those of a window, of a handler and all that were derived from it.
type counts struct {
	first slog.Handler // without attributes

	mu    sync.Mutex
	began time.Time
	kinds map[string]*kind
	timer *time.Timer // to the end of the window; nil: nothing was left out
	ended bool
}

type kind struct {
	lines   int
	leftOut int
	level   slog.Level // the highest of those
}

// New returns a logger that passes lines on to another one. End must be called in the end.
func New(log *slog.Logger) *slog.Logger {
	next := log.Handler()
	return slog.New(&Handler{next, &counts{first: next, kinds: map[string]*kind{}}})
}

// End writes the counts of a logger made by New. Lines that come later are all written.
func End(log *slog.Logger) {
	h := log.Handler().(*Handler)
	h.mu.Lock()
	due := h.sum()
	h.ended = true
	h.mu.Unlock()
	h.write(due)
}

// Enabled is that of the next handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs returns a handler that counts together with this one, as does that of WithGroup.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.next.WithAttrs(attrs), h.counts}
}

// WithGroup is WithAttrs for a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.counts}
}

// Handle writes the line, or counts it.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if h.next.Enabled(ctx, slog.LevelDebug) {
		return h.next.Handle(ctx, r)
	}
	passes, due := h.count(r)
	h.write(due)
	if !passes {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// count counts a line, and reports whether it is to be written, and which lines before it.
func (c *counts) count(r slog.Record) (passes bool, due []slog.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return true, nil
	}
	if now := time.Now(); now.Sub(c.began) >= window {
		due = c.sum()
		c.began = now
	}
	k := c.kind(r.Message)
	if k.lines++; k.lines <= maxLines {
		return true, due
	}
	k.leftOut++
	k.level = max(k.level, r.Level)
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Until(c.began.Add(window)), c.windowEnds)
	}
	return false, due
}

func (c *counts) kind(text string) *kind {
	if c.kinds[text] == nil && len(c.kinds) >= maxKinds {
		text = others
	}
	k := c.kinds[text]
	if k == nil {
		k = new(kind)
		c.kinds[text] = k
	}
	return k
}

// windowEnds is called at the end of a window in which something was left out.
func (c *counts) windowEnds() {
	c.mu.Lock()
	due := c.sum()
	c.mu.Unlock()
	c.write(due)
}

// sum ends a window, and returns the lines that say what was left out. c.mu is held.
func (c *counts) sum() (due []slog.Record) {
	for _, text := range slices.Sorted(maps.Keys(c.kinds)) {
		if k := c.kinds[text]; k.leftOut > 0 {
			r := slog.NewRecord(time.Now(), k.level, text+" (more of these)", 0)
			r.Add("lines", k.leftOut, "within", time.Since(c.began).Round(time.Second))
			due = append(due, r)
		}
	}
	clear(c.kinds)
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	return due
}

func (c *counts) write(list []slog.Record) {
	for _, r := range list {
		_ = c.first.Handle(context.Background(), r) // ignored, as slog.Logger does
	}
}
