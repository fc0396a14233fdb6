package service

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/jsonl"
	"quicpeer/overlay"
)

// Bounds of the feed, guesses: more than two seconds of a busy peer.
const (
	maxFeed      = 1 << 14  // events kept for readers that have not come to them
	maxFeedBytes = 16 << 20 // their bodies and refs
	maxBatch     = 256      // events that a reader gets at once
	maxBatchSize = 1 << 20  // of these, but for the last one
	maxNews      = 4096     // events without a position that come while a reader reads the history
)

// Item is an event for readers.
type Item struct {
	Event overlay.Event
	At    time.Time // when it was written, or came
	Pos   uint64    // in the history; 0: it has none

	version string
	once    sync.Once
	line    []byte
}

// Line is the event's JSON line, made once for all readers; empty: it has none.
func (i *Item) Line() []byte {
	i.once.Do(func() { i.line = jsonl.Line(i.Event, i.At, i.version) })
	return i.line
}

// size is about what an item takes of memory.
func (i *Item) size() int {
	const fields = 128
	switch e := i.Event.(type) {
	case overlay.Message:
		return fields + len(e.Body)
	case overlay.Sent:
		return fields + len(e.Ref) + len(e.Body)
	case overlay.Delivered:
		return fields + len(e.Ref)
	case overlay.Buffered:
		return fields + len(e.Ref) + len(e.Reason)
	case overlay.Failed:
		return fields + len(e.Ref) + len(e.Error)
	}
	return fields + sizeOfFiles(i.Event)
}

// positionOf is where the history has an event; 0: it has not.
func positionOf(event overlay.Event) uint64 {
	switch e := event.(type) {
	case overlay.Message:
		return e.Pos
	case overlay.Sent:
		return e.Pos
	case overlay.Delivered:
		return e.Pos
	case overlay.Buffered:
		return e.Pos
	case overlay.Failed:
		return e.Pos
	}
	return 0
}

// feed holds events until all readers have read them, up to a bound: none is waited for. A reader that is
// too far behind is told so, and finds in the history what it has missed.
type feed struct {
	mu      sync.Mutex
	items   []*Item // those from first on
	first   uint64  // sequence number of the first
	bytes   int
	ready   *Item              // the first event
	present map[certs.ID]*Item // the last PeerJoined of each peer that is here
	changed map[certs.ID]*Item // the last PeerChanged of the same, if there was one
	pos     uint64             // of the last event that has one
	readers map[*reader]struct{}
	ended   bool
}

// reader reads the feed for one client.
type reader struct {
	feed *feed
	wake chan struct{}

	// Under the lock of the feed.
	attached bool
	next     uint64 // sequence number of what it reads next, once attached
	// Until then: the peers that were here at the beginning, and what has become of peers since.
	was     map[certs.ID]*Item
	changed map[certs.ID]*Item
	news    []*Item // other events without a position since
	lost    bool    // some of these had no room
}

// errBehind: a reader has not come to an event before it was dropped.
var errBehind = errors.New("the reader has fallen behind")

// errEnded: the peer has stopped, and all of its events have been read.
var errEnded = errors.New("the peer has stopped")

// publish adds an event, and waits for nobody.
func (f *feed) publish(i *Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var id certs.ID
	switch e := i.Event.(type) {
	case overlay.Ready:
		f.ready = i
	case overlay.PeerJoined:
		id = e.ID
		f.present[id] = i
	case overlay.PeerLeft:
		id = e.ID
		delete(f.present, id)
		delete(f.changed, id)
	case overlay.PeerChanged:
		f.changed[e.ID] = i
	}
	f.pos = max(f.pos, i.Pos)
	unread := uint64(math.MaxUint64) // from where on somebody has not read
	for r := range f.readers {
		if !r.attached {
			r.note(id, i)
			continue
		}
		unread = min(unread, r.next)
		r.awake()
	}
	if unread == math.MaxUint64 || f.isCrowded() && isProgress(i.Event) {
		return
	}
	f.items = append(f.items, i)
	f.bytes += i.size()
	drop := 0
	for len(f.items)-drop > maxFeed || f.bytes > maxFeedBytes && len(f.items)-drop > 1 || f.first+uint64(drop) < unread {
		f.bytes -= f.items[drop].size()
		f.items[drop] = nil
		drop++
	}
	f.items, f.first = f.items[drop:], f.first+uint64(drop)
}

// isCrowded says that half of the room is taken: the progress of transfers does not get the rest. The lock is held.
func (f *feed) isCrowded() bool { return len(f.items) >= maxFeed/2 || f.bytes >= maxFeedBytes/2 }

// note keeps an event for a reader that is not attached. Those with positions are in the history. The lock
// of the feed is held.
func (r *reader) note(id certs.ID, i *Item) {
	switch {
	case id != "":
		r.changed[id] = i
	case i.Pos != 0 || isProgress(i.Event): // the next one is near
	case len(r.news) == maxNews:
		r.lost = true
	default:
		r.news = append(r.news, i)
	}
}

func (r *reader) awake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// end lets readers read the rest.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for r := range f.readers {
		r.awake()
	}
}

// enter adds a reader, which sees how things stand: the first event, and a PeerJoined for each
// peer that is here. With now it reads what comes from then on; else it reads the history first, and
// attach is the next step. Events were published up to the position pos.
func (f *feed) enter(now bool) (r *reader, standing []*Item, pos uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r = &reader{feed: f, wake: make(chan struct{}, 1), was: map[certs.ID]*Item{}, changed: map[certs.ID]*Item{}}
	r.attached, r.next = now, f.first+uint64(len(f.items))
	f.readers[r] = struct{}{}
	if f.ready != nil {
		standing = append(standing, f.ready)
	}
	for _, id := range sortedIDs(f.present) {
		r.was[id] = f.present[id]
		standing = append(standing, f.present[id])
		if i := f.changed[id]; i != nil {
			standing = append(standing, i)
		}
	}
	return r, standing, f.pos
}

// attach lets a reader read what comes from now on, and returns the joins and leaves since it has
// entered, without those that cancel each other out, and other events without a position behind the
// joins. Those with one are in the history.
func (r *reader) attach() (joined, left []*Item) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range sortedIDs(r.changed) {
		was, i := r.was[id], r.changed[id]
		switch e := i.Event.(type) {
		case overlay.PeerLeft:
			if was != nil {
				left = append(left, i)
			}
		case overlay.PeerJoined:
			if was != nil && was.Event.(overlay.PeerJoined).Key == e.Key {
				continue
			}
			if was != nil {
				joined = append(joined, &Item{Event: overlay.PeerLeft{ID: id, Reason: overlay.ReasonLost}, At: i.At})
			}
			joined = append(joined, i)
		}
	}
	joined = append(joined, r.news...)
	r.was, r.changed, r.news = nil, nil, nil
	r.attached, r.next = true, f.first+uint64(len(f.items))
	return joined, left
}

// leave removes the reader. With the last one goes what was kept for it.
func (r *reader) leave() {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	for other := range f.readers {
		if other.attached {
			return
		}
	}
	f.first += uint64(len(f.items))
	f.items, f.bytes = nil, 0
}

// read waits for events. The error is that of ctx, errBehind or errEnded.
func (r *reader) read(ctx context.Context) ([]*Item, error) {
	for {
		items, err := r.now()
		if len(items) > 0 || err != nil {
			return items, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// now returns the events that are there.
func (r *reader) now() ([]*Item, error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	end := f.first + uint64(len(f.items))
	switch {
	case r.next < f.first || r.lost:
		return nil, errBehind
	case r.next < end:
		from := int(r.next - f.first)
		to, size := from, 0
		for ; to < min(len(f.items), from+maxBatch) && size < maxBatchSize; to++ {
			size += f.items[to].size()
		}
		items := slices.Clone(f.items[from:to])
		r.next += uint64(len(items))
		return items, nil
	case f.ended:
		return nil, errEnded
	}
	return nil, nil
}

func sortedIDs(m map[certs.ID]*Item) []certs.ID {
	ids := make([]certs.ID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
