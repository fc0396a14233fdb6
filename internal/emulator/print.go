package emulator

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/parser"
	"github.com/charmbracelet/x/vt"
)

// maxPushed is how many keyboard flags are kept for each screen; the oldest go first.
const maxPushed = 16

// register takes part in what vt does with sequences.
func (t *Terminal) register() {
	t.scan.SetParamsSize(parser.MaxParamsSize)
	t.scan.SetHandler(ansi.Handler{
		Print:     t.printable,
		Execute:   t.control,
		HandleCsi: t.sequence,
		HandleEsc: t.escape,
	})
	t.vt.SetCallbacks(vt.Callbacks{
		Bell:        func() { t.bells++ },
		EnableMode:  func(m ansi.Mode) { t.modes[m] = true },
		DisableMode: func(m ansi.Mode) { t.modes[m] = false },
	})
	for _, cmd := range []int{0, 2} {
		t.vt.RegisterOscHandler(cmd, func(data []byte) bool {
			_, title, _ := bytes.Cut(data, []byte{';'})
			t.title = string(title)
			return true
		})
	}
	t.vt.RegisterOscHandler(9, func(data []byte) bool {
		// 9;4 is the progress bar of a window.
		if text := string(data[len("9"):]); !strings.HasPrefix(text, ";4;") {
			t.notice(strings.TrimPrefix(text, ";"))
		}
		return true
	})
	t.vt.RegisterOscHandler(777, func(data []byte) bool {
		if text, ok := strings.CutPrefix(string(data), "777;notify;"); ok {
			t.notice(text)
		}
		return true
	})
	t.vt.RegisterCsiHandler('b', func(ansi.Params) bool { return true }) // see sequence
	t.vt.RegisterCsiHandler('J', func(params ansi.Params) bool {
		n, _, _ := params.Param(0, 0)
		if n == 3 {
			t.scrollback = nil
		}
		return n == 3
	})
	t.vt.RegisterCsiHandler(ansi.Command('?', '$', 'p'), func(params ansi.Params) bool {
		n, _, _ := params.Param(0, 0)
		mode := ansi.DECMode(n)
		if mode != ansi.ModeSynchronizedOutput && mode != ansi.ModeUnicodeCore {
			return false
		}
		setting := ansi.ModeNotRecognized
		if t.modern {
			setting = ansi.ModeReset
			if t.modes[mode] {
				setting = ansi.ModeSet
			}
		}
		t.answer(ansi.ReportMode(mode, setting))
		return true
	})
	if t.modern {
		t.registerKeyboard()
	}
}

// registerKeyboard is kitty's keyboard protocol, as far as its flags go.
func (t *Terminal) registerKeyboard() {
	t.vt.RegisterCsiHandler(ansi.Command('?', 0, 'u'), func(ansi.Params) bool {
		t.answer(fmt.Sprintf("\x1b[?%du", t.flags()))
		return true
	})
	t.vt.RegisterCsiHandler(ansi.Command('>', 0, 'u'), func(params ansi.Params) bool {
		flags, _, _ := params.Param(0, 0)
		s := t.screen()
		*s = append(*s, flags)
		*s = (*s)[max(0, len(*s)-maxPushed):]
		return true
	})
	t.vt.RegisterCsiHandler(ansi.Command('<', 0, 'u'), func(params ansi.Params) bool {
		n, _, _ := params.Param(0, 1)
		s := t.screen()
		*s = (*s)[:max(0, len(*s)-n)]
		return true
	})
	t.vt.RegisterCsiHandler(ansi.Command('=', 0, 'u'), func(params ansi.Params) bool {
		flags, _, _ := params.Param(0, 0)
		how, _, _ := params.Param(1, 1)
		s := t.screen()
		if len(*s) == 0 {
			*s = []int{0}
		}
		last := &(*s)[len(*s)-1]
		switch how {
		case 1:
			*last = flags
		case 2:
			*last |= flags
		case 3:
			*last &^= flags
		}
		return true
	})
}

// screen is the stack of keyboard flags of the screen that is shown.
func (t *Terminal) screen() *[]int {
	if t.vt.IsAltScreen() {
		return &t.kitty[1]
	}
	return &t.kitty[0]
}

func (t *Terminal) flags() int {
	s := *t.screen()
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// answer goes the way of vt's own answers, so that their order is that of the questions.
func (t *Terminal) answer(text string) { _, _ = io.WriteString(t.vt.InputPipe(), text) }

func (t *Terminal) notice(text string) {
	t.notices = append(t.notices, text)
	t.notices = t.notices[max(0, len(t.notices)-maxNotices):]
}

// printable, control, escape and sequence see what comes before vt does.

func (t *Terminal) printable(r rune) {
	t.cluster = append(t.cluster, r)
	t.printed = true
	if len(t.cluster) == maxCluster {
		t.flush()
	}
}

func (t *Terminal) control(b byte) {
	t.flush()
	switch b {
	case ansi.NUL, ansi.BEL, ansi.HT, ansi.SO, ansi.SI:
	default:
		t.edge = false
	}
}

func (t *Terminal) escape(cmd ansi.Cmd) {
	t.flush()
	// A backslash ends a string; the others set modes or save the cursor.
	t.edge = t.edge && strings.ContainsRune(`\=>7`, rune(cmd.Final()))
	if cmd.Final() == 'c' {
		t.top, t.kitty, t.last = 0, [2][]int{}, ""
	}
}

func (t *Terminal) sequence(cmd ansi.Cmd, params ansi.Params) {
	t.flush()
	plain := cmd.Prefix() == 0 && cmd.Intermediate() == 0
	n, _, _ := params.Param(0, 1)
	switch cmd.Final() {
	case 'm', 'h', 'l', 'n', 'c', 'p', 'q', 't', 'u':
		return // leave the cursor
	case 'M':
		t.deletes = plain
	case 'r':
		if plain {
			t.top = max(n, 1) - 1
		}
	case 'b':
		if plain {
			t.repeat = min(max(n, 1), t.vt.Width()*t.vt.Height())
			return
		}
	}
	t.edge = false
}

// obey gives vt a byte of a control sequence, and sees to what vt leaves undone.
func (t *Terminal) obey(b []byte) {
	alt := t.vt.IsAltScreen()
	_, _ = t.vt.Write(b)
	t.scrolled()
	t.deletes = false
	for ; t.repeat > 0; t.repeat-- {
		t.put(t.last, t.lastWidth)
	}
	if p := t.vt.CursorPosition(); alt && !t.vt.IsAltScreen() && (p.X >= t.vt.Width() || p.Y >= t.vt.Height()) {
		// The window has got smaller meanwhile.
		_, _ = io.WriteString(t.vt, ansi.CursorPosition(p.X+1, p.Y+1))
	}
}

// scrolled takes over the lines that vt has put aside.
func (t *Terminal) scrolled() {
	if t.vt.ScrollbackLen() == 0 {
		return
	}
	if t.top == 0 && !t.deletes {
		for _, line := range t.vt.Scrollback().Lines() {
			t.scrollback = append(t.scrollback, plain(line))
		}
		t.scrollback = t.scrollback[max(0, len(t.scrollback)-maxScrollback):]
	}
	t.vt.ClearScrollback()
}

// maxCluster is how many code points are held back until their cluster is complete.
const maxCluster = 256

// flush puts the characters on the screen that were held back.
func (t *Terminal) flush() {
	if len(t.cluster) == 0 {
		return
	}
	runes := t.cluster
	t.cluster = t.cluster[:0]
	if !t.modern || !t.modes[ansi.ModeUnicodeCore] {
		for _, r := range runes {
			t.put(string(r), ansi.WcWidth.StringWidth(string(r)))
		}
		return
	}
	for rest := string(runes); rest != ""; {
		cluster, width := ansi.FirstGraphemeCluster(rest, ansi.GraphemeWidth)
		if cluster == "" {
			return
		}
		t.put(cluster, width)
		rest = rest[len(cluster):]
	}
}

// put writes one character of the given width at the cursor.
func (t *Terminal) put(text string, width int) {
	at := t.vt.CursorPosition()
	if width == 0 {
		t.combine(text, at.X, at.Y)
		return
	}
	if text == "" {
		return
	}
	if t.modes[ansi.ModeAutoWrap] && (t.edge || at.X+width > t.vt.Width()) && width <= t.vt.Width() {
		_, _ = io.WriteString(t.vt, "\r\x1bD")
		t.scrolled()
		at = t.vt.CursorPosition()
	}
	// vt measures by clusters. A stand-in gets the cells for text that is measured otherwise here.
	as := text
	if ansi.GraphemeWidth.StringWidth(text) != width {
		as = []string{"x", "世"}[width-1]
	}
	_, _ = io.WriteString(t.vt, as)
	if cell := t.vt.CellAt(at.X, at.Y); as != text && cell != nil {
		cell.Content = text
	}
	t.edge = at.X+width >= t.vt.Width()
	t.last, t.lastWidth = text, width
}

// combine adds a mark to the character before the cursor.
func (t *Terminal) combine(mark string, x, y int) {
	if !t.edge {
		x--
	}
	for x > 0 && t.vt.CellAt(x, y).Content == "" {
		x--
	}
	if x < 0 {
		return
	}
	if cell := t.vt.CellAt(x, y); len(cell.Content) < maxCluster {
		cell.Content += mark
	}
}
