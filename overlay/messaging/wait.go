package messaging

import (
	"context"
	"sync"
)

// budget bounds a resource that many share. A caller that finds no room waits for Freed.
type budget struct {
	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed when something is given back; nil: nobody waits
}

// grab takes so much, unless more than limit would be in use then.
func (b *budget) grab(size, limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+size > limit {
		return false
	}
	b.used += size
	return true
}

// force takes so much in any case, a negative size gives it back.
func (b *budget) force(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += size
	if size < 0 && b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// whenFreed is closed when something is given back after this call.
func (b *budget) whenFreed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// tally counts tasks under way, so that one can wait until there are none.
type tally struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when count comes to 0; nil: nobody waits
}

func (t *tally) change(by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count += by
	if t.count == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// awaitNone waits until the count is 0; false is the end of ctx.
func (t *tally) awaitNone(ctx context.Context) bool {
	t.mu.Lock()
	if t.count == 0 {
		t.mu.Unlock()
		return true
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	select {
	case <-none:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal puts a token into a channel that holds one, unless it is there.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
