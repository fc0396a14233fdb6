package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"quicpeer/internal/chat/edit"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

// sizes are those that people have: a usual one, a phone's, a large screen's.
var sizes = []Size{{Width: 80, Height: 24}, {Width: 40, Height: 24}, {Width: 200, Height: 50}}

// each runs a test in each size.
func each(t *testing.T, change func(*Config), test func(*rig)) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(start(t, emulator.New(size.Width, size.Height), change)) })
		})
	}
}

// one runs a test in 80 columns and 24 rows.
func one(t *testing.T, change func(*Config), test func(*rig)) {
	synctest.Test(t, func(t *testing.T) { test(start(t, emulator.New(80, 24), change)) })
}

const cursor = "▏"

// screen is the text of the screen, with a sign where the cursor is.
func (r *rig) screen() string {
	x, y := r.Cursor()
	rows := strings.Split(r.Text(), "\n")
	for len(rows) <= y {
		rows = append(rows, "")
	}
	var before strings.Builder
	for i := 0; i < x; i++ {
		c := r.Cell(i, y)
		before.WriteString(c.Content)
		if c.Content == "" {
			before.WriteString(" ")
		}
		i += max(0, c.Width-1)
	}
	after, ok := strings.CutPrefix(rows[y], before.String())
	if !ok {
		after = ""
	}
	rows[y] = before.String() + cursor + after
	return strings.Trim(strings.Join(rows, "\n"), "\n")
}

// shows compares the screen, with its cursor, after keys were pressed.
func (r *rig) shows(want string) {
	r.t.Helper()
	r.settle()
	if got, want := r.screen(), strings.Trim(want, "\n"); got != want {
		r.t.Errorf("the screen is\n%s\nwant\n%s", frame(got), frame(want))
	}
}

// line is what is typed, with the cursor, in model and screen.
func (r *rig) line() string {
	r.settle()
	text := &r.chat.model.prompt.text
	return text.Before() + "|" + strings.TrimPrefix(text.String(), text.Before())
}

func (r *rig) entered(want ...string) {
	r.t.Helper()
	r.settle()
	if got := r.typed(); !slices.Equal(got, want) {
		r.t.Errorf("%q was entered, not %q", got, want)
	}
}

// What the keys do to "one t|wo", with "before" typed before, however a terminal writes them. A row is the line and
// its cursor afterwards, and what was entered.
func TestKeysOfAllTerminals(t *testing.T) {
	const same = "one t|wo"
	wants := map[string]string{
		"up": "before|", "down": same, "right": "one tw|o", "left": "one |two", "home": "|one two", "end": "one two|",
		"f1": same + " /help", "f2": same, "f3": same, "f4": same, "f5": same, "ctrl+left": "one |two", "ctrl+right": "one two|", "ctrl+up": same, "ctrl+down": same,
		"shift+left": same, "shift+right": same, "shift+up": same, "shift+down": same, "ctrl+delete": "one t|", "ctrl+home": "|one two", "ctrl+end": "one two|",
		"backspace": "one |wo", "ctrl+a": "|one two", "ctrl+c": "|", "ctrl+d": "one t|o", "ctrl+w": "one |wo", "alt+b": "one |two", "alt+f": "one two|",
		"alt+enter": "one t\n|wo", "shift+enter": "one t\n|wo", "ctrl+enter": "one t\n|wo", "ctrl+space": same, "alt+backspace": "one |wo",
		"esc": same, "ctrl+[": same, "ctrl+i": "one tim |wo", "shift+tab": same, "ctrl+m": "| one two",
	}
	macOS := map[string]string{"alt+left": "one |two", "alt+right": "one two|"} // which are Alt-B and Alt-F
	for key := range wants {
		if !slices.ContainsFunc(emulator.Variants, func(v emulator.Variant) bool { return v.Key == key }) {
			t.Errorf("no terminal has a variant of %s", key)
		}
	}
	others := []emulator.Variant{
		{Key: "delete", Terminal: "all", Sequence: "\x1b[3~"}, {Key: "insert", Terminal: "all", Sequence: "\x1b[2~"}, {Key: "f12", Terminal: "all", Sequence: "\x1b[24~"},
		{Key: "ctrl+a", Terminal: "kitty, with Num Lock", Sequence: "\x1b[97;133u"}, {Key: "shift+space", Terminal: "kitty", Sequence: "\x1b[32;2u"}, {Key: "super+a", Terminal: "kitty", Sequence: "\x1b[97;9u"},
		{Key: "keypad enter", Terminal: "kitty", Sequence: "\x1b[57414u"}, {Key: "keypad enter", Terminal: "xterm", Sequence: "\x1bOM"}, {Key: "keypad left", Terminal: "kitty", Sequence: "\x1b[57417u"},
		{Key: "shift+backspace", Terminal: "kitty", Sequence: "\x1b[127;2u"}, {Key: "alt+b shifted", Terminal: "xterm", Sequence: "\x1bB"}, {Key: "alt+space", Terminal: "xterm", Sequence: "\x1b "},
		{Key: "alt+left of rxvt", Terminal: "rxvt", Sequence: "\x1b\x1b[D"}, {Key: "ctrl+backspace", Terminal: "kitty", Sequence: "\x1b[127;5u"}, {Key: "ctrl+alt+h", Terminal: "xterm", Sequence: "\x1b\b"},
		{Key: "alt+enter", Terminal: "xterm", Sequence: "\x1b\r"}, {Key: "backspace", Terminal: "xterm", Sequence: "\x7f"}, {Key: "alt+backspace", Terminal: "xterm", Sequence: "\x1b\x7f"},
		{Key: "unknown", Terminal: "none", Sequence: "\x1b[99;99;99Z"}, {Key: "unknown", Terminal: "none", Sequence: "\x1b]0;title\a"},
	}
	for key, want := range map[string]string{
		"delete": "one t|o", "insert": same, "f12": same, "shift+space": "one t |wo", "super+a": same, "keypad enter": "| one two", "keypad left": "one |two", "shift+backspace": "one |wo",
		"alt+b shifted": same, "alt+space": same, "alt+left of rxvt": same, "ctrl+backspace": "one |wo", "ctrl+alt+h": "one |wo", "unknown": same,
	} {
		wants[key] = want
	}
	for _, v := range append(slices.Clone(emulator.Variants), others...) {
		t.Run(v.Terminal+"/"+v.Key, func(t *testing.T) {
			one(t, nil, func(r *rig) {
				_ = r.chat.Event(overlay.PeerJoined{ID: "tim"}, func() {})
				r.node.peers = []overlay.Peer{{ID: "tim"}}
				r.Send("before\rone two")
				r.Press("left", "left")
				r.settle()
				r.typed()
				r.Send(v.Sequence)
				got := r.line()
				for _, line := range r.typed() {
					got += " " + line
				}
				want := wants[v.Key]
				if strings.HasPrefix(v.Terminal, "macOS") {
					want = macOS[v.Key]
				}
				if got != want {
					t.Errorf("%q: %q, not %q", v.Sequence, got, want)
				}
				if full := v.Key == "f2"; r.AltScreen() != full {
					t.Errorf("%q: full screen is %v", v.Sequence, r.AltScreen())
				}
			})
		})
	}
}

// The cursor is where the next character goes, whatever stands before it, and Ctrl-U leaves nothing.
func TestWideCharacters(t *testing.T) {
	for _, text := range []string{"你好世界abc", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "e\u0301tude", "กำลัง", "می\u200cخواهم", "مرحبا", "❤️", "नमस्ते", "👍🏽", "한국어"} {
		for name, terminal := range map[string]func(int, int) *emulator.Terminal{"modern": emulator.New, "legacy": emulator.NewLegacy} {
			t.Run(name+"/"+text, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := start(t, terminal(40, 24), nil)
					r.Send(text)
					r.shows("00:00 * nobody else is here yet\nme> " + text + cursor)
					r.Press("left")
					r.settle()
					clusters := edit.Clusters(text)
					last := clusters[len(clusters)-1]
					r.shows("00:00 * nobody else is here yet\nme> " + strings.TrimSuffix(text, last) + cursor + last)
					r.Press("delete")
					r.shows("00:00 * nobody else is here yet\nme> " + strings.TrimSuffix(text, last) + cursor)
					r.Press("ctrl+y", "ctrl+u")
					r.shows("00:00 * nobody else is here yet\nme> " + cursor)
					r.Press("ctrl+y")
					r.shows("00:00 * nobody else is here yet\nme> " + strings.TrimSuffix(text, last) + cursor)
				})
			})
		}
	}
}

// A paste is one message, which can be changed before it is sent. Nothing of it is obeyed.
func TestPaste(t *testing.T) {
	each(t, nil, func(r *rig) {
		r.Paste("/quit\r\nsecond\n")
		r.shows(`
00:00 * nobody else is here yet
me> /quit
    second▏
` + r.fits("2 lines, one message; Enter sends it to everyone, Ctrl-C drops it"))
		r.entered()
		r.Press("ctrl+home")
		r.Send("see ")
		r.Press("end", "alt+enter")
		r.Send("x")
		r.shows(`
00:00 * nobody else is here yet
me> see /quit
    x▏
    second`)
		r.Press("enter")
		r.shows("00:00 * nobody else is here yet\nme> " + cursor)
		r.entered("see /quit\nx\nsecond")
		r.Paste("/quit\r") // as xterm has it
		r.shows("00:00 * nobody else is here yet\nme> /quit" + cursor)
		r.entered()
		r.Press("ctrl+c")
		r.shows("00:00 * nobody else is here yet\nme> " + cursor)
	})
}

// A text of many lines is sent after a question; any other key goes on editing.
func TestPasteOfManyLines(t *testing.T) {
	each(t, nil, func(r *rig) {
		text := strings.TrimSuffix(strings.Repeat("line\n", askAbove), "\n")
		r.Paste(text)
		r.Press("enter")
		r.entered(text)
		text += "\nline"
		r.Paste(text)
		r.Press("enter")
		r.entered()
		if want := r.fits("21 lines as one message to everyone? Enter: yes; any other key goes on editing"); !strings.HasSuffix(r.screen(), "\n"+want) {
			t.Errorf("the question is missing below:\n%s", frame(r.screen()))
		}
		for _, key := range []string{"left", "esc", "right"} {
			r.Press(key, "enter")
			r.entered()
		}
		r.Paste("x")
		r.Press("enter")
		r.entered()
		r.Press("enter")
		r.entered(text + "x")
		r.shows("00:00 * nobody else is here yet\nme> " + cursor)
		r.Paste(text)
		r.Press("enter", "ctrl+c")
		r.shows("00:00 * nobody else is here yet\nme> " + cursor)
		r.Paste(text)
		r.Press("enter", "ctrl+u")
		r.Press("ctrl+c")
		r.Paste("/quit")
		r.shows("00:00 * nobody else is here yet\nme> /quit" + cursor)
		r.entered()
	})
}

// A question stands as long as it can be read: later, the key asks again.
func TestQuestionsEnd(t *testing.T) {
	one(t, nil, func(r *rig) {
		r.Press("ctrl+c")
		r.shows("00:00 * nobody else is here yet\nme> ▏\nCtrl-C again leaves, as Ctrl-D does")
		time.Sleep(10 * time.Second)
		r.shows("00:00 * nobody else is here yet\nme> ▏")
		r.Press("ctrl+c")
		r.settle()
		if r.over() {
			t.Fatal("Ctrl-C leaves, long after the first one")
		}
		r.Send("x")
		r.settle()
		r.Press("backspace", "ctrl+c")
		r.settle()
		if r.over() {
			t.Fatal("Ctrl-C leaves, after something was typed")
		}
		r.Press("ctrl+c")
		r.settle()
		if !r.over() {
			t.Error("a second Ctrl-C does not leave")
		}
	})
}

func (r *rig) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func TestLeaving(t *testing.T) {
	for _, c := range []struct {
		keys string
		over bool
	}{{"ctrl+c", false}, {"ctrl+d", true}, {"x ctrl+d", false}, {"x ctrl+c ctrl+c", false}, {"x ctrl+c ctrl+c ctrl+c", true}, {"ctrl+c esc ctrl+c", false}, {"ctrl+c enter ctrl+d", true}, {"ctrl+r ctrl+c ctrl+c", false}} {
		one(t, nil, func(r *rig) {
			r.Press(strings.Fields(c.keys)...)
			r.settle()
			if r.over() != c.over {
				t.Errorf("%s: it has ended: %v", c.keys, r.over())
			}
			if c.over && (r.err != nil || !r.CursorShown()) {
				t.Errorf("%s: %v; the cursor is shown: %v", c.keys, r.err, r.CursorShown())
			}
		})
	}
}

// Keys that are not for a line type nothing.
func TestOtherKeysTypeNothing(t *testing.T) {
	for _, terminal := range []func(int, int) *emulator.Terminal{emulator.New, emulator.NewLegacy} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, terminal(80, 24), nil)
			for _, key := range []string{"esc", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "insert", "pgup", "pgdown", "shift+up", "ctrl+space", "ctrl+q", "ctrl+s", "ctrl+o", "ctrl+x", "ctrl+v", "ctrl+g", "alt+x", "alt+z", "alt+9", "shift+tab", "ctrl+up", "ctrl+]"} {
				r.Press(key)
				r.shows("00:00 * nobody else is here yet\nme> " + cursor)
			}
			r.Press("esc")
			r.settle()
			r.Send("q")
			r.shows("00:00 * nobody else is here yet\nme> q" + cursor)
			r.entered()
		})
	}
}

// A long line is broken in rows, in which Up and Down move, and broken anew when the window gets another size.
func TestLongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(40, 12), nil)
		r.Send("The quick brown fox jumps over the lazy dog 你好世界你好世界")
		r.shows(`
00:00 * nobody else is here yet
me> The quick brown fox jumps over the
    lazy dog 你好世界你好世界▏`)
		r.Press("up")
		r.shows(`
00:00 * nobody else is here yet
me> The quick brown fox jumps▏ over the
    lazy dog 你好世界你好世界`)
		r.Press("home", "down")
		r.shows(`
00:00 * nobody else is here yet
me> The quick brown fox jumps over the
    ▏lazy dog 你好世界你好世界`)
		r.Press("end")
		r.resize(80, 12)
		r.shows(`
00:00 * nobody else is here yet
me> The quick brown fox jumps over the lazy dog 你好世界你好世界▏`)
		r.resize(20, 12)
		r.shows(`
00:00 * nobody else
me> The quick brown
     fox jumps over
     the lazy dog
    你好世界你好世
    界▏`)
		r.entered()
	})
}

// Inputs are kept in a file, which only this user can read, without tickets.
func TestInputsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	ticket := "qp1" + strings.Repeat("abcdefg7", 10)
	kept := func(c *Config) {
		inputs, err := edit.OpenInputs(path)
		if err != nil {
			t.Fatal(err)
		}
		c.Inputs = inputs
	}
	one(t, kept, func(r *rig) {
		for _, line := range []string{"first", "/peers", "here it is: " + ticket, "你好"} {
			r.Send(line)
			r.Press("enter")
			r.settle()
		}
		r.Paste("two\nlines")
		r.Press("enter")
		r.settle()
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "qp1") {
		t.Errorf("a ticket is in it: %s", b)
	}
	one(t, kept, func(r *rig) {
		r.Send("draft")
		for _, c := range []struct{ key, want string }{
			{"up", "two\nlines|"}, {"up", "two|\nlines"}, {"up", "你好|"}, {"ctrl+p", "/peers|"}, {"up", "first|"}, {"up", "first|"}, {"down", "/peers|"}, {"ctrl+n", "你好|"},
			{"down", "two\nlines|"}, {"down", "draft|"}, {"down", "draft|"},
		} {
			r.Press(c.key)
			if got := r.line(); got != c.want {
				t.Errorf("%s: %q, not %q", c.key, got, c.want)
			}
		}
	})
}

func TestSearchInputs(t *testing.T) {
	each(t, func(c *Config) {
		for _, line := range []string{"hello 你好", "help me", "other", "hello again"} {
			c.Inputs.Add(line)
		}
	}, func(r *rig) {
		r.Send("draft")
		r.Press("ctrl+r")
		r.shows("00:00 * nobody else is here yet\nsearch \"\": ▏\n" + r.fits("Ctrl-R: older, Enter: take it, Esc: go back"))
		r.Send("hel")
		r.Press("ctrl+r")
		r.shows("00:00 * nobody else is here yet\nsearch \"hel\": help me▏\n" + r.fits("Ctrl-R: older, Enter: take it, Esc: go back"))
		r.Press("ctrl+r")
		r.shows("00:00 * nobody else is here yet\nsearch \"hel\": hello 你好▏\n" + r.fits("Ctrl-R: older, Enter: take it, Esc: go back"))
		r.Send("👩‍👦")
		r.shows("00:00 * nobody else is here yet\nsearch \"hel👩‍👦\": ▏\n" + r.fits("Ctrl-R: older, Enter: take it, Esc: go back"))
		r.Press("esc")
		r.shows("00:00 * nobody else is here yet\nme> draft▏")
		r.Press("ctrl+r")
		r.Send("oth")
		r.Press("enter")
		r.shows("00:00 * nobody else is here yet\nme> other▏")
		r.entered()
		r.Press("enter")
		r.entered("other")
	})
}

// The terminal of Linux has four columns for a family of two.
func TestSearchForWideCharacters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.NewLegacy(60, 24), func(c *Config) { c.Inputs.Add("family 👩‍👦 of two") })
		r.Press("ctrl+r")
		r.Paste("👩‍👦")
		r.shows("00:00 * nobody else is here yet\nsearch \"👩‍👦\": family 👩‍👦 of two▏\nCtrl-R: older, Enter: take it, Esc: go back")
		if x, _ := r.Cursor(); x != len(`search "0123": family 0123 of two`) {
			t.Errorf("the cursor is at %d", x)
		}
	})
}

// fits is a hint below the line, in as many rows as it takes.
func (r *rig) fits(s string) string { return ansi.Wrap(s, r.chat.model.size.Width-1, "") }

func TestTab(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"report.pdf", "résumé.txt"} {
		if err := os.WriteFile(filepath.Join(home, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one(t, func(c *Config) { c.Home = home }, func(r *rig) {
		r.node.peers = []overlay.Peer{{ID: "bob"}, {ID: "bobby", Rooms: []string{"#dev"}}, {ID: "boris"}}
		r.hear("boris", "*", "hi")
		r.settle()
		r.Send("bo")
		r.Press("tab")
		r.shows(`
00:00 * nobody else is here yet
00:00 boris: hi
me> bo▏
boris bob bobby`)
		r.Press("tab")
		r.shows(`
00:00 * nobody else is here yet
00:00 boris: hi
me> boris: ▏
[boris] bob bobby`)
		r.Press("tab", "tab", "tab", "shift+tab")
		r.shows(`
00:00 * nobody else is here yet
00:00 boris: hi
me> bobby: ▏
[bobby]`)
		r.Press("esc")
		r.shows(`
00:00 * nobody else is here yet
00:00 boris: hi
me> bo▏`)
		for typed, want := range map[string]string{"/qui": "/quit |", "@bor": "@boris |", "/join #d": "/join #dev |", "x ~/rep": "x ~/report.pdf |", "x ~/ré": "x ~/résumé.txt |", "zzz": "zzz|", "hi bor": "hi boris |"} {
			r.Press("ctrl+u")
			r.Send(typed)
			r.Press("tab")
			if got := r.line(); got != want {
				t.Errorf("%q: %q, not %q", typed, got, want)
			}
		}
		r.entered()
	})
}

// Up on an empty line changes the last message.
func TestUpEditsTheLastMessage(t *testing.T) {
	one(t, nil, func(r *rig) {
		r.Press("up")
		r.shows("00:00 * nobody else is here yet\nme> ▏")
		r.Send("hello wrold")
		r.Press("enter")
		r.entered("hello wrold")
		r.say("*", "hello wrold")
		r.settle()
		r.Press("up")
		r.shows("00:00 * nobody else is here yet\n00:00 me: hello wrold\nme (edit)> hello wrold▏")
		r.Press("backspace", "backspace", "backspace", "backspace", "left", "delete")
		r.Send("world")
		r.Press("enter")
		r.entered("/edit hello world")
		r.shows("00:00 * nobody else is here yet\n00:00 me: hello wrold\nme> ▏")

		// Lines from before are not the message, whatever way they come.
		r.Press("up", "up", "up")
		r.settle()
		r.Press("enter")
		for _, line := range r.typed() {
			if strings.HasPrefix(line, "/edit") {
				t.Errorf("%q changes the message", line)
			}
		}
		r.Press("up", "ctrl+r")
		r.Send("hello")
		r.Press("enter", "enter")
		r.settle()
		for _, line := range r.typed() {
			if strings.HasPrefix(line, "/edit") {
				t.Errorf("%q was searched, and changes the message", line)
			}
		}

		// A search in full screen does not change it either.
		r.Press("f2")
		r.settle()
		r.Press("up", "f3")
		r.Send("x")
		if got := r.line(); got != "/search x|" || r.chat.model.prompt.edits() {
			t.Errorf("F3: %q; it changes the message: %v", got, r.chat.model.prompt.edits())
		}
		r.Press("ctrl+c", "f2")
		r.settle()

		// Back at the message, Enter changes it.
		r.Press("up", "up", "down", "down")
		r.shows("00:00 * nobody else is here yet\n00:00 me: hello wrold\nme (edit)> hello wrold▏")
		r.Press("esc")
		r.shows("00:00 * nobody else is here yet\n00:00 me: hello wrold\nme> ▏")
		r.Press("up", "ctrl+c", "up", "ctrl+u", "enter", "ctrl+c")
		r.shows("00:00 * nobody else is here yet\n00:00 me: hello wrold\nme> ▏")
		r.entered()
	})
}

// What Ctrl-U took out can be inserted after another line was sent.
func TestALineIsPutAside(t *testing.T) {
	one(t, nil, func(r *rig) {
		r.Send("a long thought")
		r.Press("ctrl+u")
		r.Send("yes\r")
		r.settle()
		r.Press("ctrl+y")
		r.shows("00:00 * nobody else is here yet\nme> a long thought▏")
		r.entered("yes")
	})
}

// While the chat is suspended the terminal is as before; afterwards the line is there again.
func TestSuspend(t *testing.T) {
	for _, full := range []bool{false, true} {
		suspended := 0
		var r *rig
		one(t, func(c *Config) {
			c.Full = full
			c.Suspend = func() {
				suspended++
				if r.AltScreen() || !r.CursorShown() || r.Mode(ansi.ModeBracketedPaste) || r.Mode(ansi.ModeFocusEvent) {
					t.Errorf("the terminal is not as before:\n%s", frame(r.Text()))
				}
			}
		}, func(started *rig) {
			r = started
			r.Send("half a li")
			r.Press("left")
			r.settle()
			for range 2 {
				r.Press("ctrl+z")
				r.settle()
			}
			r.Send("-")
			if got := r.line(); got != "half a l-|i" || suspended != 2 || r.AltScreen() != full {
				t.Errorf("%q, suspended %d times, full screen %v", got, suspended, r.AltScreen())
			}
			if !strings.Contains(r.screen(), "me> half a l-▏i") || !r.Mode(ansi.ModeBracketedPaste) {
				t.Errorf("the screen is\n%s", frame(r.screen()))
			}
		})
	}
	one(t, nil, func(r *rig) {
		r.Press("ctrl+z")
		r.shows("00:00 * nobody else is here yet\nme> ▏\nthis terminal can't be suspended")
	})
}

// A paste may be as long as a message can be, and not longer.
func TestPasteOfTheLongestText(t *testing.T) {
	one(t, nil, func(r *rig) {
		text := strings.Repeat("0123456789abcde\n", edit.MaxText/16)
		r.Paste(text + "xy")
		r.shows("00:00 * nobody else is here yet\nme> ▏\nwhat you pasted does not fit: a message has at most 1024 kB")
		r.Paste(text + "\n") // the last line end is left out
		r.Press("enter")
		r.entered()
		r.Press("enter")
		r.entered(text)
	})
}

// A key on the longest text, with what it costs to draw it.
func BenchmarkKeyOnLongText(b *testing.B) {
	for name, piece := range map[string]string{"ascii": "x", "wide": "宽", "lines": strings.Repeat("x", 50) + "\n"} {
		b.Run(name, func(b *testing.B) {
			inputs, _ := edit.OpenInputs("")
			m := newModel(New(Config{Self: "me", Node: &fakeNode{}, Inputs: inputs, Size: Size{Width: 80, Height: 24}, Now: time.Now}))
			m.prompt.text.Insert(strings.Repeat(piece, (edit.MaxText-1<<10)/len(piece)))
			keys := []tea.KeyPressMsg{{Code: 'x', Text: "x"}, {Code: tea.KeyBackspace}, {Code: tea.KeyLeft}, {Code: tea.KeyUp}, {Code: tea.KeyRight}, {Code: tea.KeyDown}}
			b.ResetTimer()
			for i := range b.N {
				m.press(keys[i%len(keys)])
				m.View()
			}
		})
	}
}

// Another hint takes the place of a question, and with it what a second press would do.
func TestAHintEndsAQuestion(t *testing.T) {
	one(t, nil, func(r *rig) {
		r.node.hold = make(chan struct{})
		r.Press("f2")
		r.settle()
		r.Send("/search nothing has that\r")
		r.settle()
		r.Press("ctrl+c") // before the history has answered
		r.settle()
		close(r.node.hold)
		r.settle()
		if !strings.Contains(r.screen(), "the history has no message") {
			t.Fatalf("the screen is\n%s", frame(r.screen()))
		}
		r.Press("ctrl+c")
		r.settle()
		if r.over() {
			t.Error("Ctrl-C leaves, without a question on the screen")
		}
	})
}

// A binary message cannot be changed in the line.
func TestUpDoesNotEditABinaryMessage(t *testing.T) {
	one(t, nil, func(r *rig) {
		r.say("*", "text")
		_ = r.chat.Event(overlay.Sent{Message: overlay.MessageID{9}, To: "*", Body: "\xff\x00", Binary: true, SentAt: time.Now()}, func() {})
		r.settle()
		r.Press("up")
		if got := r.line(); got != "text|" {
			t.Errorf("%q is in the line", got)
		}
	})
}

// The terminal's answer how it measures comes when something may be typed already.
func TestMeasuredAnew(t *testing.T) {
	m := newModel(New(Config{Self: "me", Node: &fakeNode{}, Inputs: &edit.Inputs{}, Size: Size{Width: 20, Height: 24}, Now: time.Now}))
	m.prompt.text.Insert(strings.Repeat("👩‍👦", 8))
	_, before, rows := m.prompt.draw()
	m.update(tea.ModeReportMsg{Mode: ansi.ModeUnicodeCore, Value: ansi.ModeSet})
	_, after, row := m.prompt.draw()
	if before != 12 || rows != 2 || after != 6 || row != 1 {
		t.Errorf("the cursor is at %d, %d, and then at %d, %d", before, rows, after, row)
	}
}
