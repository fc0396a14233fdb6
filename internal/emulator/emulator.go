// Package emulator is a terminal without a window: tests drive full-screen programs with it and
// read the screen as text, and it draws the screen as SVG for the README.
//
// A [Terminal] is both ends of a terminal's line. The program writes to it, and reads from it the
// keys that a test presses and the terminal's own answers:
//
//	term := emulator.New(80, 24)
//	defer term.Close()
//	program := tea.NewProgram(model, tea.WithInput(term), tea.WithOutput(term), …)
//	term.Press("h", "i", "enter")
//	term.Text()
//
// Package emulatortest starts a program this way in a bubble of testing/synctest.
//
// # Two kinds of terminals
//
// [New] is a modern terminal (Ghostty, Contour, WezTerm): it knows the modes 2026 (synchronized
// output) and 2027 (a grapheme cluster is one character), and the keyboard protocol of kitty. It
// measures by clusters once the program has set mode 2027, and by code points before.
// [NewLegacy] is like xterm or the Linux console: it knows none of these, and always measures by
// code points.
//
// # Where it can be trusted
//
// The screen itself is that of charmbracelet/x/vt: cursor movement, inserting and deleting lines
// and characters, scroll regions, the alternate screen, colours. Its faults which matter to a
// program on a terminal are corrected here, with a test of each:
//
//   - A wide character that ends at the right edge leaves the wrap pending; one that doesn't fit
//     there begins the next line. x/vt overwrites the first, and loses the second.
//   - A combining mark that comes in a later write belongs to the cell before.
//   - When the screen gets lower, the lines above the cursor leave at the top, so that the
//     cursor's line stays. x/vt cuts off the bottom.
//   - Only what scrolls out at the top of the main screen gets into the scrollback: not deleted
//     lines (CSI M), and nothing from a scroll region below the top. CSI 3 J leaves the screen.
//   - A title may contain semicolons.
//
// These differ from some real terminals, so a test can't judge them:
//
//   - Lines are not wrapped anew when the width changes: they are cut off, as by xterm. tmux, VTE
//     and kitty wrap them, and an inline program leaves traces there.
//   - When the screen gets higher, nothing comes back from the scrollback; in tmux it does.
//   - The main screen is cut off at the bottom when it gets lower while the alternate screen is
//     shown.
//   - Erasing the whole screen (CSI 2 J) first puts its lines into the scrollback, as VTE and tmux
//     do; xterm doesn't.
//   - Bidirectional text isn't turned around: cells are in the order of writing, as in most terminals.
package emulator

import (
	"io"
	"strings"
	"sync"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/parser"
	"github.com/charmbracelet/x/vt"
)

const (
	// maxScrollback is how many lines are kept that have left the screen; the oldest go first.
	maxScrollback = 10_000
	// maxNotices is how many desktop notices are kept; the oldest go first.
	maxNotices = 100
)

// Terminal is safe for concurrent use: a program writes and reads, while a test looks.
type Terminal struct {
	in input // to the program; has a lock of its own

	mu         sync.Mutex // guards what follows
	vt         *vt.Emulator
	scan       *ansi.Parser // sees each byte before vt
	modern     bool
	modes      map[ansi.Mode]bool
	cluster    []rune // printable characters that aren't on the screen yet
	printed    bool   // the byte just scanned completed a character
	edge       bool   // the cursor is behind the last column: the next character wraps
	top        int    // margin of the scroll region
	deletes    bool   // the sequence that is being obeyed deletes lines
	repeat     int    // how often it wants the last character again
	last       string
	lastWidth  int
	scrollback []string
	title      string
	bells      int
	notices    []string
	kitty      [2][]int // keyboard flags pushed on the main and the alternate screen
	pumped     chan struct{}
}

// New makes a modern terminal. It must be closed.
func New(width, height int) *Terminal { return start(width, height, true) }

// NewLegacy makes a terminal that knows neither the modes 2026 and 2027 nor kitty's keyboard.
func NewLegacy(width, height int) *Terminal { return start(width, height, false) }

func start(width, height int, modern bool) *Terminal {
	t := &Terminal{
		vt:     vt.NewEmulator(width, height),
		scan:   ansi.NewParser(),
		modern: modern,
		modes:  map[ansi.Mode]bool{ansi.ModeAutoWrap: true, ansi.ModeTextCursorEnable: true},
		pumped: make(chan struct{}),
	}
	t.in.ready = sync.NewCond(&t.in.mu)
	t.register()
	go t.pump()
	return t
}

// pump takes what vt answers, which writes it into a pipe, so that writing never waits for the
// program to read.
func (t *Terminal) pump() {
	defer close(t.pumped)
	buf := make([]byte, 4096)
	for {
		n, err := t.vt.Read(buf)
		if err != nil {
			return
		}
		t.in.add(buf[:n], maxAnswers)
	}
}

// Close ends the program's input and waits for the terminal's goroutine. The screen can still be
// read.
func (t *Terminal) Close() error {
	t.mu.Lock()
	// vt's own Close races with the reader of its answers.
	err := t.vt.InputPipe().(*io.PipeWriter).Close()
	t.mu.Unlock()
	<-t.pumped
	t.in.close()
	return err
}

// Read gives the program what is typed and what the terminal answers; it waits for more, and ends
// with io.EOF once the terminal is closed.
func (t *Terminal) Read(p []byte) (int, error) { return t.in.read(p) }

// Send types text as it is. Keys have names: see [Terminal.Press].
func (t *Terminal) Send(text string) { t.in.add([]byte(text), 0) }

// Press presses keys by their names, in the encoding that the program has asked for.
func (t *Terminal) Press(keys ...string) {
	for _, key := range keys {
		t.Send(Encode(key, t.encoding()))
	}
}

func (t *Terminal) encoding() Encoding {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.flags()&1 != 0:
		return Kitty
	case t.modes[ansi.ModeCursorKeys]:
		return Application
	}
	return Xterm
}

// Paste inserts text as the terminal's menu does: with brackets around it if the program wants
// them, and with each end of line as the Enter key.
func (t *Terminal) Paste(text string) {
	if t.Mode(ansi.ModeBracketedPaste) {
		t.Send(Paste(text))
		return
	}
	t.Send(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\r"), "\n", "\r"))
}

// Focus tells a program that has asked for it whether its window is in front.
func (t *Terminal) Focus(in bool) {
	if t.Mode(ansi.ModeFocusEvent) {
		t.Send(Focus(in))
	}
}

// Text is the screen, without blanks at the ends of lines and empty lines at the bottom.
func (t *Terminal) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rows []string
	for y := range t.vt.Height() {
		rows = append(rows, t.row(y))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// Row is one line of the screen, counted from 0, without blanks at its end.
func (t *Terminal) Row(y int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.row(y)
}

func (t *Terminal) row(y int) string {
	var line uv.Line
	for x := range t.vt.Width() {
		if c := t.vt.CellAt(x, y); c != nil {
			line = append(line, *c)
		}
	}
	return plain(line)
}

// plain is a line as text: wide characters once, no blanks at its end.
func plain(line uv.Line) string {
	var b strings.Builder
	for x := range line {
		c := &line[x]
		switch {
		case c.Content != "":
			b.WriteString(c.Content)
		case c.Width > 0 || x == 0 || line[x-1].Width < 2:
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Cell is a copy of one cell, for its style. The second cell of a wide character has the width 0.
func (t *Terminal) Cell(x, y int) uv.Cell {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.vt.CellAt(x, y); c != nil {
		return *c
	}
	return uv.EmptyCell
}

// Size is the number of columns and lines.
func (t *Terminal) Size() (width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.vt.Width(), t.vt.Height()
}

// Cursor is the cursor's column and line, both from 0.
func (t *Terminal) Cursor() (x, y int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.vt.CursorPosition()
	return p.X, p.Y
}

// CursorShown says whether the cursor can be seen.
func (t *Terminal) CursorShown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.vt.CursorHidden()
}

// Scrollback are the lines that have left the main screen at the top, the oldest first: at most
// the last 10,000.
func (t *Terminal) Scrollback() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.scrollback...)
}

// AltScreen says whether the alternate screen is shown.
func (t *Terminal) AltScreen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.vt.IsAltScreen()
}

// Title is what the program has set as the title of the window.
func (t *Terminal) Title() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.title
}

// Bells is how often the bell has rung.
func (t *Terminal) Bells() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bells
}

// Notices are the texts of desktop notices (OSC 9, OSC 777), the oldest first: at most the last
// 100. A notice of OSC 777 is its title and its text, with a semicolon between them.
func (t *Terminal) Notices() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.notices...)
}

// Mode says whether a mode is set, like ansi.ModeBracketedPaste or ansi.ModeFocusEvent.
func (t *Terminal) Mode(mode ansi.Mode) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.modes[mode]
}

// KeyboardFlags are those of kitty's keyboard protocol on the screen that is shown; pushed is how
// many the program has pushed on both screens and not popped.
func (t *Terminal) KeyboardFlags() (flags, pushed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flags(), len(t.kitty[0]) + len(t.kitty[1])
}

// Resize changes the size of the window. The program has to be told as well, since
// no signal goes out.
func (t *Terminal) Resize(width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.vt.CursorPosition(); p.Y >= height && !t.vt.IsAltScreen() {
		n := p.Y - height + 1
		t.top = 0
		_, _ = io.WriteString(t.vt, "\x1b[r"+ansi.ScrollUp(n)+ansi.CursorPosition(p.X+1, p.Y-n+1))
		t.scrolled()
	}
	t.vt.Resize(width, height)
	t.top, t.edge = 0, false
}

// maxAnswers is how many bytes of input may wait when the terminal answers: an answer to a program
// that doesn't read is lost. What a test types is never lost.
const maxAnswers = 64 << 10

// input is what the program hasn't read yet.
type input struct {
	mu     sync.Mutex
	ready  *sync.Cond
	buf    []byte
	closed bool
}

// add appends text, unless most bytes are exceeded; 0 means that there's no limit.
func (in *input) add(text []byte, most int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if most == 0 || len(in.buf)+len(text) <= most {
		in.buf = append(in.buf, text...)
		in.ready.Broadcast()
	}
}

func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.ready.Broadcast()
}

func (in *input) read(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.buf) == 0 && !in.closed {
		in.ready.Wait()
	}
	if len(in.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, in.buf)
	in.buf = in.buf[n:]
	return n, nil
}

// Write obeys what a program writes. It never waits for anybody.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, b := range p {
		t.printed = false
		t.scan.Advance(b)
		if !t.printed && t.scan.State() != parser.Utf8State {
			t.flush()
			t.obey(p[i : i+1])
		}
	}
	t.flush()
	return len(p), nil
}
