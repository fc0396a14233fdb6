package edit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// parse makes a text of one in which | is the cursor.
func parse(s string) *Text {
	before, after, _ := strings.Cut(s, "|")
	t := &Text{}
	t.put(before + after)
	t.at = len(Clusters(before))
	return t
}

// shown is the text with | at the cursor.
func shown(t *Text) string {
	return t.Before() + "|" + strings.Join(t.clusters[t.at:], "")
}

const (
	family = "👩‍👩‍👧‍👦"
	flags  = "🇩🇪🇫🇷"
)

// What each key does to a text. Several keys are separated by blanks; ' before a word types it.
func TestKeys(t *testing.T) {
	for _, c := range []struct{ keys, text, want string }{
		{"left", "ab|c", "a|bc"}, {"ctrl+b", "|abc", "|abc"}, {"left", family + "|", "|" + family}, {"left", flags + "|", "🇩🇪|🇫🇷"}, {"left", "a\n|b", "a|\nb"},
		{"right", "ab|c", "abc|"}, {"ctrl+f", "abc|", "abc|"}, {"right", "|" + family, family + "|"}, {"right", "|กำx", "กำ|x"},
		{"home", "one\ntw|o", "one\n|two"}, {"ctrl+a", "on|e", "|one"}, {"home", "one\n|", "one\n|"},
		{"end", "o|ne\ntwo", "one|\ntwo"}, {"ctrl+e", "|", "|"},
		{"ctrl+home", "one\ntw|o", "|one\ntwo"}, {"alt+<", "one|", "|one"}, {"ctrl+end", "o|ne\ntwo", "one\ntwo|"}, {"alt+>", "|one", "one|"},
		{"alt+b", "one, two|", "one, |two"}, {"ctrl+left", "one, |two", "|one, two"}, {"alt+b", "one  |", "|one  "}, {"ctrl+left", "你好 世界|", "你好 |世界"},
		{"alt+f", "|one, two", "one|, two"}, {"ctrl+right", "one|, two", "one, two|"}, {"alt+f", "one| 👍🏽", "one 👍🏽|"},
		{"backspace", "abc|", "ab|"}, {"backspace", "|abc", "|abc"}, {"ctrl+h", family + "|", "|"}, {"shift+backspace", "e\u0301|", "|"}, {"backspace", flags + "|", "🇩🇪|"}, {"backspace", "กำ|", "|"},
		{"delete", "a|bc", "a|c"}, {"ctrl+d", "|" + flags, "|🇫🇷"}, {"delete", "abc|", "abc|"}, {"delete", "a|\nb", "a|b"}, {"delete", "a|\n\u0301b", "a\u0301|b"},
		{"ctrl+k", "one| two\nthree", "one|\nthree"}, {"ctrl+k", "one|\ntwo", "one|two"}, {"ctrl+k", "one|", "one|"},
		{"ctrl+u", "one two| three", "| three"}, {"ctrl+u", "你好世界abc|", "|"}, {"ctrl+u", "one\ntwo|", "one\n|"}, {"ctrl+u", "one\n|two", "one\n|two"},
		{"ctrl+w", "cd /usr/bin |", "cd |"}, {"ctrl+w", "one|", "|"}, {"ctrl+w", "|one", "|one"}, {"ctrl+w", "می\u200cخواهم سلام|", "می\u200cخواهم |"},
		{"alt+backspace", "cd /usr/bin|", "cd /usr/|"}, {"ctrl+backspace", "one two |", "one |"}, {"ctrl+alt+h", "one two|", "one |"},
		{"alt+d", "one| two three", "one| three"}, {"ctrl+delete", "|one", "|"}, {"alt+delete", "one|", "one|"},
		{"ctrl+w ctrl+y", "one two|", "one two|"}, {"ctrl+w ctrl+w ctrl+y", "one two|", "one two|"}, {"alt+d alt+d ctrl+y", "|one two", "one two|"},
		{"ctrl+k ctrl+u ctrl+y", "one| two", "one two|"}, {"ctrl+w left ctrl+w end ctrl+y", "a bc de|", "a  bc|"},
		{"ctrl+u ctrl+k ctrl+u ctrl+y", "one|", "one|"}, {"ctrl+w ctrl+e ctrl+k ctrl+y ctrl+y", "one|", "oneone|"}, {"ctrl+y", "one|", "one|"},
		{"ctrl+t", "ab|", "ba|"}, {"ctrl+t", "a|b", "ba|"}, {"ctrl+t", "|ab", "|ab"}, {"ctrl+t", "a|", "a|"}, {"ctrl+t", "ab|\nc", "ba|\nc"}, {"ctrl+t", "ab\n|cd", "ab\n|cd"}, {"ctrl+t", "ab\nc|", "ab\nc|"},
		{"ctrl+t", "你" + family + "|", family + "你|"}, {"ctrl+t", "|", "|"},
		{"alt+u", "|one two", "ONE| two"}, {"alt+u", "one| straße", "one STRAßE|"}, {"alt+l", "ON|E", "ONe|"}, {"alt+c", "|oNE two", "One| two"}, {"alt+c", "one| tWO", "one Two|"}, {"alt+u", "one|", "one|"},
		{"alt+enter", "a|b", "a\n|b"}, {"shift+enter", "|", "\n|"}, {"ctrl+enter", "a|", "a\n|"}, {"ctrl+j", "a|", "a\n|"}, {"alt+enter", "a|\u0301", "a\u0301\n|"},
		{"ctrl+w ctrl+_", "one two|", "one two|"}, {"ctrl+w ctrl+w ctrl+/", "one two|", "one |"}, {"ctrl+u ctrl+- ctrl+_ ctrl+_", "one|", "one|"},
		{"alt+u ctrl+_", "|one two", "|one two"}, {"ctrl+t ctrl+_", "ab|", "ab|"}, {"'x 'y ctrl+_", "|a", "x|a"}, {"'x ctrl+y ctrl+_", "|a", "|a"},
		{"'👦", "👩‍|", "👩‍👦|"}, {"'\u0301", "e|f", "e\u0301|f"}, {"'🇩", "|🇪🇫🇷", "🇩🇪|🇫🇷"}, {"'🇫", "🇩🇪|🇩🇪", "🇩🇪🇫🇩|🇪"}, {"backspace", "🇩🇪x|🇫🇷", "🇩🇪|🇫🇷"},
	} {
		text := parse(c.text)
		for _, key := range strings.Fields(c.keys) {
			if typed, ok := strings.CutPrefix(key, "'"); ok {
				text.Insert(typed)
			} else if !text.Key(key) {
				t.Errorf("the key %s is missing", key)
			}
		}
		if got := shown(text); got != c.want && c.want != "" {
			t.Errorf("%s in %q: %q, not %q", c.keys, c.text, got, c.want)
		}
		check(t, text)
	}
	for _, key := range []string{"f1", "f12", "esc", "insert", "pgup", "shift+up", "alt+x", "ctrl+q", "ctrl+space", "a", "space", "enter", "tab", ""} {
		if text := parse("a|b"); text.Key(key) || shown(text) != "a|b" {
			t.Errorf("%q is a key: %q", key, shown(text))
		}
	}
}

// check compares a text with what it must be, whatever was done to it.
func check(t testing.TB, text *Text) {
	t.Helper()
	s := text.String()
	if !slices.Equal(text.clusters, Clusters(s)) {
		t.Fatalf("%q is split into %q, not %q", s, text.clusters, Clusters(s))
	}
	if text.at < 0 || text.at > len(text.clusters) || text.size != len(s) || text.size > MaxText || !utf8.ValidString(s) || clean(s) != s {
		t.Fatalf("%q: the cursor is at %d of %d, %d bytes are counted of %d", s, text.at, len(text.clusters), text.size, len(s))
	}
}

// checkRows compares the rows with those of a text that is broken anew.
func checkRows(t testing.TB, text *Text, width, first, rest int, measure func(string) int) {
	t.Helper()
	fresh := &Text{clusters: text.clusters, at: text.at}
	want, wx, wy := fresh.Rows(width, first, rest, 1<<30, measure)
	const below = 2
	if _, x, y := text.Rows(width, first, rest, 0, measure); x != wx || y != wy {
		t.Fatalf("%q in %d columns: the cursor is at %d, %d, not %d, %d", text.clusters, width, x, y, wx, wy)
	}
	rows, x, y := text.Rows(width, first, rest, below, measure)
	if x != wx || y != wy || !slices.Equal(rows, want[:min(len(want), y+1+below)]) {
		t.Fatalf("%q in %d columns: rows %v, the cursor at %d, %d; broken anew %v, %d, %d", text.clusters, width, rows, x, y, want, wx, wy)
	}
	next := 0
	for i, row := range want {
		wide, indent := row.Indent, rest
		if i == 0 {
			indent = first
		}
		for _, c := range text.clusters[row.From:row.To] {
			wide += measure(c)
		}
		if row.From != next || row.Indent != indent || wide > width && row.To > row.From+1 || slices.Contains(text.clusters[row.From:row.To], "\n") {
			t.Fatalf("%q: row %d is %v, %d columns of %d", text.clusters, i, row, wide, width)
		}
		if i == y && (text.at < row.From || text.at > row.To) || i != y && text.at >= row.From && text.at < row.To {
			t.Fatalf("%q: the cursor is before cluster %d, and not in row %d of %v", text.clusters, text.at, y, want)
		}
		if next = row.To; next < len(text.clusters) && text.clusters[next] == "\n" {
			next++
			if i == len(want)-1 {
				t.Fatalf("%q: no row behind the last line end", text.clusters)
			}
		}
	}
	if next != len(text.clusters) || want[len(want)-1].To != next {
		t.Fatalf("%q: the rows %v are not the whole text", text.clusters, want)
	}
}

// pieces that join their neighbours, or are cleaned.
var pieces = []string{
	"a", "word ", " ", "\n", "\r\n", "\r", "\t", "你好", family, "👩", "\u200d", "👦", "🇩", "🇪", flags, "\u0301", "e\u0301", "กำ", "ำ", "می\u200cخواهم", "नमस्ते", "क्", "ष", "한", "ᄒ", "ᅡ", "ᆫ", "❤️", "\ufe0f", "🏽",
	"\x1b[2J", "\x00", "\xff", "a\xffb\xc3", "\u2028", "\u202e", "ß", "ǆ", "ⱥ", "\u0600", "",
}

var allKeys = func() []string {
	var list []string
	for key := range keys {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}()

// apply does what bytes say, for the random test and the fuzzer.
func apply(t testing.TB, text *Text, steps []byte) {
	widths := []func(string) int{ansi.StringWidth, ansi.StringWidthWc}
	measure := widths[0]
	for _, b := range steps {
		was := shown(text)
		switch n := int(b); {
		case n < 120:
			text.Insert(pieces[n%len(pieces)])
		case n < 240:
			text.Key(allKeys[n%len(allKeys)])
		case n < 244:
			text.Up(10+n%3, 4, 2, measure)
		case n < 248:
			text.Down(10+n%3, 4, 2, measure)
		case n < 250:
			text.Clear()
		case n < 252:
			text.Set(pieces[n%7] + pieces[n%11])
		case n < 253:
			measure = widths[n&1]
			text.Reflow()
		default:
			text.Replace(max(0, text.at-n%3), pieces[n%len(pieces)])
		}
		check(t, text)
		checkRows(t, text, 10+int(b)%3, 4, 2, measure)
		if t.Failed() {
			t.Fatalf("after %d on %q", b, was)
		}
	}
}

// Whatever is typed, the text is what it would be if it had been there from the beginning.
func TestTextRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		steps := make([]byte, 200)
		for i := range steps {
			steps[i] = byte(rnd.Uint32())
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { apply(t, &Text{}, steps) })
	}
}

func FuzzText(f *testing.F) {
	f.Add("start", []byte{1, 130, 200, 245, 3})
	f.Add(flags+flags, []byte{17, 121, 18, 150, 160, 255})
	f.Fuzz(func(t *testing.T, start string, steps []byte) {
		text := &Text{}
		text.Insert(start)
		apply(t, text, steps[:min(len(steps), 100)])
	})
}

func TestTooLong(t *testing.T) {
	full := &Text{}
	if !full.Insert(strings.Repeat("x", MaxText-3)+" Ⱥ") || full.Insert("x") {
		t.Error("a text may not have just MaxText bytes")
	}
	full.Key("left")
	full.Key("alt+l") // ⱥ has one byte more
	if full.String() != strings.Repeat("x", MaxText-3)+" Ⱥ" {
		t.Error("a word that grew is lost at the end of a full text")
	}
	full.Replace(full.at, "@long")
	check(t, full)
}

// A long text costs no memory for each change.
func TestUndoIsBounded(t *testing.T) {
	text := &Text{}
	for i := range 3 * maxUndo {
		text.Insert(fmt.Sprint(i % 10))
	}
	for range 3 * maxUndo {
		text.Undo()
	}
	if len(text.clusters) != 2*maxUndo || len(text.undo) != 0 {
		t.Errorf("%d characters are left, %d to undo", len(text.clusters), len(text.undo))
	}
	text.Insert(strings.Repeat("x", 1<<15))
	text.Insert("y")
	if len(text.undo) != 0 {
		t.Errorf("%d copies of a long text are kept", len(text.undo))
	}
}

func TestUpDown(t *testing.T) {
	for _, c := range []struct{ keys, text, want string }{
		{"u", "one\ntw|o", "on|e\ntwo"}, {"d", "on|e\ntwo", "one\ntw|o"}, {"u", "a\nlong|", "a|\nlong"}, {"d", "long|\na", "long\na|"},
		{"u", "|one", ""}, {"d", "one|", ""}, {"d", "one\n|", ""}, {"u", "0123456789|", ""}, {"u", "01234567890123|", "0123|4567890123"},
		{"d", "0|12345678901", "01234567890|1"}, {"u", "你好你好你好世|界", "你好|你好你好世界"}, {"du", "on|e\ntwo", "on|e\ntwo"},
	} {
		text := parse(c.text)
		moved := true
		for _, key := range c.keys {
			if key == 'u' {
				moved = text.Up(12, 2, 2, ansi.StringWidth)
			} else {
				moved = text.Down(12, 2, 2, ansi.StringWidth)
			}
		}
		if moved != (c.want != "") || moved && shown(text) != c.want {
			t.Errorf("%s in %q: %v, %q, not %q", c.keys, c.text, moved, shown(text), c.want)
		}
	}
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
		x, y int
	}{
		{"|", "> ", 2, 0}, {"abc|", "> abc", 5, 0}, {"abcdefgh|", "> abcdefgh", 10, 0}, {"abcdefgh|i", "> abcdefgh/  i", 2, 1}, {"abcdefgh\n|", "> abcdefgh/  ", 2, 1},
		{"你好世界|你", "> 你好世界/  你", 2, 1}, {"a你好世界|", "> a你好世/  界", 4, 1}, {"one\n\n|two", "> one/  /  two", 2, 2}, {"|\n\n", "> /  /  ", 2, 0},
		{"abcdefg" + family + "|", "> abcdefg/  " + family, 4, 1}, {"abcdefghe\u0301|", "> abcdefgh/  e\u0301", 3, 1},
	} {
		text := parse(c.text)
		rows, x, y := text.Rows(10, 2, 2, 100, ansi.StringWidth)
		var list []string
		for i, row := range rows {
			list = append(list, strings.Repeat(">"[:max(0, 1-i)]+" ", 1)+strings.Repeat(" ", min(1, i))+strings.Join(text.clusters[row.From:row.To], ""))
		}
		if got := strings.Join(list, "/"); got != c.want || x != c.x || y != c.y {
			t.Errorf("%q is %q, the cursor at %d, %d; not %q, %d, %d", c.text, got, x, y, c.want, c.x, c.y)
		}
	}
}

// A key in a text of the longest size.
func BenchmarkLongText(b *testing.B) {
	for _, c := range []struct{ name, piece string }{{"ascii", "x"}, {"wide", "宽"}, {"lines", strings.Repeat("x", 50) + "\n"}, {"flags", "🇩🇪"}} {
		for _, key := range []string{"type at the end", "type at the beginning", "left", "home", "ctrl+left", "up"} {
			b.Run(c.name+"/"+key, func(b *testing.B) {
				text := &Text{}
				text.Insert(strings.Repeat(c.piece, (MaxText-1<<17)/len(c.piece)))
				if key == "type at the beginning" {
					text.Key("ctrl+home")
				}
				text.Rows(79, 4, 4, 10, ansi.StringWidth)
				for b.Loop() {
					press(text, key)
				}
			})
		}
	}
}

func press(text *Text, key string) {
	switch {
	case strings.HasPrefix(key, "type"):
		text.Insert("x")
		text.Key("backspace")
	case key == "up":
		text.Up(79, 4, 4, ansi.StringWidth)
	default:
		text.Key(key)
	}
	text.Rows(79, 4, 4, 10, ansi.StringWidth)
}
