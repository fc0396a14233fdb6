package emulator

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, width, height int, modern bool) *Terminal {
	t.Helper()
	term := start(width, height, modern)
	t.Cleanup(func() {
		if err := term.Close(); err != nil {
			t.Error(err)
		}
	})
	return term
}

func numbered(n int) string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprint(i))
	}
	return strings.Join(lines, "\r\n")
}

const (
	family = "👩‍👩‍👧‍👦"
	flag   = "🇩🇪"
	accent = "e\u0301"
)

// TestScreen writes and looks at the screen, the cursor and the scrollback.
func TestScreen(t *testing.T) {
	cluster := "\x1b[?2027h"
	for _, c := range []struct {
		name, write, text string
		x, y              int
		back              string
	}{
		{"lines", "one\r\ntwo  ", "one\ntwo", 5, 1, ""},
		{"scroll", numbered(6), "2\n3\n4\n5", 1, 3, "0 1"},
		{"insert line", numbered(4) + "\x1b[2;3H\x1b[Lnew", "0\nnew\n1\n2", 3, 1, ""},
		{"insert lines above a view", "a\r\nb\r\nview\r\n\r\n\r\x1b[2A\x1b[2LX\r\nY", "b\nX\nY\nview", 1, 2, "a"},
		{"delete line at the top", numbered(4) + "\x1b[H\x1b[M", "1\n2\n3", 0, 0, ""},
		{"scroll up", numbered(4) + "\x1b[2S", "2\n3", 1, 3, "0 1"},
		{"scroll region", numbered(4) + "\x1b[2;3r\x1b[3;1H\n\x1b[r", "0\n2\n\n3", 0, 0, ""},
		{"scroll region at the top", numbered(4) + "\x1b[1;2r\x1b[2;1H\n\x1b[r", "1\n\n2\n3", 0, 0, "0"},
		{"reverse index", numbered(4) + "\x1b[H\x1bM", "\n0\n1\n2", 0, 0, ""},
		{"erase", "abc\r\ndef\x1b[1;2H\x1b[J", "a", 1, 0, ""},
		{"erase the scrollback alone", numbered(6) + "\x1b[3J", "2\n3\n4\n5", 1, 3, ""},
		{"insert and delete characters", "abcdef\x1b[1;3H\x1b[2@\x1b[1;6H\x1b[P", "ab  cef", 5, 0, ""},
		{"repeat", "ab\x1b[3b", "abbbb", 5, 0, ""},
		{"repeat wide", "好\x1b[2bx", "好好好x", 7, 0, ""},
		{"wrap", "0123456789ab", "0123456789\nab", 2, 1, ""},
		{"the wrap waits", "0123456789", "0123456789", 9, 0, ""},
		{"the wrap is forgotten", "0123456789\rX", "X123456789", 1, 0, ""},
		{"colours don't forget it", "0123456789\x1b[1mX", "0123456789\nX", 1, 1, ""},
		{"no wrap", "\x1b[?7l0123456789ab", "012345678b", 9, 0, ""},
		{"wide", "你好x", "你好x", 5, 0, ""},
		{"wide ends at the edge", "12345678好x", "12345678好\nx", 1, 1, ""},
		{"wide doesn't fit", "123456789好x", "123456789\n好x", 3, 1, ""},
		{"wide at the lower right", "\x1b[4;9H好x", "\n\n        好\nx", 1, 3, "-"},
		{"half of a wide character overwritten", "你好\x1b[1;2Hx", " x好", 2, 0, ""},
		{"line drawing", "\x1b(0lqk\x1b(B", "┌─┐", 3, 0, ""},
		{"combining", "x" + accent + "y", "x" + accent + "y", 3, 0, ""},
		{"by code points", family + "|" + accent + "x", family + "|" + accent + "\nx", 1, 1, ""},
		{"flag by code points", flag + "x", flag + "x", 3, 0, ""},
		{"by clusters", cluster + family + "|" + flag + "|" + accent, family + "|" + flag + "|" + accent, 7, 0, ""},
		{"cluster at the edge", cluster + "12345678" + family + "x", "12345678" + family + "\nx", 1, 1, ""},
		{"title with semicolons", "\x1b]2;a;b\x07", "", 0, 0, ""},
		{"invalid text", "a\xff\xc3(", "", -1, 0, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			term := open(t, 10, 4, true)
			if _, err := io.WriteString(term, c.write); err != nil {
				t.Fatal(err)
			}
			if c.x < 0 {
				return // enough that it goes on
			}
			if got := term.Text(); got != c.text {
				t.Errorf("the screen is\n%s\nnot\n%s", got, c.text)
			}
			if x, y := term.Cursor(); x != c.x || y != c.y {
				t.Errorf("the cursor is at %d, %d, not %d, %d", x, y, c.x, c.y)
			}
			if got := strings.Join(term.Scrollback(), " "); got != c.back && c.back != "-" {
				t.Errorf("the scrollback is %q, not %q", got, c.back)
			}
		})
	}
}

// TestWritesMayBeCutAnywhere compares writing at once with writing single bytes.
func TestWritesMayBeCutAnywhere(t *testing.T) {
	text := "\x1b[?2027h\x1b[31mrot\x1b[m 你好 e\u0301 ❤\r\n123456789你\x1b]2;ti;tle\x1b\\\x1b[2;2Hx"
	whole, pieces := open(t, 10, 4, true), open(t, 10, 4, true)
	if _, err := io.WriteString(whole, text); err != nil {
		t.Fatal(err)
	}
	for i := range len(text) {
		if _, err := io.WriteString(pieces, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := whole.Text(), pieces.Text(); a != b {
		t.Errorf("at once:\n%s\nin pieces:\n%s", a, b)
	}
	if whole.Title() != "ti;tle" || pieces.Title() != "ti;tle" {
		t.Errorf("titles %q and %q", whole.Title(), pieces.Title())
	}
}

func TestAlternateScreen(t *testing.T) {
	term := open(t, 10, 4, true)
	_, _ = io.WriteString(term, numbered(5)+"\x1b[2;2H\x1b[?1049h")
	if !term.AltScreen() || term.Text() != "" {
		t.Fatalf("alternate screen %v with %q", term.AltScreen(), term.Text())
	}
	_, _ = io.WriteString(term, numbered(9))
	if got := term.Text(); got != "5\n6\n7\n8" {
		t.Errorf("it shows %q", got)
	}
	term.Resize(8, 2)
	_, _ = io.WriteString(term, "\x1b[?1049l")
	if term.AltScreen() {
		t.Error("the alternate screen remains")
	}
	if x, y := term.Cursor(); x != 1 || y != 1 {
		t.Errorf("the cursor is at %d, %d", x, y)
	}
	if got := term.Scrollback(); !slices.Equal(got, []string{"0"}) {
		t.Errorf("scrollback %q", got)
	}
	// A cursor that is below a smaller window comes into it.
	_, _ = io.WriteString(term, "\x1b[2;8H\x1b[?1049h")
	term.Resize(4, 1)
	_, _ = io.WriteString(term, "\x1b[?1049l")
	if x, y := term.Cursor(); x != 3 || y != 0 {
		t.Errorf("the cursor is at %d, %d", x, y)
	}
}

func TestResize(t *testing.T) {
	term := open(t, 10, 4, true)
	_, _ = io.WriteString(term, "0 23456789\r\n1\r\n2\r\n3 prompt")
	term.Resize(5, 2)
	if got := term.Text(); got != "2\n3 pro" {
		t.Errorf("it shows %q", got)
	}
	if got := term.Scrollback(); !slices.Equal(got, []string{"0 23456789", "1"}) {
		t.Errorf("scrollback %q", got)
	}
	if x, y := term.Cursor(); x != 4 || y != 1 {
		t.Errorf("the cursor is at %d, %d", x, y)
	}
	term.Resize(10, 4)
	if got := term.Text(); got != "2\n3 pro" {
		t.Errorf("it shows %q", got)
	}
	if w, h := term.Size(); w != 10 || h != 4 {
		t.Errorf("%d × %d", w, h)
	}
}

func TestScrollbackIsBounded(t *testing.T) {
	term := open(t, 10, 2, true)
	_, _ = io.WriteString(term, numbered(maxScrollback+12))
	back := term.Scrollback()
	if len(back) != maxScrollback || back[0] != "10" {
		t.Errorf("%d lines, the first %q", len(back), back[0])
	}
}

func TestTold(t *testing.T) {
	term := open(t, 10, 4, true)
	_, _ = io.WriteString(term, "\a\x1b]2;room; 3 new\x07\a\x1b]9;alice: hi; all\x1b\\\x1b]9;4;1;50\x07\x1b]777;notify;quicpeer;bob: hi\x07\x1b[?25l\x1b[?2004h")
	if term.Bells() != 2 || term.Title() != "room; 3 new" {
		t.Errorf("%d bells, title %q", term.Bells(), term.Title())
	}
	if got := term.Notices(); !slices.Equal(got, []string{"alice: hi; all", "quicpeer;bob: hi"}) {
		t.Errorf("notices %q", got)
	}
	if term.CursorShown() || !term.Mode(ansi.ModeBracketedPaste) || term.Mode(ansi.ModeFocusEvent) {
		t.Error("wrong modes")
	}
	_, _ = io.WriteString(term, "\x1b[?25h\x1b[?2004l"+strings.Repeat("\x1b]9;x\x07", maxNotices))
	if !term.CursorShown() || term.Mode(ansi.ModeBracketedPaste) || len(term.Notices()) != maxNotices {
		t.Error("wrong modes or notices afterwards")
	}
}

// answers reads what a terminal has to say, up to n bytes.
func answers(t *testing.T, term *Terminal, n int) string {
	t.Helper()
	got := make([]byte, n)
	done := make(chan error, 1)
	go func() { _, err := io.ReadFull(term, got); done <- err }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		_ = term.Close()
		t.Fatalf("no answer but %q", got)
	}
	return string(got)
}

func TestAnswers(t *testing.T) {
	ask := "\x1b[?2026$p\x1b[?2027$p\x1b[?2004$p\x1b[?2027h\x1b[?2027$p\x1b[>1u\x1b[?u\x1b[c\x1b[2;3H\x1b[6n"
	for _, c := range []struct {
		modern bool
		want   string
	}{
		{true, "\x1b[?2026;2$y\x1b[?2027;2$y\x1b[?2004;2$y\x1b[?2027;1$y\x1b[?1u\x1b[?62;1;6;22c\x1b[2;3R"},
		{false, "\x1b[?2026;0$y\x1b[?2027;0$y\x1b[?2004;2$y\x1b[?2027;0$y\x1b[?62;1;6;22c\x1b[2;3R"},
	} {
		term := open(t, 10, 4, c.modern)
		_, _ = io.WriteString(term, ask)
		if got := answers(t, term, len(c.want)); got != c.want {
			t.Errorf("modern %v: answers %q, not %q", c.modern, got, c.want)
		}
	}
}

// TestAnswersNeverBlock has a program ask that reads nothing.
func TestAnswersNeverBlock(t *testing.T) {
	term := New(10, 4)
	for range maxAnswers / 4 {
		_, _ = io.WriteString(term, "\x1b[6n")
	}
	term.Send("typed")
	if err := term.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(term)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > maxAnswers+len("typed") || !strings.HasSuffix(string(got), "typed") {
		t.Errorf("%d bytes wait, at the end %q", len(got), got[len(got)-8:])
	}
}

func TestKeyboardFlags(t *testing.T) {
	term := open(t, 10, 4, true)
	for _, c := range []struct {
		write         string
		flags, pushed int
	}{
		{"\x1b[>1u", 1, 1}, {"\x1b[=2;2u", 3, 1}, {"\x1b[?1049h", 0, 1}, {"\x1b[>5u", 5, 2}, {"\x1b[<9u", 0, 1}, {"\x1b[?1049l", 3, 1}, {"\x1b[<u", 0, 0}, {"\x1b[<u", 0, 0},
	} {
		_, _ = io.WriteString(term, c.write)
		if flags, pushed := term.KeyboardFlags(); flags != c.flags || pushed != c.pushed {
			t.Errorf("after %q: flags %d, %d pushed, not %d, %d", c.write, flags, pushed, c.flags, c.pushed)
		}
	}
	_, _ = io.WriteString(term, strings.Repeat("\x1b[>1u", 2*maxPushed))
	if _, pushed := term.KeyboardFlags(); pushed != maxPushed {
		t.Errorf("%d pushed", pushed)
	}
}
