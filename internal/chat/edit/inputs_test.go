package edit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func open(t testing.TB, path string) *Inputs {
	t.Helper()
	in, err := OpenInputs(path)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func add(in *Inputs, lines ...string) {
	for _, line := range lines {
		in.Add(line)
	}
}

func wantLines(t *testing.T, in *Inputs, want ...string) {
	t.Helper()
	if !slices.Equal(in.lines, want) {
		t.Errorf("kept are %q, not %q", in.lines, want)
	}
}

func wantMode(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
}

func TestInputsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	in := open(t, path)
	add(in, "one", "two\nlines", "two\nlines", " ", "", "你好 \t"+family, "one", strings.Repeat("x", maxInput), strings.Repeat("x", maxInput+1))
	want := []string{"one", "two\nlines", "你好 \t" + family, "one", strings.Repeat("x", maxInput)}
	wantLines(t, in, want...)
	wantMode(t, path)
	wantLines(t, open(t, path), want...)
}

// A file that others may read is closed to them.
func TestInputsAreForOneUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	if err := os.WriteFile(path, []byte("\"one\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantLines(t, open(t, path), "one")
	wantMode(t, path)
}

func TestTwoChatsShareInputs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	a, b := open(t, path), open(t, path)
	add(a, "a1")
	add(b, "b1")
	add(a, "a2")
	wantLines(t, a, "a1", "a2")
	wantLines(t, open(t, path), "a1", "b1", "a2")
}

// However much is typed, the file gets short again, and others' lines stay in it.
func TestInputsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	in := open(t, path)
	for i := range 2*maxInputs + 1 {
		in.Add(fmt.Sprint(i))
	}
	if len(in.lines) != maxInputs {
		t.Errorf("%d lines are in memory", len(in.lines))
	}
	add(open(t, path), "last") // this makes the file short
	b, _ := os.ReadFile(path)
	if n := strings.Count(string(b), "\n"); n != maxInputs+1 || !strings.HasSuffix(string(b), "\"2000\"\n\"last\"\n") {
		t.Errorf("%d lines are in the file", n)
	}
	wantMode(t, path)
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("files are left over: %v", files)
	}
	// Few lines, that are long in the file.
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", maxInputsFile/8)+"\n\"one\"\n\"two\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantLines(t, open(t, path), "one", "two")
	if b, _ := os.ReadFile(path); string(b) != "\"one\"\n\"two\"\n" {
		t.Errorf("the file has %d bytes", len(b))
	}
}

// A link leads to the file, also when that is written anew.
func TestInputsBehindALink(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "inputs"), filepath.Join(dir, "real")
	if err := os.WriteFile(file, []byte(strings.Repeat("\"a\"\n\"b\"\n", maxInputs+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, path); err != nil {
		t.Skip(err)
	}
	open(t, path)
	if target, err := os.Readlink(path); err != nil || target != file {
		t.Errorf("the link is gone: %q, %v", target, err)
	}
	if b, _ := os.ReadFile(file); strings.Count(string(b), "\n") != maxInputs {
		t.Errorf("the file has %d lines", strings.Count(string(b), "\n"))
	}
}

func TestBrokenInputs(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"garbage":                   {"\"one\"\nnonsense\n\x00\xff\n{\"v\":2}\n[\"x\"]\n12\nnull\n\"\"\n\n\"two\"\n", []string{"one", "two"}},
		"a line that was cut off":   {"\"one\"\n\"tw", []string{"one"}},
		"a last line without end":   {"\"one\"\n\"two\"", []string{"one", "two"}},
		"a line without end":        {strings.Repeat("x", maxInputsFile-10), nil},
		"nothing but NUL":           {strings.Repeat("\x00", 4096), nil},
		"Windows' line ends":        {"\"one\"\r\n\"two\"\r\n", []string{"one", "two"}},
		"too long a line":           {"\"" + strings.Repeat("y", maxInput+1) + "\"\n\"one\"\n", []string{"one"}},
		"a ticket, of an older one": {"\"/join " + "qp1" + strings.Repeat("a", 40) + "\"\n\"one\"\n", []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "inputs")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			in := open(t, path)
			wantLines(t, in, c.want...)
			add(in, "next")
			wantLines(t, open(t, path), append(c.want, "next")...)
		})
	}
}

// A path that isn't a file, or can't be written, is an error; lines are kept in memory then.
func TestInputsThatCantBeKept(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"a folder": dir, "no folder": filepath.Join(dir, "none", "inputs"), "a device": os.DevNull} {
		in, err := OpenInputs(path)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		add(in, "one", "two")
		wantLines(t, in, "one", "two")
	}
	// A folder and a disk that fail later.
	path := filepath.Join(dir, "gone", "inputs")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	in := open(t, path)
	add(in, "one")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	add(in, "two")
	wantLines(t, in, "one", "two")
}

// On a full disk a line may be written in part: the next one is not lost with it.
func TestInputsOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "inputs")
	in := open(t, path)
	in.path = "/dev/full"
	add(in, "one")
	wantLines(t, in, "one")
	in.path = path
	if err := os.WriteFile(path, []byte("\"on"), 0o600); err != nil {
		t.Fatal(err)
	}
	add(in, "two")
	wantLines(t, in, "one", "two")
	wantLines(t, open(t, path), "two")
}

func TestTicketsAreNotKept(t *testing.T) {
	ticket := "qp1" + strings.Repeat("abc2d7", 20)
	path := filepath.Join(t.TempDir(), "inputs")
	in := open(t, path)
	add(in, ticket, "join with "+ticket+" please", strings.ToUpper(ticket), "x"+ticket, "_"+ticket, "你好"+ticket, "see quicpeer:"+ticket+".", ticket[:30], "qp1 "+ticket[3:], "two\n"+ticket[:10]+"\n"+ticket[10:],
		"qp1 is how qp1x begins "+ticket, "a qp1, short", "next")
	wantLines(t, in, "a qp1, short", "next")
	if b, _ := os.ReadFile(path); strings.Contains(strings.ToLower(string(b)), ticket[3:10]) {
		t.Errorf("a ticket is in the file: %s", b)
	}
}

func TestBrowse(t *testing.T) {
	in := open(t, "")
	add(in, "one", "two", "three")
	b := NewBrowse(in)
	var got []string
	step := func(s string, ok bool) { got = append(got, fmt.Sprint(s, " ", ok)) }
	step(b.Newer())
	step(b.Older("draft"))
	step(b.Older("three"))
	step(b.Newer())
	step(b.Newer())
	step(b.Newer())
	step(b.Older("three")) // which stands there already
	step(b.Older(""))
	step(b.Older(""))
	want := []string{" false", "three true", "two true", "three true", "draft true", " false", "two true", "one true", " false"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if b.AtDraft() {
		t.Error("a line from before is the draft")
	}
	b.Reset()
	if s, ok := b.Newer(); ok || !b.AtDraft() {
		t.Errorf("after a reset: %q, %v", s, ok)
	}
}

func TestSearch(t *testing.T) {
	in := open(t, "")
	add(in, "hello 你好", "help", "other", "hello again")
	// Each letter is typed, < takes one away, ^ looks for an older one, ! gives up, . takes it.
	for keys, want := range map[string]string{
		"hel.": "hello again", "hel^.": "help", "hel^^.": "hello 你好", "hel^^^.": "hello 你好", "help.": "help", "你好.": "hello 你好", "help<l.": "hello again", "hel^p<.": "hello again",
		"zzz.": "draft", "hel!": "draft", ".": "draft", "^^.": "draft", "helx<^.": "help", "helzz.": "draft",
	} {
		b := NewBrowse(in)
		b.Search("draft")
		got, ended := "", false
		for _, c := range Clusters(keys) {
			switch c {
			case "^":
				b.Search("")
			case "<":
				b.Narrow("")
			case ".":
				got, ended = b.Accept(), true
			case "!":
				got, ended = b.Abort(), true
			default:
				b.Narrow(c)
			}
			_, found, on := b.Searching()
			if on == ended {
				t.Errorf("%s: on is %v", keys, on)
			}
			if !ended && found != "" && !strings.Contains(found, b.needle) {
				t.Errorf("%s: %q is found for %q", keys, found, b.needle)
			}
		}
		if got != want {
			t.Errorf("%s: %q, not %q", keys, got, want)
		}
		if b.AtDraft() != (want == "draft") {
			t.Errorf("%s: at the draft is %v", keys, b.AtDraft())
		}
	}
}

// Any file is read without harm, and leaves one that is read again.
func FuzzInputs(f *testing.F) {
	f.Add([]byte("\"one\"\n\"two\\nlines\"\n"), "three")
	f.Add([]byte("\xff\x00\n\"\\ud800\"\n\"on"), "qp1aaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, file []byte, line string) {
		path := filepath.Join(t.TempDir(), "inputs")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		in := open(t, path)
		in.Add(line)
		if len(in.lines) > maxInputs {
			t.Errorf("%d lines", len(in.lines))
		}
		for _, kept := range in.lines {
			if strings.TrimSpace(kept) == "" || len(kept) > maxInput || holdsTicket(kept) {
				t.Errorf("%q is kept", kept)
			}
		}
		again := open(t, path)
		var want []string // as JSON has it, which has no invalid UTF-8
		for _, kept := range in.lines {
			b, _ := json.Marshal(kept)
			var s string
			_ = json.Unmarshal(b, &s)
			want = append(want, s)
		}
		if len(again.lines) > len(want) || len(want) > 0 && len(again.lines) == 0 {
			t.Errorf("read again: %q, not %q", again.lines, want)
		}
		b := NewBrowse(in)
		b.Search("")
		b.Narrow(line)
		b.Search("")
		b.Accept()
		for range 3 {
			b.Older(line)
		}
		for range 5 {
			b.Newer()
		}
	})
}
