package service

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Bounds of what waits for standard output. Messages are bounded by the engine, for which they
// are not handled until they were shown; joins, changes and leaves are handled for it as they come.
const (
	collapseAbove = 4096        // joins, changes and leaves waiting, before they are netted
	maxUnshown    = 1 << 17     // events; then the service reads no more
	shownPatience = time.Second // for that to be shown, before the peer leaves (as messaging.answerPatience)
)

// unshown is an event that waits for standard output.
type unshown struct {
	event overlay.Event
	key   certs.PublicKey // of the peer that a join or leave is about
	had   bool            // rooms or tags, the peer that has left
	shown func()
}

// output holds the events between the service and standard output. Joins, changes and leaves collapse to
// their net change when there are very many, as they do in the engine's own queue, which the
// service has emptied.
type output struct {
	mu         sync.Mutex
	changed    sync.Cond
	items      []unshown
	waiting    int                          // events in items and in the hands of the reader
	present    map[certs.ID]certs.PublicKey // according to the events so far
	described  map[certs.ID]bool            // those of them with rooms or tags
	membership int                          // joins, changes and leaves in items
	collapseAt int
	closed     bool // no more come
	abandoned  bool // nobody reads any more
}

func newOutput() *output {
	o := &output{present: map[certs.ID]certs.PublicKey{}, described: map[certs.ID]bool{}, collapseAt: collapseAbove}
	o.changed.L = &o.mu
	return o
}

// awaitRoom waits while maxUnshown events are there.
func (o *output) awaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.waiting >= maxUnshown && !o.abandoned {
		o.changed.Wait()
	}
}

// push adds an event, and waits for nobody. Of the progress of a transfer only the last one is kept.
func (o *output) push(event overlay.Event, shown func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.abandoned || o.replace(event) {
		return
	}
	u := unshown{event: event, shown: shown}
	switch e := event.(type) {
	case overlay.PeerJoined:
		u.key = e.Key
		o.present[e.ID] = e.Key
		o.membership++
	case overlay.PeerChanged:
		o.described[e.ID] = true
		o.membership++
	case overlay.PeerLeft:
		u.key, u.had = o.present[e.ID], o.described[e.ID]
		delete(o.present, e.ID)
		delete(o.described, e.ID)
		o.membership++
	}
	o.items = append(o.items, u)
	o.waiting++
	if o.membership > o.collapseAt {
		o.collapse()
	}
	o.changed.Broadcast()
}

// replace puts the progress of a transfer in the place of an earlier one that waits. o.mu is held.
func (o *output) replace(event overlay.Event) bool {
	p, ok := event.(files.Progress)
	if !ok {
		return false
	}
	for i := range o.items {
		if q, ok := o.items[i].event.(files.Progress); ok && q.File == p.File && q.Peer == p.Peer {
			o.items[i].event = event
			return true
		}
	}
	return false
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
				if !yield(u.event, func() { o.showed(u) }) {
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
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
	o.changed.Broadcast()
}

// awaitShown waits until all events so far were shown, or ctx ends.
func (o *output) awaitShown(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.changed.Broadcast()
	})()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.waiting > 0 && !o.abandoned && ctx.Err() == nil {
		o.changed.Wait()
	}
}

// collapse removes the joins and leaves of a peer that cancel each other out, as long as no message of
// that peer stands between them, and all of its changes but the last. o.mu is held.
func (o *output) collapse() {
	last := map[certs.ID]int{}    // where a peer's last join or leave stands
	changed := map[certs.ID]int{} // and the last change behind it
	for i := range o.items {
		switch e := o.items[i].event.(type) {
		case overlay.Message:
			delete(last, e.From)
			delete(changed, e.From)
		case overlay.PeerJoined:
			o.supersede(changed, e.ID, i)
			o.net(last, changed, e.ID, i)
		case overlay.PeerChanged:
			o.supersede(changed, e.ID, i)
			changed[e.ID] = i
		case overlay.PeerLeft:
			o.supersede(changed, e.ID, i)
			o.net(last, changed, e.ID, i)
		}
	}
	before := len(o.items)
	o.items = slices.DeleteFunc(o.items, func(u unshown) bool { return u.event == nil })
	o.waiting -= before - len(o.items)
	o.membership -= before - len(o.items)
	o.collapseAt = 2*o.membership + collapseAbove
}

// supersede removes the change of a peer that is gone, or has changed again.
func (o *output) supersede(changed map[certs.ID]int, id certs.ID, i int) {
	if before, some := changed[id]; some {
		o.items[before].event = nil
		o.items[i].had = true
		delete(changed, id)
	}
}

// net removes a join or leave and the one before it, if together they change nothing: a peer
// that came and went, or went and came back with the same key. Of one that came back with fewer rooms or tags
// a change is left, which says that it has none; what it has follows its join.
func (o *output) net(last, changed map[certs.ID]int, id certs.ID, i int) {
	before, some := last[id]
	last[id] = i
	if !some {
		return
	}
	earlier, later := &o.items[before], &o.items[i]
	_, came := earlier.event.(overlay.PeerJoined)
	back, comes := later.event.(overlay.PeerJoined)
	if came == comes || comes && earlier.key != later.key {
		return
	}
	left, _ := earlier.event.(overlay.PeerLeft)
	had := comes && (earlier.had || left.Visitor != back.Visitor)
	earlier.event, later.event = nil, nil
	if had {
		earlier.event, changed[id] = overlay.PeerChanged{ID: id, Visitor: back.Visitor}, before
	}
	delete(last, id)
}
