package hooks

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		text    string
		want    []string
		problem string
	}{
		{text: "notify-send hello", want: []string{"notify-send", "hello"}},
		{text: "  a \t b\n", want: []string{"a", "b"}},
		{text: `a 'b c' "d e"`, want: []string{"a", "b c", "d e"}},
		{text: `a'b c'd`, want: []string{"ab cd"}},
		{text: `a ''`, want: []string{"a", ""}},
		{text: `a ""b`, want: []string{"a", "b"}},
		{text: `a "it's" 'say "x"'`, want: []string{"a", "it's", `say "x"`}},
		{text: `a "q\"q \\ \n \$x"`, want: []string{"a", `q"q \ \n $x`}},
		{text: `a 'x\'`, want: []string{"a", `x\`}},
		{text: `a b\ c \'`, want: []string{"a", "b c", "'"}},
		{text: `sh -c 'echo "$QUICPEER_FROM" | wc; x & y > z'`, want: []string{"sh", "-c", `echo "$QUICPEER_FROM" | wc; x & y > z`}},
		{text: "a # b", want: []string{"a", "#", "b"}},
		{text: "a \xff", want: []string{"a", "\xff"}},
		{text: "größe ü", want: []string{"größe", "ü"}},
		{text: "", problem: "empty"},
		{text: " \t", problem: "empty"},
		{text: "''", problem: "empty"},
		{text: "a 'b", problem: "not finished"},
		{text: `a "b`, problem: "not finished"},
		{text: `a \`, problem: "not finished"},
		{text: `a "b\`, problem: "not finished"},
		{text: "a | b", problem: "no shell to understand |"},
		{text: "a >b", problem: "no shell to understand >"},
		{text: "a; b", problem: "no shell to understand ;"},
		{text: "a &", problem: "no shell to understand &"},
		{text: "a $HOME", problem: "no shell to understand $"},
		{text: `a "$HOME"`, problem: "no shell to understand $"},
		{text: "a `b`", problem: "no shell to understand `"},
		{text: "a\x00b", problem: "NUL"},
	} {
		got, err := split(test.text, true)
		switch {
		case test.problem != "":
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%q: %q, %v; want an error about %q", test.text, got, err, test.problem)
			}
		case err != nil || !slices.Equal(got, test.want):
			t.Errorf("%q: %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	got, err := split(`C:\tools\hook.exe "C:\a b\c"`, false)
	if want := []string{`C:\tools\hook.exe`, `C:\a b\c`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("on Windows: %q, %v", got, err)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`a 'b c' "d\"e" \x`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := split(text, true)
		if (err == nil) != (len(words) > 0 && words[0] != "") {
			t.Errorf("%q: %q, %v", text, words, err)
		}
	})
}

func TestParseFindsTheProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(self))
	words, err := Parse(filepath.Base(self) + " x")
	if err != nil || len(words) != 2 || words[0] != self {
		t.Errorf("%q, %v", words, err)
	}
	for text, problem := range map[string]string{
		"gone-for-good x":               `there is no program "gone-for-good" in PATH`,
		filepath.Join(t.TempDir(), "x"): "no such file",
		t.TempDir():                     "directory",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), problem) && filepath.Separator == '/' {
			t.Errorf("%s: %v", text, err)
		}
	}
}
