package chat

import (
	"cmp"
	"strings"
	"sync"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// spoken is what was said last, for commands about it.
type spoken struct {
	mu     sync.Mutex
	own    map[certs.ID]overlay.MessageID // the last message of this peer in a conversation
	others map[certs.ID]overlay.MessageID // the last one of another
	direct certs.ID                       // who has written to this peer alone last
}

// maxSpoken is how many conversations are remembered, a guess; then it begins again.
const maxSpoken = 1000

// note remembers an event.
func (s *spoken) note(event overlay.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case overlay.Sent:
		if e.Kind == "" || e.Kind == overlay.KindAction {
			put(&s.own, e.To, e.Message)
		}
	case overlay.Message:
		if e.Before || e.Kind != "" && e.Kind != overlay.KindAction {
			return
		}
		with := e.To
		if with != overlay.Everyone && !overlay.IsRoom(with) {
			with, s.direct = e.From, e.From
		}
		put(&s.others, with, e.ID)
	}
}

func put(m *map[certs.ID]overlay.MessageID, with certs.ID, id overlay.MessageID) {
	if *m == nil || len(*m) >= maxSpoken {
		*m = map[certs.ID]overlay.MessageID{}
	}
	(*m)[with] = id
}

// last returns the last message of this peer, or else of another, in a conversation.
func (s *spoken) last(own bool, with certs.ID) (overlay.MessageID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.others
	if own {
		from = s.own
	}
	id, ok := from[with]
	return id, ok
}

// Edited is a message that a screen has had the user edit. Zero: none.
type Edited struct {
	in certs.ID
	id overlay.MessageID
}

// Set says which message, in which conversation, the next line is about if it is /edit: it need not be the last one by
// then. It is called where lines are executed.
func (e *Edited) Set(in certs.ID, id overlay.MessageID) { *e = Edited{in, id} }

// refer is the message of /me, /r, /reply, /edit, /delete and /react.
func (t *Frontend) refer(c typed, about Edited) (lines.Message, error) {
	to := cmp.Or(t.front, overlay.Everyone)
	m := lines.Message{To: to, Body: c.text, Ref: lines.Excerpt(c.text)}
	switch c.verb {
	case act:
		m.Kind = overlay.KindAction
		return m, nil
	case reply:
		t.spoken.mu.Lock()
		m.To, m.ReplyTo = t.spoken.direct, t.spoken.others[t.spoken.direct]
		t.spoken.mu.Unlock()
		if m.To == "" {
			return lines.Message{}, lines.Bad("nobody has written to you alone yet; a message to one peer is typed as @ID text")
		}
		return m, nil
	}
	if c.verb == edit && about.in != "" {
		m.To, m.Kind, m.About = about.in, overlay.KindEdit, about.id
		return m, nil
	}
	own, found := c.verb != react && c.verb != answer, false
	if m.About, found = t.spoken.last(own, to); !found {
		return lines.Message{}, lines.Bad("there is no message " + map[bool]string{true: "of yours", false: "of another"}[own] + " here since this began; /room ID or /room #name puts another conversation in front")
	}
	switch c.verb {
	case answer:
		m.ReplyTo, m.About = m.About, overlay.MessageID{}
	case edit:
		m.Kind = overlay.KindEdit
	case unsay:
		m.Kind, m.Body, m.Ref = overlay.KindDelete, "", "/delete"
	case react:
		m.Kind, m.Body = overlay.KindReaction, strings.TrimSpace(c.text)
	}
	return m, nil
}
