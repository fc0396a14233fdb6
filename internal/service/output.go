package service

import (
	"iter"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Bounds of what waits for standard output. Messages are bounded by the engine, for which they
// are not handled until they were shown; joins and leaves are handled by nobody else.
const (
	collapseAbove = 4096    // joins and leaves waiting, before they are netted
	maxUnshown    = 1 << 17 // events, the netted ones too; then the service reads no more
)

// unshown is an event that waits for standard output.
type unshown struct {
	event overlay.Event   // nil: it was netted with another one
	key   certs.PublicKey // of the peer that a join or leave is about
	shown func()
	more  []func() // of netted events behind it
}

// output holds the events between the service and standard output. Joins and leaves collapse to
// their net change when there are very many, as they do in the engine's own queue, which the
// service has emptied.
type output struct {
	mu         sync.Mutex
	changed    sync.Cond
	items      []unshown
	waiting    int                          // events in items and in the hands of the reader
	present    map[certs.ID]certs.PublicKey // according to the events so far
	membership int
	collapseAt int
	closed     bool // no more come
	abandoned  bool // nobody reads any more
}

func newOutput() *output {
	o := &output{present: map[certs.ID]certs.PublicKey{}, collapseAt: collapseAbove}
	o.changed.L = &o.mu
	return o
}

// push adds an event. It waits only while maxUnshown are there.
func (o *output) push(event overlay.Event, shown func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.waiting >= maxUnshown && !o.abandoned {
		o.changed.Wait()
	}
	if o.abandoned {
		return
	}
	u := unshown{event: event, shown: shown}
	switch e := event.(type) {
	case overlay.PeerJoined:
		u.key = e.Key
		o.present[e.ID] = e.Key
		o.membership++
	case overlay.PeerLeft:
		u.key = o.present[e.ID]
		delete(o.present, e.ID)
		o.membership++
	}
	o.items = append(o.items, u)
	o.waiting++
	if o.membership > o.collapseAt {
		o.collapse()
	}
	o.changed.Broadcast()
}

// finish says that no more events come.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// abandon says that nobody reads any more.
func (o *output) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned, o.items = true, nil
	o.changed.Broadcast()
}

// events yields them until the last. Each function is to be called when its event was shown.
func (o *output) events() iter.Seq2[overlay.Event, func()] {
	return func(yield func(overlay.Event, func()) bool) {
		defer o.abandon()
		for {
			items := o.await()
			if items == nil {
				return
			}
			for _, u := range items {
				done := func() { o.showed(u) }
				if u.event == nil {
					done()
				} else if !yield(u.event, done) {
					return
				}
			}
		}
	}
}

// await waits for events and returns all there are; nil is the end.
func (o *output) await() []unshown {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.items) == 0 && !o.closed && !o.abandoned {
		o.changed.Wait()
	}
	items := o.items
	o.items, o.membership, o.collapseAt = nil, 0, collapseAbove
	return items
}

func (o *output) showed(u unshown) {
	u.shown()
	for _, f := range u.more {
		f()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting -= 1 + len(u.more)
	o.changed.Broadcast()
}

// collapse nets the joins and leaves of a peer that cancel each other out, as long as no message
// of that peer stands between them.
func (o *output) collapse() {
	last := map[certs.ID]int{} // where a peer's last join or leave stands
	for i, u := range o.items {
		switch e := u.event.(type) {
		case overlay.Message:
			delete(last, e.From)
		case overlay.PeerJoined:
			o.net(last, e.ID, i)
		case overlay.PeerLeft:
			o.net(last, e.ID, i)
		}
	}
	kept := o.items[:0]
	for _, u := range o.items {
		if u.event == nil && len(kept) > 0 && kept[len(kept)-1].event == nil {
			before := &kept[len(kept)-1]
			before.more = append(append(before.more, u.shown), u.more...)
			continue
		}
		kept = append(kept, u)
	}
	clear(o.items[len(kept):])
	o.items = kept
	o.collapseAt = 2*o.membership + collapseAbove
}

// net removes a join or leave and the one before it, if together they change nothing: a peer
// that came and went, or went and came back with the same key.
func (o *output) net(last map[certs.ID]int, id certs.ID, i int) {
	before, some := last[id]
	last[id] = i
	if !some {
		return
	}
	earlier, later := &o.items[before], &o.items[i]
	_, came := earlier.event.(overlay.PeerJoined)
	_, comes := later.event.(overlay.PeerJoined)
	if came == comes || comes && earlier.key != later.key {
		return
	}
	earlier.event, later.event = nil, nil
	delete(last, id)
	o.membership -= 2
}
