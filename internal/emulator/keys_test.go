package emulator

import (
	"io"
	"testing"
)

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a": "a", "é": "é", "hello": "hello", "+": "+", "ctrl+c": "\x03", "ctrl+space": "\x00", "ctrl+_": "\x1f", "ctrl+[": "\x1b",
		"alt+b": "\x1bb", "alt+enter": "\x1b\r", "alt+backspace": "\x1b\x7f", "ctrl+backspace": "\b", "shift+a": "A", "alt++": "\x1b+",
		"enter": "\r", "tab": "\t", "shift+tab": "\x1b[Z", "esc": "\x1b", "backspace": "\x7f", "space": " ",
		"up": "\x1b[A", "ctrl+left": "\x1b[1;5D", "shift+alt+right": "\x1b[1;4C", "home": "\x1b[H", "end": "\x1b[F", "ctrl+end": "\x1b[1;5F",
		"delete": "\x1b[3~", "ctrl+delete": "\x1b[3;5~", "pgup": "\x1b[5~", "f1": "\x1bOP", "ctrl+f1": "\x1b[1;5P", "f2": "\x1bOQ", "f5": "\x1b[15~", "f12": "\x1b[24~",
	} {
		if got := Key(key); got != want {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	for _, c := range []struct {
		key  string
		e    Encoding
		want string
	}{
		{"up", Application, "\x1bOA"}, {"ctrl+up", Application, "\x1b[1;5A"}, {"home", Application, "\x1bOH"}, {"f1", Application, "\x1bOP"}, {"pgup", Application, "\x1b[5~"},
		{"ctrl+c", OtherKeys, "\x1b[27;5;99~"}, {"a", OtherKeys, "a"}, {"enter", OtherKeys, "\r"}, {"shift+enter", OtherKeys, "\x1b[27;2;13~"}, {"shift+tab", OtherKeys, "\x1b[Z"},
		{"esc", Kitty, "\x1b[27u"}, {"enter", Kitty, "\r"}, {"ctrl+c", Kitty, "\x1b[99;5u"}, {"alt+enter", Kitty, "\x1b[13;3u"}, {"shift+a", Kitty, "A"}, {"f3", Kitty, "\x1b[13~"}, {"shift+tab", Kitty, "\x1b[9;2u"},
	} {
		if got := Encode(c.key, c.e); got != c.want {
			t.Errorf("%s is %q, not %q", c.key, got, c.want)
		}
	}
	if got := Paste("a\nb\x1b[201~\x03"); got != "\x1b[200~a\nb\x03\x1b[201~" {
		t.Errorf("a paste is %q", got)
	}
}

func TestPressing(t *testing.T) {
	for _, c := range []struct {
		modern      bool
		write, want string
	}{
		{true, "", "\x1b[A\x03"}, {true, "\x1b[?1h", "\x1bOA\x03"}, {true, "\x1b[>1u", "\x1b[A\x1b[99;5u"}, {false, "\x1b[>1u", "\x1b[A\x03"},
	} {
		term := open(t, 10, 4, c.modern)
		_, _ = io.WriteString(term, c.write)
		term.Press("up", "ctrl+c")
		if got := answers(t, term, len(c.want)); got != c.want {
			t.Errorf("after %q: %q, not %q", c.write, got, c.want)
		}
	}
	term := open(t, 10, 4, true)
	term.Focus(true)
	term.Paste("a\r\nb\n")
	_, _ = io.WriteString(term, "\x1b[?2004h\x1b[?1004h")
	term.Focus(true)
	term.Focus(false)
	term.Paste("c\n")
	want := "a\rb\r\x1b[I\x1b[O\x1b[200~c\n\x1b[201~"
	if got := answers(t, term, len(want)); got != want {
		t.Errorf("%q, not %q", got, want)
	}
}
