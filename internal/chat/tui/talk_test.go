package tui

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

// newTalk is the talk of "me", without a terminal.
func newTalk() *talk {
	return &talk{cfg: &Config{Self: "me", Key: certs.PublicKey{1}, Now: time.Now}, convs: newConvs(), crowd: crowd{begun: true}}
}

func (t *talk) hear(e overlay.Event) { t.put(item{event: e}) }

// Edits and deletions count for messages of the same author alone, in the same conversation.
func TestOnlyByTheAuthor(t *testing.T) {
	bob, eve := certs.PublicKey{2}, certs.PublicKey{3}
	said := overlay.Message{ID: overlay.MessageID{1}, From: "bob", Key: bob, To: "*", Body: "true"}
	for _, c := range []struct {
		name string
		e    overlay.Message
		want string
	}{
		{"an edit", overlay.Message{From: "bob", Key: bob, To: "*", Kind: overlay.KindEdit, About: said.ID, Body: "truer"}, "truer"},
		{"of another", overlay.Message{From: "eve", Key: eve, To: "*", Kind: overlay.KindEdit, About: said.ID, Body: "false"}, "true"},
		{"of another under his name", overlay.Message{From: "bob", Key: eve, NewKey: true, To: "*", Kind: overlay.KindEdit, About: said.ID, Body: "false"}, "true"},
		{"in another room", overlay.Message{From: "bob", Key: bob, To: "#dev", Kind: overlay.KindEdit, About: said.ID, Body: "false"}, "true"},
		{"about another", overlay.Message{From: "bob", Key: bob, To: "*", Kind: overlay.KindEdit, About: overlay.MessageID{9}, Body: "false"}, "true"},
		{"a deletion", overlay.Message{From: "bob", Key: bob, To: "*", Kind: overlay.KindDelete, About: said.ID}, ""},
		{"a deletion of another", overlay.Message{From: "eve", Key: eve, To: "*", Kind: overlay.KindDelete, About: said.ID}, "true"},
	} {
		k := newTalk()
		k.hear(said)
		c.e.ID = overlay.MessageID{2}
		k.hear(c.e)
		if got := k.list[0].entries[0].said.Body; got != c.want {
			t.Errorf("%s: the message is %q, not %q", c.name, got, c.want)
		}
	}
}

// A reaction is shown once, and its author can take it back.
func TestReactions(t *testing.T) {
	bob, eve := certs.PublicKey{2}, certs.PublicKey{3}
	k := newTalk()
	k.hear(overlay.Sent{Message: overlay.MessageID{1}, To: "*", Body: "hi"})
	react := func(id byte, from certs.ID, key certs.PublicKey, sign string) {
		k.hear(overlay.Message{ID: overlay.MessageID{id}, From: from, Key: key, To: "*", Kind: overlay.KindReaction, About: overlay.MessageID{1}, Body: sign})
	}
	takeBack := func(id byte, from certs.ID, key certs.PublicKey) {
		k.hear(overlay.Message{ID: overlay.MessageID{99}, From: from, Key: key, To: "*", Kind: overlay.KindDelete, About: overlay.MessageID{id}})
	}
	react(2, "bob", bob, "👍")
	react(3, "bob", bob, "👍")
	react(4, "eve", eve, "👍")
	react(5, "bob", bob, "🎉")
	takeBack(2, "eve", eve) // not hers
	own := k.list[0].entries[0]
	if got := (&painter{}).reactions(own.reacted); got != "👍 bob, eve · 🎉 bob" {
		t.Errorf("the reactions are %q", got)
	}
	takeBack(2, "bob", bob)
	if got := (&painter{}).reactions(own.reacted); got != "👍 eve · 🎉 bob" {
		t.Errorf("then the reactions are %q", got)
	}
	if v := k.list[0]; v.unread != 0 || len(v.entries) != 2 { // the deletion that was not hers
		t.Errorf("%d unread, %d entries", v.unread, len(v.entries))
	}
	for range 200 {
		react(6, certs.ID(strings.Repeat("x", len(own.reacted)%50+1)), certs.PublicKey{byte(len(own.reacted) + 10)}, "👍")
	}
	if len(own.reacted) > maxReactions {
		t.Errorf("%d reactions are shown", len(own.reacted))
	}
}

// The receipt of an edit is counted as that of a message is.
func TestReceiptOfAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(60, 10), nil)
		first := r.say("bob", "one")
		_ = r.chat.Event(overlay.Sent{Message: overlay.MessageID{50}, To: "bob", Kind: overlay.KindEdit, About: first, Body: "two", SentAt: time.Now()}, func() {})
		_ = r.chat.Event(overlay.Delivered{Message: first, To: "bob"}, func() {})
		_ = r.chat.Event(overlay.Delivered{Message: overlay.MessageID{50}, To: "bob"}, func() {})
		r.settle()
		if got := r.Text(); !strings.Contains(got, "✓ bob 2\n") || strings.Contains(got, "✓ bob:") {
			t.Errorf("the screen is\n%s", frame(got))
		}
	})
}

// Messages of another conversation are unread in full screen, but for those that line mode has shown.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(80, 10), nil)
		r.hear("bob", "me", "seen")
		r.settle()
		r.Press("f2")
		r.settle()
		if got := r.Row(2); !strings.HasPrefix(got, " 2 bob            │") {
			t.Errorf("after line mode: %q", got)
		}
		id := r.hear("bob", "me", "not seen")
		_ = r.chat.Event(overlay.Message{ID: overlay.MessageID{77}, From: "bob", To: "me", Key: certs.PublicKey{'b'}, Kind: overlay.KindEdit, About: id, Body: "not seen!", SentAt: time.Now()}, func() {})
		r.settle()
		if got := r.Row(2); !strings.HasPrefix(got, " 2 bob          1!│") {
			t.Errorf("then: %q", got)
		}
		r.Press("alt+2")
		r.settle()
		if got := r.Row(2); !strings.HasPrefix(got, ">2 bob            │") {
			t.Errorf("in front: %q", got)
		}
	})
}

// A reply quotes what it is to, in the past as well.
func TestQuotes(t *testing.T) {
	k := newTalk()
	reply := overlay.Said{ID: overlay.MessageID{2}, Pos: 2, From: "bob", To: "*", ReplyTo: overlay.MessageID{1}, Body: "I do"}
	k.put(item{past: []overlay.Said{{ID: overlay.MessageID{1}, Pos: 1, From: "carol", To: "*", Body: "who?"}, reply}})
	v := k.list[0]
	if got := v.entries[len(v.entries)-1].answered; got != "carol: who?" {
		t.Errorf("at the beginning: %q", got)
	}
	k = newTalk()
	v = k.list[0]
	k.prepend(v, []overlay.Said{reply})
	k.prepend(v, []overlay.Said{{ID: overlay.MessageID{1}, Pos: 1, From: "carol", To: "*", Body: "who?"}})
	if got := v.entries[1].answered; got != "carol: who?" {
		t.Errorf("page by page: %q", got)
	}
}

// A ticket is one line for the terminal, so that it can be copied, whatever its length and the terminal's width; the prompt
// stays whole.
func TestTicketStaysWhole(t *testing.T) {
	ticket := "qp1" + strings.Repeat("abcdefghij", 13)
	for width := 20; width < 150; width += 9 {
		for _, n := range []int{width - 5, width - 4, width - 3, 2*width - 4, 2*width - 3, len(ticket)} {
			if n > len(ticket) {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				r := start(t, emulator.New(width, 12), nil)
				_ = r.chat.Note(chat.Note{Mark: "*", Text: "for bob:", Block: ticket[:n]})
				_ = r.chat.Note(chat.Note{Mark: "*", Text: "next"})
				r.settle()
				rows := strings.Split(strings.TrimRight(strings.Join(append(r.Scrollback(), r.Text()), "\n"), "\n "), "\n")
				all := strings.Join(rows, "")
				if !strings.Contains(all, "    "+ticket[:n]) || !strings.HasSuffix(strings.TrimRight(strings.Join(rows, "\n"), "\n "), "next\nme>") || strings.Count(all, "me>") != 1 {
					t.Errorf("%d of %d columns:\n%s", n, width, frame(strings.Join(rows, "\n")))
				}
			})
		}
	}
}

// The author of a message sees it, wherever he was reading.
func TestOwnMessageIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(80, 10), func(c *Config) { c.Full = true })
		for range 30 {
			r.hear("bob", "*", "line")
		}
		r.settle()
		r.Press("pgup")
		r.settle()
		r.hear("bob", "*", "below")
		r.say("bob", "elsewhere")
		r.settle()
		if got := r.Text(); !strings.Contains(got, "1 new below") {
			t.Errorf("above:\n%s", frame(got))
		}
		r.say("*", "mine")
		r.settle()
		if got := r.Text(); strings.Contains(got, "new below") || !strings.Contains(got, "me: mine") {
			t.Errorf("after it was sent:\n%s", frame(got))
		}
	})
}

// A deleted text is gone from the replies to it as well.
func TestDeletedQuotes(t *testing.T) {
	bob := certs.PublicKey{2}
	k := newTalk()
	k.hear(overlay.Message{ID: overlay.MessageID{1}, From: "bob", Key: bob, To: "*", Body: "hunter2"})
	k.hear(overlay.Message{ID: overlay.MessageID{2}, From: "eve", To: "*", Body: "what?", ReplyTo: overlay.MessageID{1}})
	reply := k.list[0].entries[1]
	if reply.answered != "bob: hunter2" {
		t.Errorf("the reply is to %q", reply.answered)
	}
	k.hear(overlay.Message{ID: overlay.MessageID{3}, From: "bob", Key: bob, To: "*", Kind: overlay.KindDelete, About: overlay.MessageID{1}})
	if reply.answered != "bob: (deleted)" {
		t.Errorf("then it is to %q", reply.answered)
	}
}

// The oldest messages go when there are many, but not those that somebody looks at.
func TestManyMessages(t *testing.T) {
	k := newTalk()
	v := k.list[0]
	hear := func(n int) {
		for i := range n {
			k.hear(overlay.Message{ID: overlay.MessageID{byte(i), byte(i >> 8)}, From: "bob", To: "*", Body: "x"})
		}
	}
	hear(3 * maxEntries)
	if n := len(v.entries); n < maxEntries || n > maxEntries+maxEntries/10 {
		t.Errorf("%d messages are kept", n)
	}
	f := &pane{talk: k}
	f.stand(v.entries[0], 0)
	hear(maxEntries)
	if f.position() != 0 {
		t.Error("what is looked at has moved")
	}
	hear(2 * maxHeld)
	if n := len(v.entries); n > maxHeld+maxEntries {
		t.Errorf("%d messages are kept for the reader", n)
	}
	f.follow()
	hear(1)
	if n := len(v.entries); n > maxEntries+maxEntries/10 {
		t.Errorf("%d messages are kept at the end", n)
	}
}
