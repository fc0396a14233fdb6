package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BehindError: a reader has not read on while more happened than is kept for it.
type BehindError struct {
	From uint64 // the position from which it can go on; 0: none, without a history
}

func (e *BehindError) Error() string {
	if e.From == 0 {
		return "this reader was too slow, and events were dropped"
	}
	return fmt.Sprintf("this reader was too slow; it can go on from position %d", e.From)
}

// AheadError: a reader wants to go on from a position that was not written yet.
type AheadError struct{ End uint64 }

func (e *AheadError) Error() string {
	return fmt.Sprintf("the history ends at position %d: was it put back from a backup? What is new begins at %d", e.End, e.End+1)
}

// ErrStopped: the peer has stopped.
var ErrStopped = errEnded

// nearEnd is how far from the end of the history a reader goes on with what is kept for it: a
// fraction of that, since the rest comes as fast as the disk, and new events meanwhile.
const nearEnd = maxFeed / 8

// First is the position of the oldest event that the history has; 0: it has none.
func (s *Service) First() uint64 { return s.past.First() }

// Follow tells somebody what has happened from a position of the history on, First or later (0: nothing of
// the history), and then, if live, what happens. It begins with Ready and who is here; no event is
// missing or comes twice: a reader so slow that the history drops what comes next is behind. emit gets
// nil when nothing has happened for so long as idle. The error is that of emit, of ctx or of the history, a
// BehindError, an AheadError, or ErrStopped.
func (s *Service) Follow(ctx context.Context, from uint64, live bool, idle time.Duration, emit func([]*Item) error) error {
	if end := s.past.End(); from > end+1 {
		return &AheadError{end}
	}
	r, standing, last := s.feed.enter(from == 0)
	defer r.leave()
	if err := emit(standing); err != nil {
		return err
	}
	if from == 0 {
		if !live {
			return nil
		}
		return s.live(ctx, r, 0, last, idle, emit) // the last is where it would go on
	}
	t := told{s, emit, from}
	for t.from+nearEnd <= s.past.End() {
		before := t.from
		if err := t.history(ctx); err != nil {
			return err
		}
		if t.from == before {
			break // the rest is not there
		}
	}
	if !live {
		return t.history(ctx)
	}
	joined, left := r.attach()
	if err := t.events(joined); err != nil {
		return err
	}
	end := s.past.End() // of what the history has told
	if err := t.history(ctx); err != nil {
		return err
	}
	end = max(end, t.from-1)
	if err := t.events(left); err != nil {
		return err
	}
	return s.live(ctx, r, end, end, idle, emit)
}

// live tells what happens, except for what stands up to the position end. A reader that falls
// behind can go on after the last position that it was told, or that stands at the beginning.
func (s *Service) live(ctx context.Context, r *reader, end, last uint64, idle time.Duration, emit func([]*Item) error) error {
	for {
		soon, cancel := context.WithTimeout(ctx, idle)
		items, err := r.read(soon)
		cancel()
		switch {
		case errors.Is(err, errBehind):
			if s.past.End() == 0 {
				return &BehindError{}
			}
			return &BehindError{last + 1}
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			items = nil
		case err != nil:
			return err
		}
		fresh := items[:0]
		for _, i := range items {
			if i.Pos == 0 || i.Pos > end {
				fresh = append(fresh, i)
			}
			last = max(last, i.Pos)
		}
		if len(fresh) > 0 || items == nil {
			if err := emit(fresh); err != nil {
				return err
			}
		}
	}
}

// told is the history as it is told to somebody.
type told struct {
	service *Service
	emit    func([]*Item) error
	from    uint64 // the next position
}

// history tells it from where it was left.
func (t *told) history(ctx context.Context) error {
	var page []*Item
	size := 0
	for p, err := range t.service.past.Events(t.from) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading the history: %w", err)
		}
		i := t.service.item(p.Event, p.At, positionOf(p.Event))
		if i.Pos > t.from && t.service.past.First() > t.from {
			return &BehindError{i.Pos} // what stood between was dropped
		}
		page = append(page, i)
		t.from = i.Pos + 1
		if size += i.size(); len(page) == maxBatch || size >= maxBatchSize {
			if err := t.emit(page); err != nil {
				return err
			}
			page, size = nil, 0
		}
	}
	return t.events(page)
}

// events tells them, if there are any.
func (t *told) events(items []*Item) error {
	if len(items) == 0 {
		return nil
	}
	return t.emit(items)
}
