package messaging

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
)

// History is what was said: every message shown or sent, with what became of it, in the state
// directory. Its positions only rise. Without a state directory, or without a history, it is empty; so
// is the zero History. It may be read while the peer runs, and by several goroutines.
type History struct{ engine *Engine }

// disk has it.
func (h *History) disk() *Disk {
	if h.engine == nil {
		return &Disk{}
	}
	return h.engine.disk
}

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
	Binary bool            `json:"binary,omitzero"`
	Ref    string          `json:"ref,omitzero"`
	SentAt time.Time       `json:"sent_at"` // by the author's clock
	Before bool            `json:"before,omitzero"`
	// NewKey and Unproved say that the author's ID may be another's, as in Message.
	NewKey   bool      `json:"new_key,omitzero"`
	Unproved bool      `json:"unproved,omitzero"`
	ReplyTo  MessageID `json:"reply_to,omitzero"`
	Kind     Kind      `json:"kind,omitzero"`
	About    MessageID `json:"about,omitzero"`

	State State  `json:"state"`
	Error string `json:"error,omitzero"` // why it failed, or waits
}

// Query selects messages of the history.
type Query struct {
	With   certs.ID  // to and from that peer, or in that room, or Everyone; empty: all
	Last   int       // at most so many, the last ones; 0: all
	Bytes  int       // no more of these than have together so many bytes of bodies, or one; 0: all
	Before uint64    // only before that position; 0: up to the end
	Since  time.Time // only those written since; zero: all
	Search string    // only those whose body has it, in letters of any case; empty: all
}

// First is the position of the oldest event, 0 if there is none.
func (h *History) First() uint64 { return h.disk().said().First }

// End is the position of the last event, 0 if there is none. Between the two some are not taken.
func (h *History) End() uint64 { return h.disk().said().Last }

// Events yields the events from a position on, or from First where that is later, up to the End at the call. An error is the last: a
// *DamagedError where the history is not as it was written.
func (h *History) Events(from uint64) iter.Seq2[Past, error] {
	return func(yield func(Past, error) bool) {
		span := h.disk().said()
		span.First = max(span.First, from)
		err := h.read(span, func(r recorded) error {
			if !yield(r.Past, nil) {
				return store.ErrEnough
			}
			return nil
		})
		if err != nil {
			yield(Past{}, err)
		}
	}
}

// read calls f for the events of a span.
func (h *History) read(span store.Span, f func(recorded) error) error {
	if h.disk().store == nil || span.Last == 0 {
		return nil
	}
	return h.disk().store.Read(span, func(e store.Entry) error {
		r, err := decodeEntry(e, h.engine.cfg.ID)
		if err != nil {
			return err
		}
		return f(r)
	})
}

// Messages returns the messages that a query selects, in their order. It reads the files of the history from
// the newest back, each once, until it has enough. Its error is that of ctx, or a *DamagedError.
func (h *History) Messages(ctx context.Context, q Query) ([]Said, error) {
	if h.disk().store == nil {
		return nil, nil
	}
	q.Search = strings.ToLower(q.Search)
	l := looking{history: h, query: q, search: newSearch(q.Search), ends: make(map[MessageID]end)}
	var newest [][]Said // of a part of the history each
	for _, part := range h.disk().store.Parts() {
		list, err := l.read(ctx, part)
		if err != nil {
			return nil, err
		}
		list, enough := l.take(list)
		newest = append(newest, list)
		if enough {
			break
		}
	}
	slices.Reverse(newest)
	return slices.Concat(newest...), nil
}

// looking is how far a query has got, from the newest part of the history backwards.
type looking struct {
	history *History
	query   Query
	search  *search
	ends    map[MessageID]end // of messages that begin in the parts before
	count   int               // messages found
	bytes   int               // their bodies
}

// end is what has become of a message of ours.
type end struct {
	state State
	why   string
}

// read returns what the query selects of a part.
func (l *looking) read(ctx context.Context, part store.Span) (list []Said, err error) {
	self, key := l.history.engine.cfg.ID, l.history.engine.cfg.Identity.Key()
	here := make(map[MessageID]end)
	var begun []MessageID // ours, those not selected too
	err = l.history.disk().store.Read(part, func(e store.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Message && l.search != nil && !l.search.mayFind(e.Data) {
			if id, ours := sentID(e.Data); ours {
				begun = append(begun, id)
			}
			return nil
		}
		r, err := decodeEntry(e, self)
		if err != nil {
			return err
		}
		switch e := r.Event.(type) {
		case Sent:
			begun = append(begun, e.Message)
		case Delivered:
			here[e.Message] = end{state: StateDelivered}
		case Buffered:
			here[e.Message] = end{StateWaiting, e.Reason}
		case Failed:
			here[e.Message] = end{StateFailed, e.Error}
		}
		if s, ok := r.said(self, key); ok && l.query.selects(&s, r.At, self) {
			list = append(list, s)
		}
		return nil
	})
	maps.Copy(here, l.ends)
	for i := range list {
		if end, ok := here[list[i].ID]; ok && list[i].State == StateSent {
			list[i].State, list[i].Error = end.state, end.why
		}
	}
	for _, id := range begun {
		delete(here, id)
	}
	l.ends = here
	return list, err
}

// take takes the last ones of a part, as many as are wanted; enough: that were all.
func (l *looking) take(list []Said) (taken []Said, enough bool) {
	for i := len(list) - 1; i >= 0; i-- {
		l.bytes += len(list[i].Body)
		if l.query.Bytes > 0 && l.bytes > l.query.Bytes && l.count > 0 {
			return list[i+1:], true
		}
		if l.count++; l.count == l.query.Last {
			return list[i:], true
		}
	}
	return list, false
}

// search looks for a text in bytes as they are stored, which have it word for word: most need not be
// decoded.
type search struct {
	text []byte // in small letters
	room []byte
}

// newSearch returns nil where every message may be one that is looked for.
func newSearch(text string) *search {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return nil // letters beyond ASCII have small ones of other lengths
	}
	return &search{text: []byte(text)}
}

func (s *search) mayFind(b []byte) bool {
	s.room = append(s.room[:0], b...)
	for i, c := range s.room {
		if 'A' <= c && c <= 'Z' {
			s.room[i] = c + 'a' - 'A'
		}
	}
	return bytes.Contains(s.room, s.text)
}

// recent reads what the history has of our messages behind the position up to which it need not
// be read at a start: which were sent, and what has become of which.
type recent struct {
	from uint64 // the first position that was read
	sent map[MessageID]bool
	ends map[MessageID]bool
	over []*delivery.Outgoing // to be deleted: the program has had their ends
}

func (h *History) recent() (r recent, err error) {
	r = recent{sent: make(map[MessageID]bool), ends: make(map[MessageID]bool)}
	if h.disk().store == nil {
		return r, nil
	}
	r.from = h.disk().store.Folded() + 1
	err = h.read(store.Span{First: r.from, Last: h.End()}, func(e recorded) error {
		switch e := e.Event.(type) {
		case Sent:
			r.sent[e.Message] = true
		case Delivered:
			r.ends[e.Message] = true
		case Failed:
			r.ends[e.Message] = true
		}
		return nil
	})
	return r, err
}
