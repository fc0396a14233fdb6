package chat

import (
	"reflect"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		name               string
		s                  string
		first, rest, width int
		want               []string
	}{
		{"short", "hello", 6, 2, 20, []string{"hello"}},
		{"empty", "", 6, 2, 20, []string{""}},
		{"words", "the quick brown fox", 0, 0, 10, []string{"the quick", "brown fox"}},
		{"the first row is shorter", "the quick brown fox", 6, 0, 10, []string{"the", "quick", "brown fox"}},
		{"a long word breaks", "abcdefghijkl", 0, 0, 5, []string{"abcde", "fghij", "kl"}},
		{"a long word behind a short one", "a bcdefghijkl", 0, 0, 5, []string{"a", "bcdef", "ghijk", "l"}},
		{"wide characters", "你好世界", 0, 0, 5, []string{"你好", "世界"}},
		{"a family fits or goes to the next row", "ab👩‍👩‍👧‍👦c", 0, 0, 3, []string{"ab", "👩‍👩‍👧‍👦c"}},
		{"lines", "a\n\n b", 3, 3, 20, []string{"a", "", " b"}},
		{"blanks at the end of a row", "abcde   fgh", 0, 0, 5, []string{"abcde", "  fgh"}},
	} {
		got := Wrap(c.s, c.first, c.rest, c.width, ansi.StringWidth)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Whatever the text, a row is not wider than the terminal and nothing visible is lost.
func FuzzWrap(f *testing.F) {
	f.Add("the quick brown fox jumps", uint8(3), uint8(12))
	f.Add("你好世界👩‍👩‍👧‍👦 e\u0301 \u202e", uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, s string, first, width uint8) {
		if width < 2 || first > width || len(s) > 1000 {
			t.Skip()
		}
		s = Escape(s)
		rows := Wrap(s, int(first), 0, int(width), ansi.StringWidth)
		for i, row := range rows {
			room := int(width)
			if i == 0 {
				room -= int(first)
			}
			if w := ansi.StringWidth(row); w > room && i > 0 && len(rows) <= maxRows {
				t.Fatalf("%q has %d columns of %d", row, w, room)
			}
		}
		bare := func(s string) string { return strings.NewReplacer(" ", "", "\n", "").Replace(s) }
		long := false
		for _, c := range strings.FieldsFunc(s, func(r rune) bool { return r < 0x300 }) {
			long = long || len(c) > maxCluster
		}
		if len(rows) <= maxRows && !long && bare(strings.Join(rows, "")) != bare(s) {
			t.Fatalf("%q became %q", s, rows)
		}
	})
}

// What would hang a terminal, or hide a message, is shown in part.
func TestWrapBounds(t *testing.T) {
	for name, s := range map[string]string{
		"marks":       "a" + strings.Repeat("\u0301", 1<<19),
		"lines":       strings.Repeat("x\n", 100_000),
		"one word":    strings.Repeat("x", 1<<20),
		"zero width":  strings.Repeat("a\u200d\u200d", 1<<17),
		"escapes":     strings.Repeat("\x1b", 1<<20),
		"flags":       strings.Repeat("🇩", 1<<18),
		"wide":        strings.Repeat("你", 1<<18),
		"blank":       strings.Repeat(" ", 1<<20),
		"tags":        "🏴" + strings.Repeat("\U000e0067", 1<<18),
		"carriage":    strings.Repeat("\r", 1<<20),
		"right first": strings.Repeat("\u202e", 1<<18),
	} {
		rows := Wrap(Escape(s), 8, 8, 80, ansi.StringWidth)
		size := 0
		for _, row := range rows {
			size += len(row)
		}
		if len(rows) > maxRows+1 || size > maxRows*80*8 {
			t.Errorf("%s: %d rows, %d bytes", name, len(rows), size)
		}
	}
}
