package tui

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

// things that are typed, pasted and said, each of which has spoilt a screen somewhere.
var things = []string{
	"a", "hello ", "你好世界", "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "กำ", "می\u200cخواهم", "नमस्ते", "❤️", "👍🏽", "\t", "x\ny", "/", "@bob ", "#dev ", "me: ",
	strings.Repeat("long", 30), strings.Repeat("宽", 50), "\x1b[2J", "\x1b]0;title\a", "a\rb", "\u202ereversed", "\u200b\u200d", "line\n\n\nline", strings.Repeat("\u0301", 40),
	"مرحبا 12:01 bob: hi", "\x9b31m", "\u2028", strings.Repeat("many\n", 30),
}

var pressed = []string{
	"left", "right", "up", "down", "home", "end", "ctrl+left", "ctrl+right", "backspace", "delete", "ctrl+a", "ctrl+e", "ctrl+k", "ctrl+u", "ctrl+w", "ctrl+y", "ctrl+t",
	"alt+b", "alt+f", "alt+d", "alt+u", "alt+l", "alt+c", "alt+enter", "tab", "shift+tab", "esc", "ctrl+r", "ctrl+p", "ctrl+n", "ctrl+l", "ctrl+_", "enter", "enter", "f2", "f1",
	"pgup", "pgdown", "alt+1", "alt+2", "alt+3", "alt+left", "alt+right", "alt+a", "alt+h", "f3", "ctrl+c", "shift+up", "insert", "f12", "ctrl+g", "alt+x",
}

// random does one thing to a chat.
func (r *rig) random(rnd *rand.Rand) string {
	pick := func() string { return things[rnd.IntN(len(things))] }
	who := certs.ID([]string{"bob", "carol", "dave"}[rnd.IntN(3)])
	where := certs.ID([]string{"*", "*", "#dev", "me"}[rnd.IntN(4)])
	switch n := rnd.IntN(20); {
	case n < 7:
		key := pressed[rnd.IntN(len(pressed))]
		if r.chat.model.prompt.asked == leave {
			key = "esc"
		}
		r.Press(key)
		return key
	case n < 10:
		s := pick()
		r.Send(strings.Map(func(c rune) rune {
			if c < ' ' {
				return -1
			}
			return c
		}, s))
		return fmt.Sprintf("type %q", s)
	case n == 10:
		s := pick() + pick()
		r.Paste(s)
		return fmt.Sprintf("paste %q", s)
	case n == 11:
		r.say(who, pick())
	case n == 12:
		_ = r.chat.Note(chat.Note{Mark: "*", Text: chat.OneLine(pick()), Block: chat.OneLine(pick()) + "\n" + chat.OneLine(pick())})
	case n == 13:
		if rnd.IntN(2) == 0 {
			_ = r.chat.Event(overlay.PeerJoined{ID: who}, func() {})
		} else {
			_ = r.chat.Event(overlay.PeerLeft{ID: who, Reason: overlay.ReasonLost}, func() {})
		}
	default:
		for range 1 + rnd.IntN(3) {
			r.hear(who, where, pick()+pick())
		}
	}
	return "event"
}

// fresh draws what a chat shows on a new terminal: what was printed, and the view.
func (r *rig) fresh(printed []string) *emulator.Terminal {
	width, height := r.Size()
	term := emulator.New(width, height)
	_, _ = fmt.Fprint(term, "\x1b[?2027h")
	view := r.chat.model.View()
	if view.AltScreen {
		_, _ = fmt.Fprint(term, "\x1b[?1049h\x1b[H")
	} else {
		for _, row := range printed {
			_, _ = fmt.Fprint(term, row+"\r\n")
		}
	}
	_, _ = fmt.Fprint(term, strings.ReplaceAll(view.Content, "\n", "\r\n"))
	return term
}

// Whatever is typed and comes in, the screen is what the model says: nothing is left over, nothing is torn.
func TestLongTorture(t *testing.T) {
	steps := 10_000
	if raceDetector {
		steps = 1000
	}
	for _, size := range []Size{{Width: 80, Height: 24}, {Width: 40, Height: 24}, {Width: 200, Height: 50}, {Width: 20, Height: 5}} {
		t.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { torture(t, size, steps/4) })
		})
	}
}

func torture(t *testing.T, size Size, steps int) {
	var printed []string
	defer func() { printAbove = tea.Println }()
	printAbove = func(args ...any) tea.Cmd {
		print := tea.Println(args...)
		return func() tea.Msg {
			printed = append(printed, strings.Split(fmt.Sprint(args...), "\n")...)
			printed = printed[max(0, len(printed)-100):]
			return print()
		}
	}
	r := start(t, emulator.New(size.Width, size.Height), nil)
	r.node.peers = []overlay.Peer{{ID: "bob"}, {ID: "carol"}}
	seed := uint64(size.Width)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var last []string
	for step := range steps {
		did := r.random(rnd)
		if last = append(last, did); len(last) > 12 {
			last = last[1:]
		}
		synctest.Wait()
		switch {
		case did == "event":
			time.Sleep(collect)
		case strings.HasPrefix(did, "type"): // what may be a sequence of keys is waited for
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(80 * time.Millisecond)
		synctest.Wait()
		select {
		case <-r.ended:
			t.Fatalf("step %d: it has ended: %v, after %q", step, r.err, last)
		default:
		}
		fresh := r.fresh(printed)
		want, got := fresh.Text(), r.Text()
		x, y := r.Cursor()
		c := r.chat.model.View().Cursor
		wx, wy := c.X, c.Y
		if !r.AltScreen() { // counted from the last row
			if n := rowsOf(ansi.Strip(r.chat.model.View().Content)); n > 0 {
				wy += rowsOf(got) - n
			} else {
				wy = y // a part of the text that is blank: where it begins can't be seen
			}
			want, got = strings.Join(append(fresh.Scrollback(), want), "\n"), strings.Join(append(r.Scrollback(), got), "\n")
			want, got = tail(want), tail(got)
		}
		_ = fresh.Close()
		if got != want || x != wx || y != wy {
			t.Fatalf("seed %d, step %d, after %q: the cursor is at %d, %d, should be at %d, %d; %s", seed, step, last, x, y, wx, wy, differences(got, want))
		}
	}
}

// rowsOf is how many rows a text has, without blank ones at the end.
func rowsOf(s string) int {
	s = strings.TrimRight(s, "\n ")
	if s == "" {
		return 0
	}
	return strings.Count(s, "\n") + 1
}

// tail is the last rows of a text that are not blank.
func tail(s string) string {
	rows := strings.Split(strings.TrimRight(s, "\n"), "\n")
	rows = slices.DeleteFunc(rows, func(row string) bool { return row == "" })
	return strings.Join(rows[max(0, len(rows)-60):], "\n")
}

// differences are the rows that two screens don't have in common.
func differences(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	from, end := 0, 0
	for from < min(len(g), len(w)) && g[from] == w[from] {
		from++
	}
	for end < min(len(g), len(w))-from && g[len(g)-1-end] == w[len(w)-1-end] {
		end++
	}
	return fmt.Sprintf("of %d rows, those from %d on are\n%sand should be\n%s", len(g), from, frame(strings.Join(g[from:len(g)-end], "\n")), frame(strings.Join(w[from:len(w)-end], "\n")))
}
