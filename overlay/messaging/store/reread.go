package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
)

// Span is the first and the last position of the history; both 0: it is empty.
type Span struct{ First, Last uint64 }

// Said is the span of the history now. It never waits.
func (h *history) Said() Span {
	first, last := h.span.first.Load(), h.span.last.Load()
	if last < first {
		return Span{}
	}
	return Span{first, last}
}

// Safe is the position up to which all is safe from a crash of the machine.
func (h *history) Safe() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.safe
}

// Folded is the position up to which an Open would read nothing.
func (h *history) Folded() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fold.upTo
}

// Parts lists the spans of the history's files, the newest first: for reading it backwards.
func (h *history) Parts() (parts []Span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.span.last.Load()
	for i := len(h.segments) - 1; i >= 0; i-- {
		parts = append(parts, Span{h.segments[i].first, last})
		last = h.segments[i].first - 1
	}
	return parts
}

// ErrEnough ends a Read early, without an error.
var ErrEnough = errors.New("enough was read")

// Read calls f for the entries with data in a span, in their order, while the store is in use. The data
// is valid during the call. Entries dropped meanwhile are left out. Errors: f's, and [DamagedError]
// where an entry is damaged.
func (h *history) Read(span Span, f func(Entry) error) error {
	h.mu.Lock()
	if err := h.flush(); err != nil {
		h.mu.Unlock()
		return h.store.fail(err)
	}
	segments := append([]segment(nil), h.segments...)
	end := h.span.last.Load()
	h.mu.Unlock()
	first := max(0, sort.Search(len(segments), func(i int) bool { return segments[i].first > span.First })-1)
	for i, g := range segments[first:] {
		if g.first > span.Last || g.first > end {
			return nil
		}
		var next *segment
		if i++; first+i < len(segments) {
			next = &segments[first+i]
		}
		if err := readSegment(g, next, Span{span.First, min(span.Last, end)}, f); err != nil {
			switch {
			case errors.Is(err, ErrEnough):
				return nil
			case errors.Is(err, fs.ErrNotExist) && !h.isOne(g):
				continue // it was dropped meanwhile
			case errors.Is(err, fs.ErrNotExist):
				return &RemovedError{Path: g.path}
			}
			return err
		}
	}
	return nil
}

// isOne says that a segment is one of the history's.
func (h *history) isOne(g segment) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.segments, g)
}

// readSegment is Read for one segment, before another one or the last. (What was only to be remembered
// may be gone between two of them, but no message.)
func readSegment(g segment, before *segment, span Span, f func(Entry) error) error {
	w, file, err := g.view()
	if err != nil {
		return err
	}
	defer file.Close()
	messages, entries := g.before, g.said
	at, next, err := w.scan(func(r said) error {
		if r.kind == kindMessage {
			messages++
		}
		if r.kind >= kindEvent {
			entries++
		}
		if r.kind < kindEvent || r.number < span.First || r.number > span.Last {
			return nil
		}
		return f(r.entry())
	})
	if err != nil {
		return err
	}
	if before == nil {
		if next <= span.Last {
			err = g.missing(next)
		}
		return err
	}
	switch end, err := w.lastByte(at); {
	case err != nil:
		return err
	case end > at:
		return g.missing(next)
	case messages != before.before || entries != before.said:
		return damage(before.path, fmt.Errorf("%d messages, and what became of others, are missing before it", before.before-messages))
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
