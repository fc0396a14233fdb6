package service

import "context"

// Watch is a look at what happens from now on.
type Watch struct{ r *reader }

// Watch begins one; Close ends it.
func (s *Service) Watch() *Watch {
	r, _, _ := s.feed.enter(true)
	return &Watch{r}
}

// Next waits for events. The error is that of ctx, ErrStopped, or a BehindError.
func (w *Watch) Next(ctx context.Context) ([]*Item, error) {
	items, err := w.r.read(ctx)
	if err == errBehind {
		err = &BehindError{}
	}
	return items, err
}

// Close ends it.
func (w *Watch) Close() { w.r.leave() }
