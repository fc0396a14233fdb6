package messaging

import (
	"iter"

	"quicpeer/certs"
)

// Stream is what an engine tells the program: events, and the history of them.
type Stream struct{ engine *Engine }

// Stream returns what the engine tells the program.
func (e *Engine) Stream() Stream { return Stream{e} }

// Events yields the queued events and those that come, until the queue has ended; see the
// Events of package overlay's Node.
func (s Stream) Events() iter.Seq[Event] {
	e := s.engine
	return func(yield func(Event) bool) {
		if e.disk.Keeps() {
			if !e.disk.users.begin() {
				return // a message shown now could not be noted
			}
			defer func() {
				if e.disk.users.end() {
					_ = e.disk.Close() // the caller that has stopped the engine is not waiting any more
				}
			}()
		}
		var items []item
		for {
			var ok bool
			items, ok = e.events.take(items)
			if !ok {
				return
			}
			for i, it := range items {
				if !it.hidden && !yield(it.event) {
					e.events.putBack(items[i:])
					return
				}
				e.events.handled(it)
				s.noteHandled(it)
			}
		}
	}
}

// noteHandled stores the consequences of an event that the program has handled: after the last
// event of a message of ours the message is deleted, and a broadcast is not shown again after
// a restart. (For direct messages the receipt depends on that, see sender.)
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
	case it.settled != nil:
		e.disk.forgetMessage(it.settled)
	case it.author != certs.PublicKey{}:
		e.unanswered.change(1)
		e.disk.noteShown(broadcastMark(it.author), it.stamp, func(bool) { e.unanswered.change(-1) })
	}
}

// Deliveries yields the events as Events does, each with a function that says that it was shown.
// A message counts as handled only then. The functions are called in the order of the events.
func (s Stream) Deliveries() iter.Seq2[Event, func()] {
	return func(yield func(Event, func()) bool) {
		for event := range s.Events() {
			if !yield(event, func() {}) {
				return
			}
		}
	}
}

// History returns what was said.
func (s Stream) History() *History { return &History{} }
