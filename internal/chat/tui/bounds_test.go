package tui

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
)

// The log does not pile up while the terminal takes nothing, and what was dropped is told.
func TestLogBounded(t *testing.T) {
	m := newTestModel()
	for i := range maxLogged + 7 {
		fmt.Fprintf(m.chat, "line %d\n", i)
	}
	if n := len(m.chat.queue); n != maxLogged {
		t.Errorf("%d lines wait", n)
	}
	var last string
	for batch := m.chat.take(maxBatch); len(batch) > 0; batch = m.chat.take(maxBatch) {
		last = batch[len(batch)-1].log
	}
	if last != "7 lines of this program were dropped: the terminal was too slow" {
		t.Errorf("at last: %q", last)
	}
	if fmt.Fprintln(m.chat, "more"); len(m.chat.queue) != 1 {
		t.Error("nothing is shown any more")
	}
}

// Any number of peers may write to this one: the oldest conversations go, even if they were not read. Rooms and the one
// in front stay.
func TestConvsBounded(t *testing.T) {
	m := newTestModel()
	m.talk.get("#dev")
	m.inFront(m.talk.get("alice"))
	for i := range 3 * maxConvs {
		_ = m.chat.Event(overlay.Message{ID: overlay.MessageID{byte(i), byte(i >> 8)}, From: certs.ID(fmt.Sprintf("p%d", i)), To: "me", Body: "x"}, func() {})
	}
	for batch := m.chat.take(maxBatch); len(batch) > 0; batch = m.chat.take(maxBatch) {
		m.accept(batch)
	}
	if n := len(m.talk.list); n != maxConvs {
		t.Errorf("%d conversations", n)
	}
	for _, name := range []certs.ID{overlay.Everyone, "#dev", "alice", certs.ID(fmt.Sprintf("p%d", 3*maxConvs-1))} {
		if m.talk.find(name) == nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// Of visitors, whose leaving isn't told, nothing is remembered.
func TestAwayBounded(t *testing.T) {
	m := newTestModel()
	front := chat.NewOn(m.chat, false)
	for i := range 100 {
		id := certs.ID(fmt.Sprintf("p%d", i))
		for _, e := range []overlay.Event{
			overlay.PeerJoined{ID: id, Visitor: true}, overlay.PeerChanged{ID: id, Visitor: true, Tags: map[string]string{chat.AwayTag: "x"}}, overlay.PeerLeft{ID: id, Visitor: true},
		} {
			_ = front.Show(e)
		}
	}
	m.accept(m.chat.take(maxBatch))
	if n := len(m.talk.crowd.away); n != 0 {
		t.Errorf("%d are away", n)
	}
}

// A chat that ends while more was typed than there is room for leaves no goroutine behind.
func TestPumpEnds(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		k := newKeys()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.pump(strings.NewReader(strings.Repeat("x", 2*maxKeys)))
		}()
		synctest.Wait() // it is full
		k.end()
		<-ended
	})
}

// slowScreen is what a chat passes things on to at its end: while it shows one, another comes.
type slowScreen struct {
	chat.Screen
	c     *Chat
	shown []string
}

func (s *slowScreen) Note(n chat.Note) error {
	if s.shown = append(s.shown, n.Text); n.Text == "first" {
		return s.c.Note(chat.Note{Text: "third"})
	}
	return nil
}

// Events that come while a chat passes on the rest wait for nobody, and keep their place.
func TestFinishKeepsTheOrder(t *testing.T) {
	m := newTestModel()
	for _, text := range []string{"first", "second"} {
		_ = m.chat.Note(chat.Note{Text: text})
	}
	s := &slowScreen{c: m.chat}
	m.chat.Finish(s)
	_ = m.chat.Note(chat.Note{Text: "fourth"})
	if got := fmt.Sprint(s.shown); got != "[first second third fourth]" {
		t.Errorf("shown were %s", got)
	}
}
