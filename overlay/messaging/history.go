package messaging

import (
	"iter"
	"time"

	"quicpeer/certs"
)

// History is what was said: every message shown or sent, with what became of it, in the state
// directory. Its positions only rise. Without a state directory, or without a history, it is empty.
// It may be read while the peer runs, and by several goroutines.
type History struct{}

// Past is an event of the history: a Message, Sent, Delivered, Buffered or Failed, with its Pos,
// and when it was written.
type Past struct {
	At    time.Time
	Event Event
}

// State says what became of a message.
type State string

// The states of a message.
const (
	StateReceived  State = "received"  // it is for this peer, or for a room or everyone
	StateSent      State = "sent"      // ours, with no receipt yet; of a room, or to everyone, that is all there is
	StateWaiting   State = "waiting"   // it waits for its receiver
	StateDelivered State = "delivered" // its receiver has it
	StateFailed    State = "failed"
)

// Said is a message of the history with what has become of it.
type Said struct {
	Pos    uint64          `json:"pos"` // of the message itself
	ID     MessageID       `json:"message"`
	From   certs.ID        `json:"from"`
	Key    certs.PublicKey `json:"key"` // the author's
	To     certs.ID        `json:"to"`  // an ID, Everyone or a room
	Body   string          `json:"body"`
	Ref    string          `json:"ref,omitzero"`
	SentAt time.Time       `json:"sent_at"` // by the author's clock
	Before bool            `json:"before,omitzero"`
	State  State           `json:"state"`
	Error  string          `json:"error,omitzero"` // why it failed, or waits
}

// Query selects messages of the history.
type Query struct {
	With   certs.ID  // to and from that peer, or in that room, or Everyone; empty: all
	Last   int       // at most so many, the last ones; 0: all
	Before uint64    // only before that position; 0: up to the end
	Since  time.Time // only those written since; zero: all
	Search string    // only those whose body has it, in letters of any case; empty: all
}

// First is the position of the oldest event, 0 if there is none.
func (h *History) First() uint64 { return 0 }

// End is the position of the last event, 0 if there is none.
func (h *History) End() uint64 { return 0 }

// Events yields the events from a position on, up to the End at the call. An error is the last.
func (h *History) Events(from uint64) iter.Seq2[Past, error] {
	return func(func(Past, error) bool) {}
}

// Messages returns the messages that a query selects, in their order.
func (h *History) Messages(q Query) ([]Said, error) { return nil, nil }
