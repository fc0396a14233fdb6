package messaging

import (
	"context"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Bounds of the events that wait for the program's loop over Events (guesses; the first two
// bound the memory of a peer whose program does not read).
const (
	MaxIncoming      = 1024     // direct messages not handled yet
	maxIncomingBytes = 4 << 20  // their bodies
	maxBroadcasts    = 16 << 20 // bytes of broadcasts not handled yet; more are dropped
	maxOwn           = 1 << 14  // events of our own messages; then Send waits
	maxOwnBytes      = 16 << 20 // their bodies; then, too
	collapseAbove    = 4096     // joins, changes and leaves waiting, before they are netted
	spareEvents      = 1024     // the longest list of handled events whose memory is used again
)

// EventQueue holds the events between the node and the program. Joins and leaves never wait,
// and collapse to their net change when there are very many. Direct messages wait for room,
// and with them their senders. Broadcasts beyond their bound are dropped. The events of our
// own messages never wait, but Send does while there are very many of them.
type EventQueue struct {
	mu      sync.Mutex
	changed sync.Cond // room was made, a peer joined, or the end came
	wake    chan struct{}
	items   []item

	present        map[certs.ID]certs.PublicKey // the peers that are here according to the events so far
	described      map[certs.ID]bool            // those of them with rooms or tags
	membership     int                          // joins, changes and leaves waiting
	collapseAt     int
	incoming       int
	incomingBytes  int
	broadcastBytes int
	own            int
	ownBytes       int // bodies of these
	closed         bool
	counts         counts
}

// item is an event, with the work that follows when it has been handled.
type item struct {
	event   Event
	stamp   delivery.Stamp     // of a message
	author  certs.PublicKey    // of a broadcast
	hidden  bool               // a message that the program does not get: of a peer that is ignored, or a reply that a caller has
	sender  *sender            // the peer that gets a receipt; nil: none
	key     certs.PublicKey    // of the peer that a PeerLeft is about
	had     bool               // rooms or tags, that peer
	settled *delivery.Outgoing // a message of ours whose last event this is
	pos     uint64             // in the history; 0: not there
}

func newEventQueue() *EventQueue {
	q := &EventQueue{wake: make(chan struct{}, 1), present: make(map[certs.ID]certs.PublicKey), described: make(map[certs.ID]bool), collapseAt: collapseAbove}
	q.changed.L = &q.mu
	return q
}

// Push adds an event that never waits.
func (q *EventQueue) Push(event Event) { q.pushItem(item{event: event}) }

// pushItem is Push with the work that follows.
func (q *EventQueue) pushItem(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.admit(it)
}

// pushAll is pushItem for many.
func (q *EventQueue) pushAll(list []item) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range list {
		q.admit(it)
	}
}

// admit adds an event that never waits. q.mu is held.
func (q *EventQueue) admit(it item) {
	if q.closed {
		return
	}
	switch e := it.event.(type) {
	case PeerJoined:
		q.present[e.ID] = e.Key
		q.membership++
		q.changed.Broadcast()
	case PeerChanged:
		q.described[e.ID] = true
		q.membership++
	case PeerLeft:
		it.key, it.had = q.present[e.ID], q.described[e.ID]
		delete(q.present, e.ID)
		delete(q.described, e.ID)
		q.membership++
	case Ready:
	case Message: // of an earlier run: it was let in then
		if it.sender != nil {
			q.incoming++
			q.incomingBytes += len(e.Body)
		} else {
			q.broadcastBytes += broadcastSize(e)
		}
	default:
		q.own++
		q.ownBytes += ownBytes(it.event)
		q.counts.told(it.event)
	}
	q.enqueue(it)
	if q.membership > q.collapseAt {
		q.collapse()
	}
}

// PushBroadcast adds a broadcast; false says that it was dropped. A hidden one is not shown, and
// remembered like those that are.
func (q *EventQueue) PushBroadcast(m Message, author certs.PublicKey, p delivery.Stamp, hidden bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.broadcastBytes+broadcastSize(m) > maxBroadcasts {
		q.counts.messages[droppedBroadcast]++
		return false
	}
	q.broadcastBytes += broadcastSize(m)
	q.enqueue(item{event: m, author: author, stamp: p, hidden: hidden})
	return true
}

// broadcastSize is the size of a waiting broadcast: its text and, about, the event.
func broadcastSize(m Message) int { return len(m.Body) + 512 }

// awaitRoom waits for room for a direct message, and for its sender to have joined; false says
// that ctx or the queue ended meanwhile.
func (q *EventQueue) awaitRoom(ctx context.Context, from certs.ID, key certs.PublicKey, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wait(ctx, func() bool { return q.hasRoom(size) && q.here(from, key) })
}

// tryMessage adds a direct message if there is room, and its sender has joined. A message that
// others have kept is shown although its sender is not here. A hidden one, which the program has
// already, is handled in its turn.
func (q *EventQueue) tryMessage(m Message, from *sender, p delivery.Stamp, kept, hidden bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, present := q.present[m.From]
	if q.closed || !q.hasRoom(len(m.Body)) || !q.here(m.From, from.key) && (present || !kept) {
		return false
	}
	q.addMessage(m, from, p, hidden)
	return true
}

// hasRoom says whether a direct message with a body of that size fits.
func (q *EventQueue) hasRoom(size int) bool {
	return q.incoming < MaxIncoming && (q.incoming == 0 || q.incomingBytes+size <= maxIncomingBytes)
}

func (q *EventQueue) here(id certs.ID, key certs.PublicKey) bool {
	held, present := q.present[id]
	return present && held == key
}

func (q *EventQueue) addMessage(m Message, from *sender, p delivery.Stamp, hidden bool) {
	q.incoming++
	q.incomingBytes += len(m.Body)
	q.enqueue(item{event: m, stamp: p, sender: from, hidden: hidden})
}

// incomingNow is how many direct messages are not handled.
func (q *EventQueue) incomingNow() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.incoming
}

// WaitOwn waits until the program has handled enough of its own events.
func (q *EventQueue) WaitOwn(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait(ctx, func() bool { return q.own < maxOwn && q.ownBytes < maxOwnBytes }) {
		return nil
	}
	if q.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// wait waits for the condition; false says that ctx or the queue ended first.
func (q *EventQueue) wait(ctx context.Context, condition func() bool) bool {
	if !q.closed && condition() {
		return true
	}
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
	defer stop()
	for !q.closed && ctx.Err() == nil {
		if condition() {
			return true
		}
		q.changed.Wait()
	}
	return false
}

// watchReader notes whether the program goes on; it is called about each 100 ms.
func (q *EventQueue) watchReader(now time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.keepPace(now)
}

// countRefused counts a message that is not taken from its sender.
func (q *EventQueue) countRefused(path Path) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if path == PathDirect {
		q.counts.messages[refusedDirect]++
	} else {
		q.counts.messages[refusedRelayed]++
	}
}

func (q *EventQueue) enqueue(it item) {
	q.items = append(q.items, it)
	q.counts.unread++
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for events and returns all there are; false is the end. The list of those that
// were handled is filled next.
func (q *EventQueue) take(handled []item) ([]item, bool) {
	clear(handled)
	if cap(handled) > spareEvents {
		handled = nil
	}
	for {
		q.mu.Lock()
		items, closed := q.items, q.closed
		if len(items) > 0 {
			q.items = handled[:0]
		}
		q.mu.Unlock()
		if len(items) > 0 {
			return items, true
		}
		if closed {
			return nil, false
		}
		<-q.wake
	}
}

// putBack returns events that were taken and not handled.
func (q *EventQueue) putBack(items []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(items, q.items...)
}

// handled makes room.
func (q *EventQueue) handled(it item) {
	q.mu.Lock()
	q.counts.handled(it)
	switch e := it.event.(type) {
	case Message:
		if it.sender != nil {
			q.incoming--
			q.incomingBytes -= len(e.Body)
		} else {
			q.broadcastBytes -= broadcastSize(e)
		}
	case PeerJoined, PeerChanged, PeerLeft:
		q.membership--
	case Ready:
	default:
		q.own--
		q.ownBytes -= ownBytes(it.event)
	}
	q.changed.Broadcast()
	q.mu.Unlock()
}

// passed counts a join, change or leave that the program has taken, and will show later. It does not say that
// the program goes on: see counts.keepPace.
func (q *EventQueue) passed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.membership--
	q.counts.unread--
}

// ownBytes is the size of the body in a Sent.
func ownBytes(event Event) int {
	sent, _ := event.(Sent)
	return len(sent.Body)
}

// end lets take return the remaining events and then end.
func (q *EventQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.changed.Broadcast()
		close(q.wake)
	}
}

// collapse removes the joins and leaves of a peer that cancel each other out, as
// long as no message of that peer stands between them, and all of its changes but the last.
func (q *EventQueue) collapse() {
	kept := q.items[:0]
	last := make(map[certs.ID]int)    // where in kept a peer's last join or leave stands
	changed := make(map[certs.ID]int) // and the last change behind it
	removed := make(map[int]bool)
	for _, it := range q.items {
		id, ok := membershipOf(it.event)
		if m, isMessage := it.event.(Message); isMessage {
			delete(last, m.From)
			delete(changed, m.From)
		}
		if !ok {
			kept = append(kept, it)
			continue
		}
		if i, before := changed[id]; before {
			removed[i] = true // the peer is gone, or has changed again
			it.had = true
			delete(changed, id)
			q.membership--
			q.counts.unread--
		}
		if _, isChange := it.event.(PeerChanged); isChange {
			changed[id] = len(kept)
			kept = append(kept, it)
			continue
		}
		if i, before := last[id]; before && cancels(kept[i], it) {
			delete(last, id)
			q.counts.unread--
			left, _ := kept[i].event.(PeerLeft)
			back, isBack := it.event.(PeerJoined)
			if q.membership--; kept[i].had || isBack && back.Visitor != left.Visitor { // it may have none any more
				kept[i] = item{event: PeerChanged{ID: id, Visitor: back.Visitor}}
				changed[id] = i
				continue
			}
			removed[i] = true
			q.counts.unread--
			q.membership--
			continue
		}
		last[id] = len(kept)
		kept = append(kept, it)
	}
	q.items = q.items[:0]
	for i, it := range kept {
		if !removed[i] {
			q.items = append(q.items, it)
		}
	}
	q.collapseAt = 2*q.membership + collapseAbove
}

func membershipOf(event Event) (id certs.ID, ok bool) {
	switch e := event.(type) {
	case PeerJoined:
		return e.ID, true
	case PeerChanged:
		return e.ID, true
	case PeerLeft:
		return e.ID, true
	}
	return "", false
}

// cancels says that an earlier join or leave and a later one change nothing: a
// peer that came and went, or went and came back with the same key.
func cancels(earlier, later item) bool {
	_, came := earlier.event.(PeerJoined)
	back, joined := later.event.(PeerJoined)
	if joined {
		return !came && earlier.key == back.Key
	}
	return came
}
