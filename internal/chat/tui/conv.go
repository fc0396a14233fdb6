package tui

import (
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Bounds, guesses.
const (
	maxEntries = 2000   // of a conversation, in memory; the history has the rest
	maxHeld    = 20_000 // of one whose reader has gone up
	maxConvs   = 100    // conversations; the oldest direct one goes, of those without news if there are any
)

// conv is a conversation: with everyone, in a room, or with one peer.
type conv struct {
	name     certs.ID
	entries  []*entry
	unread   int      // messages since it was last in front
	mentions int      // of these, those that name this peer, or are to it alone
	fresh    *entry   // the first message that was not seen; nil: all were
	first    uint64   // position of the first message that was read from the history; 0: none was
	pending  []*entry // edits and the like of messages that are not read yet
	notify   notify   // when the user is told of a message while he looks elsewhere
	held     bool     // its reader looks at what stands above
	told     string   // that the peer is away, as it says
	complete bool     // the history has no older ones
}

// convs are the conversations, in the order of their tabs.
type convs struct {
	list  []*conv
	front *conv
	last  []certs.ID // peers that have spoken, the last one first
}

func newConvs() convs {
	c := convs{}
	c.front = c.get(overlay.Everyone)
	return c
}

// get is the conversation of that name, which may begin now.
func (c *convs) get(name certs.ID) *conv {
	for _, v := range c.list {
		if v.name == name {
			return v
		}
	}
	v := &conv{name: name}
	c.list = append(c.list, v)
	if len(c.list) > maxConvs {
		c.forget()
	}
	return v
}

// forget ends one conversation, not the last one, which has just begun.
func (c *convs) forget() {
	oldest := 0
	for i, v := range c.list[:len(c.list)-1] {
		if i == 0 || v == c.front || overlay.IsRoom(v.name) {
			continue
		}
		if v.unread == 0 {
			oldest = i
			break
		}
		if oldest == 0 {
			oldest = i
		}
	}
	if oldest > 0 {
		c.list = slices.Delete(c.list, oldest, oldest+1)
	}
}

// find is the conversation of that name, nil if there is none.
func (c *convs) find(name certs.ID) *conv {
	for _, v := range c.list {
		if v.name == name {
			return v
		}
	}
	return nil
}

// drop ends a conversation. Everyone stays.
func (c *convs) drop(name certs.ID) {
	c.list = slices.DeleteFunc(c.list, func(v *conv) bool { return v.name == name && name != overlay.Everyone })
	if c.front.name == name {
		c.turnTo(c.list[0])
	}
}

// turnTo puts a conversation in front: it is read then.
func (c *convs) turnTo(v *conv) {
	if c.front != v {
		c.front.fresh = nil
	}
	c.front = v
	v.unread, v.mentions = 0, 0
}

// by is the conversation that many tabs from the one in front.
func (c *convs) by(n int) *conv {
	i := slices.Index(c.list, c.front)
	return c.list[((i+n)%len(c.list)+len(c.list))%len(c.list)]
}

// nextUnread is the next conversation with news, those first that name this peer; nil if there is none.
func (c *convs) nextUnread() *conv {
	for _, wanted := range []func(*conv) bool{func(v *conv) bool { return v.mentions > 0 }, func(v *conv) bool { return v.unread > 0 }} {
		for n := 1; n < len(c.list); n++ {
			if v := c.by(n); wanted(v) {
				return v
			}
		}
	}
	return nil
}

// push adds an entry, and drops the oldest when there are many; a reader of what stands above keeps them.
func (v *conv) push(e *entry) {
	v.entries = append(v.entries, e)
	most := maxEntries
	if v.held {
		most = maxHeld
	}
	if n := len(v.entries) - most; n > maxEntries/10 {
		v.entries = slices.Delete(v.entries, 0, n)
		v.complete, v.first = false, 0
	}
}

// about is the message that an edit, a deletion or a reaction counts for, nil if it is not here.
func (v *conv) about(s overlay.Said) *entry {
	for _, e := range slices.Backward(v.entries) {
		if e.note.Mark == "" && s.CountsFor(e.said) {
			return e
		}
	}
	return nil
}

// takeBack removes a reaction, as its author's deletion says. It returns false if there is none.
func (v *conv) takeBack(s overlay.Said) bool {
	for _, e := range v.entries {
		for i, r := range e.reacted {
			if r.id == s.About && r.key == s.Key {
				e.reacted = slices.Delete(e.reacted, i, i+1)
				return true
			}
		}
	}
	return false
}

// seenAll notes that all messages were seen, in line mode.
func (c *convs) seenAll() {
	for _, v := range c.list {
		v.unread, v.mentions, v.fresh = 0, 0, nil
	}
}

// quote notes what a reply is to, if that is here.
func (v *conv) quote(e *entry) {
	if e.answered != "" || e.said.ReplyTo == (overlay.MessageID{}) {
		return
	}
	if about := v.withID(e.said.ReplyTo); about != nil {
		e.answered = string(about.said.From) + ": " + brief(about.said)
	}
}

// unquote takes the text of a deleted message out of the replies to it.
func (v *conv) unquote(gone *entry) {
	for _, e := range v.entries {
		if e.said.ReplyTo == gone.said.ID && e.answered != "" {
			e.answered = string(gone.said.From) + ": (deleted)"
		}
	}
}

// withID is the message with that ID, whoever has written it, nil if it is not here.
func (v *conv) withID(id overlay.MessageID) *entry {
	for _, e := range slices.Backward(v.entries) {
		if e.note.Mark == "" && e.said.ID == id {
			return e
		}
	}
	return nil
}

// missed notes a message that was not seen; named: it is for this peer, or names it.
func (v *conv) missed(e *entry, named bool) {
	v.unread++
	if named {
		v.mentions++
	}
	if v.fresh == nil {
		v.fresh = e
	}
}

// has says that a message of the history is here already.
func (v *conv) has(s overlay.Said) bool {
	if oldest := v.oldest(); oldest != 0 && s.Pos >= oldest {
		return true
	}
	return slices.ContainsFunc(v.entries, func(e *entry) bool { return e.note.Mark == "" && e.said.ID == s.ID && e.said.Pos == s.Pos })
}

// extend puts entries before the others: those of a page of the history.
func (v *conv) extend(older []*entry, page []overlay.Said) {
	oldest := v.oldest()
	v.entries = append(older, v.entries...)
	if v.first = oldest; len(page) > 0 && (oldest == 0 || page[0].Pos < oldest) {
		v.first = page[0].Pos
	}
}

// spoke notes that a peer has spoken.
func (c *convs) spoke(id certs.ID) {
	c.last = slices.Insert(slices.DeleteFunc(c.last, func(o certs.ID) bool { return o == id }), 0, id)
	c.last = c.last[:min(len(c.last), maxConvs)]
}

// oldest is the position before which the history has what is not here; 0: nothing of it is here.
func (v *conv) oldest() uint64 {
	if v.first != 0 {
		return v.first
	}
	for _, e := range v.entries {
		if e.said.Pos != 0 && e.note.Mark == "" {
			return e.said.Pos
		}
	}
	return 0
}
