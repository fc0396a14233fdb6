package messaging

import (
	"iter"
	"sync"
	"time"

	"quicpeer/certs"
)

// Stream is what an engine tells the program: events, and the history of them.
type Stream struct{ engine *Engine }

// Stream returns what the engine tells the program.
func (e *Engine) Stream() Stream { return Stream{e} }

// History returns what was said.
func (s Stream) History() *History { return &History{s.engine} }

// Events yields the queued events and those that come, until the queue has ended; see the
// Events of package overlay's Node.
func (s Stream) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if !s.enter() {
			return
		}
		defer s.exit()
		s.loop(func(it item) bool {
			if !it.hidden && !yield(it.event) {
				return false
			}
			s.handle(it)
			return true
		}, nil)
	}
}

// Deliveries yields the events as Events does, each with a function that says that it was shown.
// A message counts as handled only then. The functions are called in the order of the events. Events
// that were not shown when the loop is left come again in the next one, or after the next start. Of joins,
// changes and leaves nothing is kept until then, or a program that shows nothing would pile them up here:
// they are handled when the loop comes back, and their functions do nothing.
func (s Stream) Deliveries() iter.Seq2[Event, func()] {
	return func(yield func(Event, func()) bool) {
		if !s.enter() {
			return
		}
		unshown := &unshown{stream: s, last: s.exit}
		defer unshown.finish()
		s.loop(func(it item) bool {
			if _, ok := membershipOf(it.event); ok {
				if !yield(it.event, func() {}) {
					unshown.queue(it) // it comes again
					return false
				}
				s.engine.events.passed()
				return true
			}
			unshown.queue(it)
			return it.hidden || yield(it.event, unshown.pass)
		}, unshown)
	}
}

// loop hands over events, until the queue has ended or one is refused: that one, and those before it that
// were not shown, are the first of the next loop.
func (s Stream) loop(each func(item) bool, unshown *unshown) {
	e := s.engine
	var items []item
	var r recording
	for {
		var ok bool
		items, ok = e.events.take(items)
		if !ok || !s.record(&r, items) { // if it can't be written, the peer ends: it comes again after the next start
			return
		}
		for i, it := range items {
			if each(it) {
				continue
			}
			rest := items[i:]
			if unshown != nil {
				rest = append(unshown.rest(), items[i+1:]...)
			}
			e.events.putBack(rest)
			return
		}
	}
}

// enter is the beginning of a loop; false: a message shown now could not be noted.
func (s Stream) enter() bool { return !s.engine.disk.Keeps() || s.engine.disk.users.begin() }

// exit is the end of a loop, and of what it has shown.
func (s Stream) exit() {
	if disk := s.engine.disk; disk.Keeps() && disk.users.end() {
		_ = disk.Close() // the caller that has stopped the engine is not waiting any more
	}
}

// handle says that an event was shown.
func (s Stream) handle(it item) {
	s.engine.events.handled(it)
	s.noteHandled(it)
}

// record writes events to the history, which gives them their positions; false: it can't be written.
func (s Stream) record(r *recording, items []item) bool {
	if !s.engine.disk.history {
		return true
	}
	r.reset()
	now := time.Now()
	for i := range items {
		if items[i].pos == 0 { // else it is there
			r.add(i, &items[i], now)
		}
	}
	if len(r.entries) == 0 {
		return true
	}
	if !s.engine.disk.say(r.entries) {
		return false
	}
	s.engine.Rooms.note(items, r.entries)
	safe := s.engine.disk.store.Safe()
	for n, i := range r.places {
		it := &items[i]
		it.pos = r.entries[n].Pos
		it.event = withPos(it.event, it.pos)
		if sent, ok := it.event.(Sent); ok {
			s.engine.disk.unsaid.written(sent.Message, it.pos, safe)
		}
	}
	return true
}

// unshown are the events of a loop that were not shown yet. They may be shown after the end of the
// loop, and the store is in use until then.
type unshown struct {
	stream Stream
	last   func() // called once the loop has ended and all were shown

	mu       sync.Mutex
	items    []item
	passing  bool // the consequences of one that was shown are being stored
	finished bool
}

// queue adds one; one that is hidden counts as shown once those before it are.
func (u *unshown) queue(it item) {
	u.mu.Lock()
	u.items = append(u.items, it)
	alone := len(u.items) == 1 && !u.passing
	u.mu.Unlock()
	if it.hidden && alone {
		u.pass()
	}
}

// pass says that the first was shown, and with it those behind it that are hidden.
func (u *unshown) pass() {
	u.mu.Lock()
	for first := true; len(u.items) > 0 && (first || u.items[0].hidden); first = false {
		it := u.items[0]
		u.items[0] = item{} // free its memory
		u.items = u.items[1:]
		u.passing = true
		u.mu.Unlock()
		u.stream.handle(it)
		u.mu.Lock()
		u.passing = false
	}
	u.settle()
}

// rest takes out those that were not shown.
func (u *unshown) rest() []item {
	u.mu.Lock()
	defer u.mu.Unlock()
	rest := u.items
	u.items = nil
	return rest
}

// finish is the end of the loop.
func (u *unshown) finish() {
	u.mu.Lock()
	u.finished = true
	u.settle()
}

// settle unlocks, and calls last if this is the end.
func (u *unshown) settle() {
	last := u.last
	if !u.finished || len(u.items) > 0 || u.passing {
		last = nil
	} else {
		u.last = nil
	}
	u.mu.Unlock()
	if last != nil {
		last()
	}
}

// noteHandled stores the consequences of an event that the program has handled: how far it has come;
// after the last event of a message of ours the message is deleted. (For direct messages the receipt
// depends on that, see sender.)
func (s Stream) noteHandled(it item) {
	e := s.engine
	switch ev := it.event.(type) {
	case KeyChanged:
		e.directory.toldOf(ev.ID)
	case Message:
		if it.sender != nil {
			e.directory.exchanged(ev.From, it.sender.key, false)
		}
	}
	switch {
	case it.sender != nil:
		it.sender.handle(it)
	case it.author != certs.PublicKey{}:
		e.unanswered.change(1)
		e.disk.noteShown(broadcastMark(it.author), it, func(err error) {
			e.disk.isSafe(err)
			e.unanswered.change(-1)
		})
	case it.settled != nil:
		e.disk.noteSettled(it)
	case it.pos != 0:
		e.disk.store.Shown(it.pos, true, nil)
	}
}
