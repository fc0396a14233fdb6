package tui

import (
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

func TestFullScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(80, 14), func(c *Config) { c.Full = true })
		for _, id := range []string{"bob", "carol"} {
			_ = r.chat.Event(overlay.PeerJoined{ID: overlay.ID(id)}, func() {})
		}
		r.settle()
		r.hear("bob", "*", "hello everyone, this is a text of more than one row, and it goes on and on 你好世界")
		r.hear("carol", "me", "psst")
		r.say("*", "hi bob")
		r.settle()
		t.Log("\n" + frame(r.Text()))
		r.Press("f2")
		r.settle()
		t.Log("\n" + frame(r.Text()))
	})
}

// A window of one row or two has the line that is typed.
func TestTinyWindows(t *testing.T) {
	one(t, func(c *Config) { c.Full = true }, func(r *rig) {
		r.Send("hi")
		for _, height := range []int{2, 1} {
			r.resize(20, height)
			r.settle()
			if !strings.Contains(r.Text(), "me> hi") {
				t.Errorf("the line is missing in %d rows:\n%s", height, frame(r.Text()))
			}
		}
	})
}

// The beginning of a text never ends within a character.
func TestExcerptOfMarks(t *testing.T) {
	for _, s := range []string{"x" + strings.Repeat("\u0301", 100), strings.Repeat("\x80", 300), "xyz" + strings.Repeat("👩", 100)} {
		if e := brief(overlay.Said{Body: s}); utf8.ValidString(s) && strings.Contains(e, `\x`) {
			t.Errorf("the beginning of %q is %q", s, e)
		}
	}
}
