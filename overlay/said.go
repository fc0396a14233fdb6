package overlay

import (
	"iter"

	"quicpeer/overlay/messaging"
)

// stream is what a node tells its program: events, and the history of them.
type stream struct{ said messaging.Stream }

// Events yields the node's events in order, Ready first, until the node has stopped. An event
// counts as handled when the loop comes back for the next one; only then does the sender of a
// message get its receipt. The event at which a loop breaks is the first of the next loop.
// Only one loop, over Events or Deliveries, may run at a time.
func (s stream) Events() iter.Seq[Event] { return s.said.Events() }

// Deliveries yields the events as Events does, each with a function that says that it was shown: for
// a program that goes on meanwhile. A message counts as handled only then. The functions are called
// in the order of the events, each once, by one goroutine at a time. Joins, changes and leaves of peers
// count as handled when the loop comes back; their functions do nothing.
func (s stream) Deliveries() iter.Seq2[Event, func()] { return s.said.Deliveries() }

// History is what was said, over restarts too; empty without a state directory.
func (s stream) History() *History { return s.said.History() }

// The history.
type (
	// History is every message shown or sent, with what became of it.
	History = messaging.History
	// Past is an event of the history.
	Past = messaging.Past
	// Said is a message of the history, with what has become of it.
	Said = messaging.Said
	// Query selects messages of the history.
	Query = messaging.Query
	// SaidState says what became of a message.
	SaidState = messaging.State
)

// The states of a message of the history.
const (
	StateReceived  = messaging.StateReceived
	StateSent      = messaging.StateSent
	StateWaiting   = messaging.StateWaiting
	StateDelivered = messaging.StateDelivered
	StateFailed    = messaging.StateFailed
)
