package main

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"héllo 世界 😀 e\u0301":                   "héllo 世界 😀 e\u0301",
		`C:\x1b`:                               `C:\x1b`,
		"a\x1b[2Jb":                            `a\x1b[2Jb`,
		"\x00\t\r\x7f":                         `\x00\t\r\x7f`,
		"\u0085\u009b\u00ad":                   `\x85\x9b\xad`,
		"\u061c\u200e\u200f":                   `\u061c\u200e\u200f`,
		"\u202a\u202e\u2066\u2069":             `\u202a\u202e\u2066\u2069`,
		"\u2028\u2029\u200b\u200d\ufeff\u2060": `\u2028\u2029\u200b\u200d\ufeff\u2060`,
		"\U000e0041":                           `\U000e0041`,
		"\xff\xc0\x80":                         `\xff\xc0\x80`,
		"\ufffd":                               "\ufffd",
		"a\nb":                                 "a\nb",
	} {
		if got := escape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := oneLine("a\nb\x1b"); got != `a\nb\x1b` {
		t.Errorf("oneLine: %q", got)
	}
}

// However a text looks: nothing in it moves the cursor, each of its lines but
// the first is set in, and none is wider than the terminal.
func TestNobodyForgesALine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z \n\r\t\x1b\x{202e}一]{0,60}`)).Draw(t, "text")
		width := rapid.SampledFrom([]int{0, 5, 20, 80}).Draw(t, "width")
		const margin = "   "
		shown := indent(s, margin, len(margin), width)
		for i, line := range strings.Split(shown, "\n") {
			if i > 0 && !strings.HasPrefix(line, margin) {
				t.Errorf("%q is shown as %q", s, shown)
			}
			used := len(margin)
			for _, r := range strings.TrimPrefix(line, margin) {
				if used += columns(r); !unicode.IsGraphic(r) {
					t.Errorf("%q is shown with %q", s, r)
				}
			}
			if i > 0 && width > 0 && used > width {
				t.Errorf("%q is shown as %q: wider than %d", s, shown, width)
			}
		}
	})
}
