package emulatortest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"

	"quicpeer/internal/emulator"
)

// TestMain fails if a goroutine is left over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chat is a prompt with a status line above it: Enter prints the line above, F2 fills the screen.
type chat struct {
	line   string
	keys   []string
	full   bool
	over   bool // an empty view, not on the full screen, leaves nothing behind
	width  int
	height int
}

func (c *chat) Init() tea.Cmd { return nil }

func (c *chat) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		c.width, c.height = msg.Width, msg.Height
	case tea.PasteMsg:
		c.line += msg.Content
	case tea.KeyPressMsg:
		c.keys = append(c.keys, msg.String())
		switch {
		case msg.String() == "ctrl+c":
			c.over = true
			return c, tea.Quit
		case msg.String() == "f2":
			c.full = !c.full
		case msg.String() == "enter":
			line := c.line
			c.line = ""
			return c, tea.Println(line)
		case msg.Text != "":
			c.line += msg.Text
		}
	}
	return c, nil
}

func (c *chat) View() tea.View {
	if c.over {
		return tea.NewView("")
	}
	v := tea.NewView("-- " + fmt.Sprintf("%d × %d", c.width, c.height) + " --\n> " + c.line)
	v.AltScreen, v.ReportFocus, v.WindowTitle = c.full, true, "chat"
	v.Cursor = tea.NewCursor(2+ansi.StringWidth(c.line), 1)
	return v
}

func wantScreen(t *testing.T, p *Program, want string) {
	t.Helper()
	if got := p.Text(); got != want {
		t.Errorf("the screen is\n%s\nnot\n%s", got, want)
	}
}

func TestProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Start(t, &chat{}, emulator.New(20, 6))
		wantScreen(t, p, "-- 20 × 6 --\n>")
		p.Type("hello 你好")
		p.Settle()
		wantScreen(t, p, "-- 20 × 6 --\n> hello 你好")
		if x, y := p.Cursor(); x != 12 || y != 1 {
			t.Errorf("the cursor is at %d, %d", x, y)
		}
		if !p.Mode(ansi.ModeBracketedPaste) || !p.Mode(ansi.ModeFocusEvent) || !p.Mode(ansi.ModeUnicodeCore) || p.Title() != "chat" {
			t.Error("modes or title are not set")
		}
		p.Press("enter")
		p.Settle()
		wantScreen(t, p, "hello 你好\n-- 20 × 6 --\n>")
		for i := range 8 {
			p.Type(fmt.Sprint("line ", i, "\r"))
			p.Settle()
		}
		wantScreen(t, p, "line 4\nline 5\nline 6\nline 7\n-- 20 × 6 --\n>")
		if got := p.Scrollback(); !slices.Equal(got, []string{"hello 你好", "line 0", "line 1", "line 2", "line 3"}) {
			t.Errorf("the scrollback is %q", got)
		}

		p.Press("f2")
		p.Paste("pasted")
		p.Settle()
		if !p.AltScreen() {
			t.Error("the screen isn't full")
		}
		wantScreen(t, p, "-- 20 × 6 --\n> pasted")
		p.Resize(30, 8)
		p.Settle()
		wantScreen(t, p, "-- 30 × 8 --\n> pasted")
		p.Press("f2")
		p.Settle()
		wantScreen(t, p, "line 4\nline 5\nline 6\nline 7\n-- 30 × 8 --\n> pasted")

		p.Press("f2")
		p.Settle()
		p.Press("ctrl+c")
		if _, err := p.End(); err != nil {
			t.Error(err)
		}
		wantScreen(t, p, "line 4\nline 5\nline 6\nline 7")
		if x, y := p.Cursor(); x != 0 || y != 4 {
			t.Errorf("the cursor is at %d, %d", x, y)
		}
		if p.Mode(ansi.ModeBracketedPaste) || p.Mode(ansi.ModeFocusEvent) || p.Mode(ansi.ModeUnicodeCore) || p.Title() != "" || !p.CursorShown() {
			t.Error("modes or title are left set")
		}
		if _, pushed := p.KeyboardFlags(); pushed != 0 {
			t.Errorf("%d keyboard flags are left", pushed)
		}
	})
}

// TestAProgramIsEndedWithItsTest would hang, or leave goroutines, if it weren't.
func TestAProgramIsEndedWithItsTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Start(t, &chat{}, emulator.NewLegacy(20, 6))
		p.Type("x")
		if p.Ended() {
			t.Error("it has ended by itself")
		}
	})
}

// misread are keys that bubbletea takes for others.
var misread = map[string]string{
	"linux console f1": "A", "linux console f2": "B", "linux console f3": "C", "linux console f4": "D", "linux console f5": "E",
	"old xterm backspace":                      "ctrl+h",
	"macOS Terminal, Option as Meta alt+left":  "alt+b",
	"macOS Terminal, Option as Meta alt+right": "alt+f",
}

// TestKeys presses all keys of all terminals.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &chat{}
		p := Start(t, model, emulator.New(20, 6))
		for _, v := range emulator.Variants {
			if v.Key == "ctrl+c" {
				continue
			}
			model.keys = nil
			p.Send(v.Sequence)
			p.Settle()
			want, odd := misread[v.Terminal+" "+v.Key]
			if !odd {
				want = v.Key
			}
			if got := strings.Join(model.keys, " "); got != want && got != strings.ToLower(want) {
				t.Errorf("%s, %s: %q is read as %s", v.Terminal, v.Key, v.Sequence, got)
			}
		}
	})
}
