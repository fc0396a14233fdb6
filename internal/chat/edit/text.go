// Package edit is the line that is being typed: its text and cursor, the keys that change it, what
// was typed before, and completion. It works on grapheme clusters (UAX #29), so that an emoji of
// several code points, or a letter and its marks, is one thing to a key. It draws nothing and knows
// no terminal.
package edit

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"

	"quicpeer/pb"
)

// MaxText is the longest text in bytes: that of a message to one peer.
const MaxText = pb.MaxBody

// Text is a text with a cursor. The zero Text is empty.
type Text struct {
	clusters []string
	at       int // the cursor is before this cluster
	size     int // bytes

	killed  []string // what the last kill took out, for Yank
	killing bool     // the last change was a kill: the next one adds to it
	undo    []snapshot

	shape shape // of the rows
	rows  []Row // the first ones, as far as they are known
}

// snapshot is a text as it was.
type snapshot struct {
	text string
	at   int
}

// maxUndo is how many changes can be undone, a guess.
const maxUndo = 100

// Clusters splits a text into grapheme clusters; a line end is one of its own.
func Clusters(s string) []string {
	var list []string
	for it := graphemes.FromString(s); it.Next(); {
		list = append(list, it.Value())
	}
	return list
}

// String is the text.
func (t *Text) String() string { return strings.Join(t.clusters, "") }

// Empty says that there is none.
func (t *Text) Empty() bool { return len(t.clusters) == 0 }

// Clusters are those of the text, not to be changed.
func (t *Text) Clusters() []string { return t.clusters }

// Before is the text up to the cursor.
func (t *Text) Before() string { return strings.Join(t.clusters[:t.at], "") }

// Lines is how many lines the text has.
func (t *Text) Lines() int {
	n := 1
	for _, c := range t.clusters {
		if c == "\n" {
			n++
		}
	}
	return n
}

// Set replaces the text, and puts the cursor at its end.
func (t *Text) Set(s string) {
	t.save()
	t.put(clean(s))
}

func (t *Text) put(s string) {
	t.clusters, t.size, t.rows = Clusters(s), len(s), nil
	t.at = len(t.clusters)
}

// Insert inserts a text at the cursor. Line ends of all kinds become LF, other control characters but
// the tab are left out. It returns false, and changes nothing, if the text would be too long.
func (t *Text) Insert(s string) bool { return t.splice(t.at, t.at, s) }

// splice is Insert in the place of the clusters from, to.
func (t *Text) splice(from, to int, s string) bool {
	s = clean(s)
	if from == to && s == "" {
		return true
	}
	size := t.size + len(s)
	for _, c := range t.clusters[from:to] {
		size -= len(c)
	}
	if size > MaxText {
		return false
	}
	t.save()
	// What stands around it may join it, as a mark joins its letter; behind it not only the next cluster, since flags
	// are made of pairs.
	first := max(0, from-1)
	head := strings.Join(t.clusters[first:from], "") + s
	last := min(to+1, len(t.clusters))
	fresh := Clusters(head + strings.Join(t.clusters[to:last], ""))
	for last < len(t.clusters) && len(fresh) > 0 && Clusters(fresh[len(fresh)-1] + t.clusters[last])[0] != fresh[len(fresh)-1] {
		last = min(2*last-to, len(t.clusters))
		fresh = Clusters(head + strings.Join(t.clusters[to:last], ""))
	}
	t.clusters = slices.Replace(t.clusters, first, last, fresh...)
	t.size = size
	t.at = first
	for n := 0; n < len(head); t.at++ {
		n += len(t.clusters[t.at])
	}
	t.keepRows(first)
	return true
}

// clean leaves out what can't be typed.
func clean(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// save remembers the text for Undo, and ends a series of kills.
func (t *Text) save() {
	t.killing = false
	if t.size > 1<<14 { // a hundred copies of more would be too much
		t.undo = nil
		return
	}
	s := snapshot{t.String(), t.at}
	if n := len(t.undo); n > 0 && t.undo[n-1] == s {
		return
	}
	t.undo = append(t.undo, s)
	if len(t.undo) > maxUndo {
		t.undo = slices.Delete(t.undo, 0, 1)
	}
}

// Undo takes back the last change.
func (t *Text) Undo() {
	t.killing = false
	n := len(t.undo)
	if n == 0 {
		return
	}
	s := t.undo[n-1]
	t.undo = t.undo[:n-1]
	t.put(s.text)
	t.at = s.at
}

// move puts the cursor before the cluster i.
func (t *Text) move(i int) {
	t.killing = false
	t.at = max(0, min(i, len(t.clusters)))
}

// remove takes out the clusters from, to.
func (t *Text) remove(from, to int) { t.splice(from, to, "") }

// kill is remove for Yank: kills in a row add up.
func (t *Text) kill(from, to int, back bool) {
	if from >= to {
		return
	}
	again, gone := t.killing, slices.Clone(t.clusters[from:to])
	t.remove(from, to)
	switch {
	case !again:
		t.killed = gone
	case back:
		t.killed = append(gone, t.killed...)
	default:
		t.killed = append(t.killed, gone...)
	}
	t.killing = true
}

// start is where the line of the cursor begins, end where it ends.
func (t *Text) start() int { return t.lineStart(t.at) }

func (t *Text) lineStart(i int) int {
	for i > 0 && t.clusters[i-1] != "\n" {
		i--
	}
	return i
}

func (t *Text) end() int {
	i := t.at
	for i < len(t.clusters) && t.clusters[i] != "\n" {
		i++
	}
	return i
}

// wordBefore is where the word before the cursor begins, wordAfter where the next one ends.
func (t *Text) wordBefore() int {
	i := t.at
	for i > 0 && !inWord(t.clusters[i-1]) {
		i--
	}
	for i > 0 && inWord(t.clusters[i-1]) {
		i--
	}
	return i
}

func (t *Text) wordAfter() int {
	i := t.at
	for i < len(t.clusters) && !inWord(t.clusters[i]) {
		i++
	}
	for i < len(t.clusters) && inWord(t.clusters[i]) {
		i++
	}
	return i
}

// blankBefore is where the run of characters without blanks before the cursor begins.
func (t *Text) blankBefore() int {
	i := t.at
	for i > 0 && isSpace(t.clusters[i-1]) {
		i--
	}
	for i > 0 && !isSpace(t.clusters[i-1]) {
		i--
	}
	return i
}

func inWord(c string) bool {
	r, _ := utf8.DecodeRuneInString(c)
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.So, r)
}

func isSpace(c string) bool {
	r, _ := utf8.DecodeRuneInString(c)
	return unicode.IsSpace(r)
}
