package emulator

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Encoding is how a terminal writes keys to the program.
type Encoding int

const (
	// Xterm is what nearly every terminal sends at first.
	Xterm Encoding = iota
	// Application is Xterm with application cursor keys (mode 1): arrows, Home and End as ESC O.
	Application
	// OtherKeys is xterm's modifyOtherKeys=2: Ctrl and Alt with a character as CSI 27.
	OtherKeys
	// Kitty is kitty's keyboard protocol with the flag 1, which tells all keys apart.
	Kitty
)

// special are the keys that have a number (CSI n ~) or a letter (CSI letter).
var special = map[string]struct {
	number int
	letter byte
}{
	"up": {0, 'A'}, "down": {0, 'B'}, "right": {0, 'C'}, "left": {0, 'D'}, "begin": {0, 'E'}, "home": {0, 'H'}, "end": {0, 'F'},
	"insert": {2, 0}, "delete": {3, 0}, "pgup": {5, 0}, "pgdown": {6, 0},
	"f1": {0, 'P'}, "f2": {0, 'Q'}, "f3": {0, 'R'}, "f4": {0, 'S'},
	"f5": {15, 0}, "f6": {17, 0}, "f7": {18, 0}, "f8": {19, 0}, "f9": {20, 0}, "f10": {21, 0}, "f11": {23, 0}, "f12": {24, 0},
}

// named are the keys that are control characters.
var named = map[string]rune{"tab": '\t', "enter": '\r', "esc": 0x1b, "backspace": 0x7f, "space": ' '}

// Key is what xterm sends for a key: see [Encode].
func Key(name string) string { return Encode(name, Xterm) }

// Encode is what a terminal sends for a key, by the names that bubbletea has for them: "a",
// "enter", "esc", "tab", "space", "backspace", "up", "home", "pgdown", "f2" …, with "ctrl+",
// "alt+" and "shift+" before. Anything else is text, which is sent as it is.
func Encode(name string, e Encoding) string {
	modifiers, key := 0, name
	for {
		m, rest, ok := strings.Cut(key, "+")
		i := slices.Index([]string{"shift", "alt", "ctrl"}, m)
		if !ok || i < 0 || rest == "" {
			break
		}
		modifiers |= 1 << i
		key = rest
	}
	if s, ok := special[key]; ok {
		return encodeSpecial(s.number, s.letter, modifiers, e)
	}
	char, ok := named[key]
	if !ok {
		if modifiers == 0 || utf8.RuneCountInString(key) != 1 {
			return name
		}
		char, _ = utf8.DecodeRuneInString(key)
	}
	return encodeChar(char, modifiers, e)
}

const shift, alt, ctrl = 1, 2, 4

func encodeSpecial(number int, letter byte, modifiers int, e Encoding) string {
	switch {
	case number != 0 && modifiers == 0:
		return fmt.Sprintf("\x1b[%d~", number)
	case number != 0:
		return fmt.Sprintf("\x1b[%d;%d~", number, modifiers+1)
	case letter == 'R' && e == Kitty && modifiers == 0: // CSI R is a position of the cursor
		return "\x1b[13~"
	case letter == 'R' && e == Kitty:
		return fmt.Sprintf("\x1b[13;%d~", modifiers+1)
	case modifiers != 0:
		return fmt.Sprintf("\x1b[1;%d%c", modifiers+1, letter)
	case e == Application || letter >= 'P' && e != Kitty:
		return fmt.Sprintf("\x1bO%c", letter)
	}
	return fmt.Sprintf("\x1b[%c", letter)
}

func encodeChar(char rune, modifiers int, e Encoding) string {
	typed := modifiers&^shift == 0 // a character, or a key that is like one
	switch {
	case e == Kitty && (char == 0x1b || !typed || modifiers != 0 && char < ' ' || modifiers != 0 && char == 0x7f):
		if modifiers == 0 {
			return fmt.Sprintf("\x1b[%du", char)
		}
		return fmt.Sprintf("\x1b[%d;%du", char, modifiers+1)
	case char == '\t' && modifiers == shift:
		return "\x1b[Z"
	case e == OtherKeys && (!typed || modifiers != 0 && char < ' '):
		return fmt.Sprintf("\x1b[27;%d;%d~", modifiers+1, char)
	}
	text := string(char)
	if modifiers&ctrl != 0 {
		switch {
		case char >= '@' && char <= '~':
			text = string(char & 0x1f)
		case char == ' ':
			text = "\x00"
		case char == '/':
			text = "\x1f"
		case char == '?':
			text = "\x7f"
		case char == 0x7f:
			text = "\b"
		}
	}
	if modifiers&shift != 0 {
		text = strings.ToUpper(text)
	}
	if modifiers&alt != 0 {
		text = "\x1b" + text
	}
	return text
}

// Paste is text between the brackets of bracketed paste. A terminal takes the end of the brackets
// out of the text, so that it can't press keys.
func Paste(text string) string {
	return "\x1b[200~" + strings.ReplaceAll(text, "\x1b[201~", "") + "\x1b[201~"
}

// Focus is the report that the window has come to the front, or has left it.
func Focus(in bool) string {
	if in {
		return "\x1b[I"
	}
	return "\x1b[O"
}

// Variant is another sequence of a key, as some terminal sends it.
type Variant struct {
	Key      string // as [Encode] calls it
	Terminal string
	Sequence string
}

// Variants are the sequences of other terminals that differ from xterm's, for keys that a line
// editor knows. A program can't ask which it will get.
var Variants = variants()

func variants() (list []Variant) {
	add := func(terminal string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, Variant{pairs[i], terminal, pairs[i+1]})
		}
	}
	for _, key := range []string{"up", "down", "right", "left", "home", "end"} {
		add("xterm, application cursor keys", key, Encode(key, Application))
	}
	add("linux console",
		"home", "\x1b[1~", "end", "\x1b[4~",
		"f1", "\x1b[[A", "f2", "\x1b[[B", "f3", "\x1b[[C", "f4", "\x1b[[D", "f5", "\x1b[[E")
	add("rxvt",
		"home", "\x1b[7~", "end", "\x1b[8~",
		"f1", "\x1b[11~", "f2", "\x1b[12~", "f3", "\x1b[13~", "f4", "\x1b[14~",
		"ctrl+left", "\x1bOd", "ctrl+right", "\x1bOc", "ctrl+up", "\x1bOa", "ctrl+down", "\x1bOb",
		"shift+left", "\x1b[d", "shift+right", "\x1b[c", "shift+up", "\x1b[a", "shift+down", "\x1b[b",
		"ctrl+delete", "\x1b[3^", "ctrl+home", "\x1b[7^", "ctrl+end", "\x1b[8^")
	add("tmux and screen", "home", "\x1b[1~", "end", "\x1b[4~")
	add("old xterm", "backspace", "\b")
	add("macOS Terminal, Option as Meta", "alt+left", "\x1bb", "alt+right", "\x1bf")
	add("PuTTY", "home", "\x1b[1~", "end", "\x1b[4~", "f1", "\x1b[11~", "f2", "\x1b[12~")
	for _, key := range []string{"ctrl+a", "ctrl+c", "ctrl+d", "ctrl+w", "alt+b", "alt+f", "alt+enter", "shift+enter", "ctrl+enter", "ctrl+space", "alt+backspace"} {
		add("xterm, modifyOtherKeys", key, Encode(key, OtherKeys))
	}
	for _, key := range []string{"esc", "ctrl+a", "ctrl+c", "ctrl+i", "ctrl+m", "ctrl+[", "alt+b", "alt+enter", "shift+enter", "shift+tab", "f1", "f3", "ctrl+left"} {
		add("kitty", key, Encode(key, Kitty))
	}
	return list
}
