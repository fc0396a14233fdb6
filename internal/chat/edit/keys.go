package edit

import (
	"strings"
	"unicode"
)

// Key changes the text as a key says, by its name in bubbletea ("ctrl+a", "alt+b", "home"): the keys of
// Emacs and of applications. It returns false for a key that is not one of them.
func (t *Text) Key(name string) bool {
	do, ok := keys[name]
	if ok {
		do(t)
	}
	return ok
}

var keys = map[string]func(*Text){
	"left": func(t *Text) { t.move(t.at - 1) }, "ctrl+b": func(t *Text) { t.move(t.at - 1) },
	"right": func(t *Text) { t.move(t.at + 1) }, "ctrl+f": func(t *Text) { t.move(t.at + 1) },
	"home": func(t *Text) { t.move(t.start()) }, "ctrl+a": func(t *Text) { t.move(t.start()) },
	"end": func(t *Text) { t.move(t.end()) }, "ctrl+e": func(t *Text) { t.move(t.end()) },
	"ctrl+home": func(t *Text) { t.move(0) }, "alt+<": func(t *Text) { t.move(0) },
	"ctrl+end": func(t *Text) { t.move(len(t.clusters)) }, "alt+>": func(t *Text) { t.move(len(t.clusters)) },
	"alt+b": func(t *Text) { t.move(t.wordBefore()) }, "ctrl+left": func(t *Text) { t.move(t.wordBefore()) },
	"alt+f": func(t *Text) { t.move(t.wordAfter()) }, "ctrl+right": func(t *Text) { t.move(t.wordAfter()) },
	"backspace": func(t *Text) { t.remove(t.at-min(1, t.at), t.at) }, "ctrl+h": func(t *Text) { t.remove(t.at-min(1, t.at), t.at) },
	"shift+backspace": func(t *Text) { t.remove(t.at-min(1, t.at), t.at) },
	"delete":          (*Text).deleteNext, "ctrl+d": (*Text).deleteNext,
	"ctrl+k":        (*Text).killLine,
	"ctrl+u":        func(t *Text) { t.kill(t.start(), t.at, true) },
	"ctrl+w":        func(t *Text) { t.kill(t.blankBefore(), t.at, true) },
	"alt+backspace": func(t *Text) { t.kill(t.wordBefore(), t.at, true) }, "ctrl+backspace": func(t *Text) { t.kill(t.wordBefore(), t.at, true) },
	"ctrl+alt+h": func(t *Text) { t.kill(t.wordBefore(), t.at, true) },
	"alt+d":      func(t *Text) { t.kill(t.at, t.wordAfter(), false) }, "ctrl+delete": func(t *Text) { t.kill(t.at, t.wordAfter(), false) },
	"alt+delete": func(t *Text) { t.kill(t.at, t.wordAfter(), false) },
	"ctrl+y":     func(t *Text) { t.Insert(strings.Join(t.killed, "")) },
	"ctrl+t":     (*Text).transpose,
	"alt+u":      func(t *Text) { t.recase(strings.ToUpper) },
	"alt+l":      func(t *Text) { t.recase(strings.ToLower) },
	"alt+c":      func(t *Text) { t.recase(capital) },
	"ctrl+_":     (*Text).Undo, "ctrl+/": (*Text).Undo, "ctrl+-": (*Text).Undo,
	"alt+enter": func(t *Text) { t.Insert("\n") }, "shift+enter": func(t *Text) { t.Insert("\n") }, "ctrl+enter": func(t *Text) { t.Insert("\n") },
	"ctrl+j": func(t *Text) { t.Insert("\n") },
}

func (t *Text) deleteNext() { t.remove(t.at, min(t.at+1, len(t.clusters))) }

// killLine takes out the rest of the line, or the line end when nothing is left of it.
func (t *Text) killLine() {
	to := t.end()
	if to == t.at {
		to = min(t.at+1, len(t.clusters))
	}
	t.kill(t.at, to, false)
}

// transpose exchanges the clusters around the cursor; at the end of a line the two before it.
func (t *Text) transpose() {
	i := t.at
	if i == t.end() {
		i--
	}
	if i <= t.start() {
		return
	}
	t.splice(i-1, i+1, t.clusters[i]+t.clusters[i-1])
}

// recase changes the rest of the word at the cursor, or the next one.
func (t *Text) recase(change func(string) string) {
	to := t.wordAfter()
	t.splice(t.at, to, change(strings.Join(t.clusters[t.at:to], "")))
}

// capital makes the first letter of a word a capital one.
func capital(s string) string {
	done := false
	return strings.Map(func(r rune) rune {
		if !done && unicode.IsLetter(r) {
			done = true
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

// Replace puts a text in the place of the clusters from there to the cursor.
func (t *Text) Replace(from int, s string) { t.splice(from, t.at, s) }

// Clear takes out everything, for Yank.
func (t *Text) Clear() { t.kill(0, len(t.clusters), true) }
