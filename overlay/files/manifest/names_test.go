package manifest

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// refused are paths that break a rule, by a word of what is said about it.
var refused = map[string][]string{
	"empty":            {"", "a//b", "a/"},
	"absolute":         {"/", "/a", "/etc/passwd", "//server/share"},
	". or ..":          {".", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "a/."},
	"UTF-8":            {"\xff", "a\xc0\x80b", "a/\xed\xa0\x80", "\xf4\x90\x80\x80"},
	"normal form":      {"a\u0308", "A\u030a", "\u212b", "a/e\u0301", "\u1100\u1161"},
	"255 bytes":        {strings.Repeat("a", 256), "a/" + strings.Repeat("ä", 128)},
	"4096 bytes":       {strings.Repeat(strings.Repeat("a", 200)+"/", 21) + "a"},
	"100 levels":       {strings.Repeat("a/", 100) + "a"},
	"dot or a space":   {"a.", "a/b.", "a./b", "...", "a ", "a /b", " ", "a. .", "CON."},
	"reserved":         {".quicpeer-part-0", "a/.quicpeer-part-names", ".QuicPeer-PART-", ".quicpeer-part-x/y"},
	"device":           {"CON", "con", "a/Nul", "prn.txt", "AUX.tar.gz", "com1", "COM0", "LPT9.x", "LPT¹", "com².y", "lpt³", "CONIN$", "conout$.a", "nul .txt", "con/a"},
	"Windows does not": {"a:b", "C:", "C:a", "a<b", "a>b", `a"b`, "a|b", "a?b", "a*b", `a\b`, `\\server\share`, `..\a`, "file.txt:stream"},
	"invisible": {
		"a\x00", "a\nb", "a\rb", "a\tb", "\x1b[31m", "a\x7f", "a\u0085b", "a\u009bb", // controls
		"a\u2028b", "a\u2029b", // line separators
		"gpj.\u202ecod", "\u202d", "\u2066a\u2069", "a\u200eb", "a\u200fb", "\u061ca", // directions
		"a\ufffe", "a\uffff", "\ufdd0", "\U0001fffe", // noncharacters
	},
}

var allowed = []string{
	"a", "A.txt", ".hidden", "..a", "a..b", "...a", " a", "a b", "-rf", "~", "a'b", "a`$(b)", "a&b;c", "%00", "#", "[a]{b}", "a=b", "a,b", "a+b", "@", "!", "^",
	"ä", "日本語.txt", "שלום", "مرحبا", "каша", "é/è", "👨\u200d👩\u200d👧.png", "می\u200cخواهم", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\ufffd", "\ue000",
	"CONSOLE", "com", "com10", "COMA", "lpt", "aux1", "a.con", "nulla", "CONIN", "com⁴", "_con", "$", "quicpeer-part-x", ".quicpeer-par", ".quicpeer-parts",
	strings.Repeat("a", 255), strings.Repeat("a/", 99) + "a", strings.Repeat(strings.Repeat("a", 204)+"/", 19) + strings.Repeat("a", 201),
}

func TestRefusedNames(t *testing.T) {
	for word, paths := range refused {
		for _, path := range paths {
			err := Check(path)
			var broken *NameError
			if !errors.As(err, &broken) || broken.Path != path || !strings.Contains(broken.Rule, word) {
				t.Errorf("%q: %v, without %q", path, err, word)
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("%q is not escaped in %v", path, err)
			}
		}
	}
}

func TestAllowedNames(t *testing.T) {
	for _, path := range allowed {
		if err := Check(path); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// Names that some file system takes for one fold to one, and others don't.
func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"a", "A"}, {"README.md", "readme.MD"}, {"ä", "Ä", "a\u0308", "A\u0308"}, {"straße", "STRASSE", "STRAẞE"},
		{"k", "K", "\u212a"}, {"å", "\u212b"}, {"σας", "ΣΑΣ"}, {"ﬁ", "fi", "FI"}, {"a\u200db", "ab", "a\ufeffb", "a\u00adb"}, {"\u0345", "ι", "Ι"},
		{"ᾳ", "αι"}, {"❤\ufe0f", "❤"}, {"İ", "i\u0307"}, {"ǅ", "ǆ", "Ǆ"}, {"\U00010400", "\U00010428"},
	} {
		for _, name := range same[1:] {
			if Fold(name) != Fold(same[0]) {
				t.Errorf("%q and %q are two", name, same[0])
			}
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"a", "ä"}, {"ı", "i"}, {"o", "0"}, {"", "a"}} {
		if Fold(other[0]) == Fold(other[1]) {
			t.Errorf("%q and %q are one", other[0], other[1])
		}
	}
}

// Fold joins at least the characters that Unicode's full case folding joins.
func TestFoldIsFull(t *testing.T) {
	full := cases.Fold()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		s := string(r)
		if !utf8.ValidRune(r) || unicode.In(r, unicode.Co) {
			continue
		}
		if folded := full.String(norm.NFD.String(s)); Fold(folded) != Fold(s) {
			t.Errorf("%U: %q and %q are two", r, Fold(s), Fold(folded))
		}
	}
}

func FuzzName(f *testing.F) {
	for _, paths := range refused {
		for _, path := range paths {
			f.Add(path)
		}
	}
	for _, path := range allowed {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if Check(path) != nil {
			return
		}
		if len(path) > MaxPath || !norm.NFC.IsNormalString(path) || strings.ContainsAny(path, "\\:\x00") {
			t.Errorf("%q is allowed", path)
		}
		parts := strings.Split(path, "/")
		for _, part := range parts {
			if part == "" || part == "." || part == ".." || len(part) > MaxPart || Check(part) != nil {
				t.Errorf("%q is allowed", path)
			}
			if key := Fold(part); Fold(key) != key {
				t.Errorf("%q folds to %q, and that to %q", part, key, Fold(key))
			}
		}
		if len(parts) > MaxDepth {
			t.Errorf("%q is allowed", path)
		}
	})
}
