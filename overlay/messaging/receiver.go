package messaging

import (
	"context"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Bounds of the messages that wait for receivers, and of those on their way to one (guesses;
// messages on their way when a link breaks are sent twice).
const (
	MaxWaiting      = 16384    // messages to one receiver
	MaxOutboxes     = 4096     // receivers that are not here, with messages waiting
	maxWaitingBytes = 32 << 20 // their bodies and refs
	maxHeld         = 64 << 20 // bytes of all messages of the engine, with messageCost for each
	maxHeldForFirst = 80 << 20 // with the first messages to receivers that are here
	messageCost     = 256      // about what a message takes beside its body and ref
)

// The reasons why a message waits, for the program.
const (
	notHere    = "the peer is not in the network now"
	hasLeft    = "the peer has left the network"
	noWay      = "the peer can't be reached now"
	fromBefore = "kept from an earlier run"
	notTaken   = "the peer does not take it now"
)

// receiver sends the messages to one peer, in the order of Send, over the link that the
// loop has given it, else over other peers. delivery.Outbox knows which of them are on
// their way.
type receiver struct {
	engine *Engine
	to     certs.ID

	mu      sync.Mutex
	changed sync.Cond
	room    chan struct{}    // closed when the state has changed; nil: no caller waits for room
	present bool             // the peer is in the table, with this key
	key     certs.PublicKey  // of the peer that its messages are for, see Directory.forWhom; zero: no peer of the ID is known
	sealing certs.SealingKey // of the same; zero: nothing can be sealed to it
	away    string           // why it is not present
	// textOnly says that its version takes no data, as far as known.
	textOnly bool
	box      delivery.Outbox
	storing  int // messages with a receipt that wait for the disk, and take room until then
	closed   bool

	direct  directLane
	relayed relayedLane
	left    leftLane
}

func newReceiver(e *Engine, to certs.ID, c Contact, present bool) *receiver {
	r := &receiver{engine: e, to: to, key: c.Key, sealing: c.Sealing, textOnly: c.TextOnly, present: present, away: notHere}
	r.changed.L = &r.mu
	r.direct.r, r.relayed.r, r.left.r = r, r, r
	return r
}

// notify wakes the goroutines that wait for a change. r.mu is held.
func (r *receiver) notify() {
	r.changed.Broadcast()
	r.tellRoom()
}

// tellRoom wakes the callers that wait for room. r.mu is held.
func (r *receiver) tellRoom() {
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
}

// wakeAll is notify for a timer, or for the end of something.
func (r *receiver) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify()
}

// waitUntil waits for a change, at most until then. r.mu is held.
func (r *receiver) waitUntil(now, then time.Duration) {
	timer := time.AfterFunc(then-now, r.wakeAll)
	r.changed.Wait()
	timer.Stop()
}

// takeRoom waits for room for a message, and takes it. r.mu is held, but not while it
// waits.
func (r *receiver) takeRoom(ctx context.Context, size int) error {
	var freed <-chan struct{}
	for {
		if r.closed {
			return ErrClosed
		}
		if r.fits(size) && r.engine.held.grab(int64(size+messageCost), r.limit()) {
			return nil
		}
		if !r.present {
			return ErrOutboxFull
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if freed == nil {
			freed = r.engine.held.whenFreed()
			continue // it may have been freed before
		}
		if r.room == nil {
			r.room = make(chan struct{})
		}
		changed := r.room
		r.mu.Unlock()
		select {
		case <-changed:
		case <-freed:
			freed = nil
		case <-ctx.Done():
		}
		r.mu.Lock()
	}
}

// fits says that the bounds of one receiver allow for another message.
func (r *receiver) fits(size int) bool {
	n := r.box.Len() + r.storing
	return n < MaxWaiting && (n == 0 || r.box.Bytes()+size <= maxWaitingBytes)
}

// limit is how much all may hold with another message to this one.
func (r *receiver) limit() int64 {
	if r.box.Len() == 0 && r.present {
		return maxHeldForFirst + messageCost // absent receivers don't hold up those that are here
	}
	return maxHeld + messageCost
}

// free gives back the room of a message that is out.
func (r *receiver) free(m *delivery.Outgoing) { r.engine.held.force(-costOf(m)) }

func costOf(m *delivery.Outgoing) int64 { return int64(len(m.Body) + len(m.Ref) + messageCost) }

// tellWaits tells the program once that a message waits. r.mu is held.
func (r *receiver) tellWaits(m *delivery.Outgoing, reason string) {
	if m.Waits == "" {
		m.Waits = reason
		if m.Stored {
			r.engine.events.Push(Buffered{Message: m.ID, To: r.to, Ref: m.Ref, Reason: reason})
		}
	}
}

func (r *receiver) tellAllWait(reason string) {
	for _, m := range r.box.All() {
		r.tellWaits(m, reason)
	}
}

// end ends the receiver and returns its undelivered messages.
func (r *receiver) end() []*delivery.Outgoing {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.notify()
	return r.box.All()
}

// count is how many messages have no receipt, and whether the peer is here.
func (r *receiver) count() (n int, present bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.box.Len(), r.present
}

// discard closes the receiver if it is of no use now.
func (r *receiver) discard() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.direct.link != nil || r.box.Len() > 0 {
		return false
	}
	r.closed = true
	r.notify()
	return true
}

// waiting describes the outbox for the command /buffer.
func (r *receiver) waiting() Waiting {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := Waiting{To: r.to, Count: r.box.Len(), Bytes: r.box.Bytes()}
	if m := r.box.Oldest(); m != nil {
		w.Since = m.SentAt
	}
	return w
}

// waited is how long the oldest message has waited; 0 if there is none.
func (r *receiver) waited() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.box.Oldest(); m != nil {
		return r.engine.now() - m.Taken
	}
	return 0
}

// addressee is the peer that letters are sealed to. r.mu is held.
func (r *receiver) addressee() delivery.Addressee {
	return delivery.Addressee{ID: r.to, Key: r.key, Sealing: r.sealing}
}
