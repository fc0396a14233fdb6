package tui

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"quicpeer/internal/chat/edit"
	"quicpeer/overlay"
)

// newTestModel is a model without a program.
func newTestModel() *model {
	return newModel(New(Config{Self: "me", Node: &fakeNode{}, Inputs: &edit.Inputs{}, Size: Size{Width: 40, Height: 24}, Now: time.Now}))
}

// A /room that is executed late does not undo a key that was pressed since: what is typed goes where the key says.
func TestTurnOrder(t *testing.T) {
	m := newTestModel()
	c := m.chat
	m.talk.get("#dev")
	m.turn(m.talk.list[1])
	m.turn(m.talk.list[0])
	c.Turned("#dev") // of a /room before these keys
	m.accept(c.take(maxBatch))
	if got := m.talk.front.name; got != overlay.Everyone {
		t.Errorf("in front is %s", got)
	}
	close(c.typed)
	if _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	c.Turned("#dev") // of a /room behind them
	m.accept(c.take(maxBatch))
	if got := m.talk.front.name; got != "#dev" {
		t.Errorf("in front is %s", got)
	}
}

// While too many lines wait, /part closes nothing: the front end would still be in that conversation.
func TestPartTooFast(t *testing.T) {
	m := newTestModel()
	m.turn(m.talk.get("bob"))
	for m.chat.enter(input{line: []byte("x")}) {
	}
	m.prompt.text.Insert("/part")
	m.enter(nothing)
	if got := m.talk.front.name; got != "bob" {
		t.Errorf("in front is %s", got)
	}
}

// An edit changes the message that was in the line, in its conversation, whatever was said or put in front since.
func TestEditsThatMessage(t *testing.T) {
	m := newTestModel()
	c := m.chat
	dev := m.talk.get("#dev")
	begin := func() {
		m.turn(dev)
		m.prompt.goUp()
		if !m.prompt.edits() {
			t.Fatal("nothing is edited")
		}
	}
	_ = c.Event(overlay.Sent{Message: overlay.MessageID{1}, To: "#dev", Body: "secret"}, func() {})
	m.accept(c.take(maxBatch))
	begin()
	m.turn(m.talk.list[0])
	if m.prompt.edits() || !m.prompt.text.Empty() {
		t.Errorf("%q of #dev is edited for everyone", m.prompt.text.String())
	}
	begin()
	c.Parted("#dev")
	m.turning = 0
	m.accept(c.take(maxBatch))
	if m.prompt.edits() || !m.prompt.text.Empty() {
		t.Errorf("%q of a room that was left is edited", m.prompt.text.String())
	}
	_ = c.Event(overlay.Sent{Message: overlay.MessageID{1}, To: "*", Body: "one"}, func() {})
	m.accept(c.take(maxBatch))
	m.prompt.goUp()
	_ = c.Event(overlay.Sent{Message: overlay.MessageID{2}, To: "*", Body: "two"}, func() {})
	m.accept(c.take(maxBatch))
	m.enter(nothing)
	close(c.typed)
	var edits []input
	for i := range c.typed {
		if i.line != nil {
			edits = append(edits, i)
		}
	}
	if len(edits) != 1 || string(edits[0].line) != "/edit one" || edits[0].front != overlay.Everyone || edits[0].edits != (overlay.MessageID{1}) {
		t.Errorf("%v", edits)
	}
}

// A room that is left while its reader looks above leaves nothing of that behind, even if nothing was said elsewhere.
func TestPartAbove(t *testing.T) {
	m := newTestModel()
	m.full.on, m.full.wanted = true, true
	m.inFront(m.talk.get("#dev"))
	_ = m.chat.Event(overlay.Sent{Message: overlay.MessageID{1}, To: "#dev", Body: "one"}, func() {})
	m.accept(m.chat.take(maxBatch))
	m.full.stand(m.talk.front.entries[0], 0)
	m.chat.Parted("#dev")
	m.accept(m.chat.take(maxBatch))
	m.View()
}

// A conversation that is put in front while the history of another one is read gets its own page behind that.
func TestFillBehind(t *testing.T) {
	m := newTestModel()
	m.full.on, m.full.wanted = true, true
	m.talk.get("#dev")
	if m.turn(m.talk.list[1]) == nil {
		t.Fatal("no page is read")
	}
	if m.turn(m.talk.list[0]) != nil {
		t.Fatal("two pages are read at once")
	}
	if m.update(loaded{page{of: "#dev"}}) == nil {
		t.Error("the page of the conversation in front is not read")
	}
}

// A notice of data says how much it is.
func TestNoticeOfData(t *testing.T) {
	e := &entry{message: message{said: overlay.Said{From: "bob", Body: "\x00\x01\x02", Binary: true}}}
	if got := fmt.Sprint(notice("xterm", e)()); !strings.Contains(got, "bob: [3 bytes of data]") {
		t.Errorf("%q", got)
	}
}
