package emulatortest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"quicpeer/internal/emulator"
)

// The tests below are of bubbletea itself: they pin the behaviour that a program without a full
// screen has to work around. Where one fails after an update, a workaround may have become
// needless.

func lines(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint("line ", i))
	}
	return list
}

// TestPrintingNoMoreThanFits prints as many lines at once as the screen has above the view, and
// one more: then a line of the view is lost on the screen and gets into the scrollback.
func TestPrintingNoMoreThanFits(t *testing.T) {
	const height, view = 6, 2
	for _, c := range []struct {
		lines  int
		spoilt bool
	}{{height - view, false}, {height - view + 1, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := Start(t, &chat{}, emulator.New(20, height))
			for range 3 {
				p.Tea.Println(strings.Join(lines(c.lines), "\n"))
			}
			p.Settle()
			all := append(p.Scrollback(), strings.Split(p.Text(), "\n")...)
			want := append(slices.Concat(lines(c.lines), lines(c.lines), lines(c.lines)), "-- 20 × 6 --", ">")
			if spoilt := !slices.Equal(all, want); spoilt != c.spoilt {
				t.Errorf("%d lines at once give %q", c.lines, all)
			}
		})
	}
}

// TestPrintingNoFullLines prints lines that are nearly as wide as the screen. Of a line that fills
// it the last character is erased, as the renderer erases to the end of the line while the wrap is
// pending (xterm; tmux forgives it); tabs count as nothing, and what a terminal measures by code
// points is measured by clusters.
func TestPrintingNoFullLines(t *testing.T) {
	for _, c := range []struct {
		line, shown string
	}{
		{strings.Repeat("w", 19), strings.Repeat("w", 19)},
		{strings.Repeat("w", 20), strings.Repeat("w", 19)},
		{strings.Repeat("好", 9), strings.Repeat("好", 9)},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := Start(t, &chat{}, emulator.NewLegacy(20, 6))
			p.Tea.Println(c.line)
			p.Settle()
			wantScreen(t, p, c.shown+"\n-- 20 × 6 --\n>")
		})
	}
	for _, line := range []string{"a\tb\tc\td\te", strings.Repeat("👩‍👩‍👧‍👦", 3)} {
		synctest.Test(t, func(t *testing.T) {
			p := Start(t, &chat{}, emulator.NewLegacy(20, 6))
			p.Tea.Println(line)
			p.Settle()
			if strings.HasSuffix(p.Text(), "-- 20 × 6 --\n>") {
				t.Errorf("%q no longer spoils the view:\n%s", line, p.Text())
			}
		})
	}
}

// TestTheCursorIsMeasuredAsTheTerminalDoes puts text into the prompt: the column of the cursor is
// right for a method of measuring, which a model learns from the report of mode 2027.
func TestTheCursorIsMeasuredAsTheTerminalDoes(t *testing.T) {
	for _, text := range []string{"👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "你好", "กำ", "می\u200cخواهم", "❤️", "👍🏽", "नमस्ते"} {
		for _, c := range []struct {
			method ansi.Method
			start  func(width, height int) *emulator.Terminal
		}{{ansi.GraphemeWidth, emulator.New}, {ansi.WcWidth, emulator.NewLegacy}} {
			synctest.Test(t, func(t *testing.T) {
				p := Start(t, &chat{}, c.start(40, 6))
				p.Paste(text)
				p.Settle()
				p.Press("f2") // draws all anew, so that the row doesn't depend on what was there
				p.Settle()
				if got := p.Row(1); got != "> "+text {
					t.Errorf("the row is %q", got)
				}
				// The terminal's own cursor behind the text.
				_, _ = io.WriteString(p, "\x1b[2;3H"+text)
				if x, _ := p.Cursor(); x != 2+c.method.StringWidth(text) {
					t.Errorf("%q ends at %d on the terminal, at %d by bubbletea", text, x, 2+c.method.StringWidth(text))
				}
			})
		}
	}
}

// TestPrintingWhereItIsLost prints at the wrong moments: before the first frame, on the alternate
// screen, and while it is left.
func TestPrintingWhereItIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := emulator.New(20, 6)
		_, _ = io.WriteString(term, "$ ls\r\nfiles\r\n$ chat\r\n")
		p := Start(t, &early{}, term)
		if all := append(p.Scrollback(), p.Text()); slices.Contains(all, "$ chat") {
			t.Errorf("lines may be printed before the first frame now: %q", all)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := Start(t, &chat{}, emulator.New(20, 6))
		p.Press("f2")
		p.Settle()
		p.Tea.Println("lost")
		p.Settle()
		if p.Row(0) != "lost" {
			t.Errorf("the full screen isn't spoilt: %q", p.Text())
		}
		p.Press("f2")
		p.Settle()
		wantScreen(t, p, "-- 20 × 6 --\n>")
	})
}

// early prints in Init.
type early struct{ chat }

func (e *early) Init() tea.Cmd { return tea.Println("welcome\nto all") }

// record keeps what a program has written last.
type record struct {
	io.Writer
	last string
}

func (r *record) Write(p []byte) (int, error) {
	r.last = string(p)
	return r.Writer.Write(p)
}

// TestQuittingAtOnce quits before the first frame: bubbletea then asks the terminal after it has
// restored it, and the answers go to the shell. A frame later nothing is left.
func TestQuittingAtOnce(t *testing.T) {
	for _, c := range []struct {
		model tea.Model
		left  bool
	}{{&brief{}, true}, {&chat{}, false}} {
		synctest.Test(t, func(t *testing.T) {
			term := emulator.New(20, 6)
			r := &record{Writer: term}
			p := Start(t, c.model, term, tea.WithOutput(r))
			if !c.left {
				p.Press("ctrl+c")
			}
			if _, err := p.End(); err != nil {
				t.Error(err)
			}
			if left := strings.Contains(r.last, ansi.RequestModeSynchronizedOutput); left != c.left {
				t.Errorf("the last that it writes is %q", r.last)
			}
		})
	}
}

// brief quits in Init.
type brief struct{ chat }

func (b *brief) Init() tea.Cmd { return tea.Quit }
