package place

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Nothing that is there is overwritten or added to, whatever it is.
func TestNamesThatAreTaken(t *testing.T) {
	files := map[string]string{"a.txt": "new", "b (2)": "other", "b": "new", "dir.d/x": "new", "link": "new", "file/x": "new", "dir": "new", ".rc": "new", "x.tar.gz": "new"}
	m, stream := build(t, files)
	dir := t.TempDir()
	before := map[string]string{"a.txt": "old", "a (2).txt": "older", "b": "old", "dir.d/y": "old", "target": "old", "file": "old", "dir/z": "old", ".rc": "old", "x.tar.gz": "old"}
	for path, content := range before {
		put(t, filepath.Join(dir, path), content)
	}
	for link, to := range map[string]string{"link": "target", "a (3).txt": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	var got []string
	for _, path := range finish(t, p) {
		got = append(got, filepath.Base(path))
	}
	want := []string{".rc (2)", "a (4).txt", "b (3)", "b (2)", "dir (2)", "dir.d (2)", "file (2)", "link (2)", "x (2).tar.gz"}
	if !slices.Equal(got, want) {
		t.Errorf("the names are %q", got)
	}
	for _, link := range []string{"link", "a (3).txt"} {
		if err := os.Remove(filepath.Join(dir, link)); err != nil {
			t.Error(err)
		}
	}
	after := map[string]string{"a (4).txt": "new", "b (3)": "new", "b (2)": "other", "dir (2)": "new", "dir.d (2)/x": "new", "file (2)/x": "new", "link (2)": "new", ".rc (2)": "new", "x (2).tar.gz": "new"}
	maps.Copy(after, before)
	check(t, dir, after)
}

func TestNumbered(t *testing.T) {
	long := strings.Repeat("ä", 127)
	for _, c := range []struct {
		name  string
		isDir bool
		want  string
	}{
		{"a", false, "a (2)"}, {"a.b.c", false, "a.b (2).c"}, {"a.b", true, "a.b (2)"}, {".a", false, ".a (2)"}, {".a.b", false, ".a (2).b"},
		{"a.tar.xz", false, "a (2).tar.xz"}, {".tar.xz", false, ".tar.xz (2)"}, {"a.b c." + strings.Repeat("d", 40), false, "a.b c." + strings.Repeat("d", 40) + " (2)"},
		{long, false, strings.Repeat("ä", 125) + " (2)"}, {long[:248] + ".jpeg", false, strings.Repeat("ä", 123) + " (2).jpeg"},
	} {
		got := numbered(c.name, 2, c.isDir)
		if got != c.want || len(got) > 255 || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q, not %q", c.name, got, c.want)
		}
	}
}

func TestTooManyCopies(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "new"})
	dir := t.TempDir()
	for k := range maxCopies {
		put(t, filepath.Join(dir, numbered("a", k+1, false)), "old")
	}
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if _, err := p.Finish(); err == nil || !strings.Contains(err.Error(), "move some away") {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "a (7)")); err != nil {
		t.Fatal(err)
	}
	if paths := finish(t, p); !slices.Equal(paths, []string{filepath.Join(dir, "a (7)")}) {
		t.Errorf("the paths are %q", paths)
	}
}

// Something appears under a name that was chosen, and free, a moment before.
func TestNameTakenMeanwhile(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "new", "b/c": "new", "d/e": "new", "f": "new"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := p.complete(); err != nil {
		t.Fatal(err)
	}
	p.releaseFiles()
	if err := p.chooseNames(m.Tops()); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{"a": "", "b/": "", "d": "old", "f/g": "old"}
	for path, content := range before {
		if d, isDir := strings.CutSuffix(path, "/"); !isDir {
			put(t, filepath.Join(dir, path), content)
		} else if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, p)
	after := map[string]string{"a (2)": "new", "b (2)/c": "new", "d (2)/e": "new", "f (2)": "new"}
	maps.Copy(after, before)
	check(t, dir, after)
}

// A crash at any step of Finish, and Finish again, gives each entry one name. A step is one call
// of the system that changes something under a name.
func TestFinishAgain(t *testing.T) {
	files := map[string]string{"a": "1", "b/c": "2", "d": "", "e.txt": "3", "f/": ""}
	m, stream := build(t, files)
	for moved := range 6 {
		for _, cut := range []int{0, 3} {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "e.txt"), "old")
			p := mustOpen(t, dir, m)
			write(t, p, stream, 0, len(stream))
			if err := p.complete(); err != nil {
				t.Fatal(err)
			}
			p.releaseFiles()
			if err := p.chooseNames(m.Tops()); err != nil {
				t.Fatal(err)
			}
			for _, top := range m.Tops()[:min(moved, 5)] {
				if err := p.move(top); err != nil {
					t.Fatal(err)
				}
			}
			p.release()
			if moved == 0 { // a line is not whole, or all zeros; then nothing was renamed
				path := filepath.Join(dir, part, namesFile)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(b[:len(b)-cut], make([]byte, cut)...), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p = mustOpen(t, dir, m)
			if !p.Finishing() {
				t.Errorf("after %d moves, Finish has not begun", moved)
			}
			want := []string{"a", "b", "d", "e (2).txt", "f"}
			for range 2 {
				paths, err := p.Finish()
				if err != nil {
					t.Fatal(err)
				}
				p.release()
				p = mustOpen(t, dir, m)
				for i, path := range paths {
					if path != filepath.Join(dir, want[i]) {
						t.Errorf("after %d moves the paths are %q", moved, paths)
					}
				}
			}
			finish(t, p)
			check(t, dir, map[string]string{"a": "1", "b/c": "2", "d": "", "e.txt": "old", "e (2).txt": "3", "f/": ""})
		}
	}
}

// A crash can leave both names of a file, where renaming is linking and removing.
func TestFinishAfterLink(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "1"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := p.complete(); err != nil {
		t.Fatal(err)
	}
	if err := p.chooseNames(m.Tops()); err != nil {
		t.Fatal(err)
	}
	p.release()
	if err := os.Link(filepath.Join(dir, part, "a"), filepath.Join(dir, "a")); err != nil {
		t.Skip(err)
	}
	if paths := finish(t, mustOpen(t, dir, m)); !slices.Equal(paths, []string{filepath.Join(dir, "a")}) {
		t.Errorf("the paths are %q", paths)
	}
	check(t, dir, map[string]string{"a": "1"})
}

// Remove in the middle of Finish leaves what has its name.
func TestRemoveInFinish(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "1", "b": "2"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := errors.Join(p.complete(), p.chooseNames(m.Tops()), p.move("a")); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"a": "1"})
}

// What the file of names says can't lead out of the directory.
func TestHostileNames(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "1", "b": "2"})
	outer := t.TempDir()
	dir := filepath.Join(outer, "dir")
	put(t, filepath.Join(dir, part, namesFile), "\"a\" \"../a\"\n\"b\" \"x/b\"\nnonsense\n\"c\" \"c\"\n\"a\"\n")
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	finish(t, p)
	check(t, outer, map[string]string{"dir/a": "1", "dir/b": "2"})
}

// Each way of renaming without replacing, by itself.
func TestMoveNew(t *testing.T) {
	for way, move := range moves {
		dir := t.TempDir()
		for _, d := range []string{"from", "to"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		open := func(name string) *os.File {
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		from, to := open("from"), open("to")
		put(t, filepath.Join(dir, "from/file"), "new")
		put(t, filepath.Join(dir, "from/dir/x"), "new")
		for taken, content := range map[string]string{"file": "", "full": "old", "dir/y": "old"} {
			put(t, filepath.Join(dir, "to", taken), content)
		}
		if err := os.Mkdir(filepath.Join(dir, "to/empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" {
			if err := os.Symlink("nowhere", filepath.Join(dir, "to/link")); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"file", "full", "dir", "empty", "link"} {
			if name == "link" && runtime.GOOS == "windows" {
				continue
			}
			for _, isDir := range []bool{false, true} {
				what := map[bool]string{false: "file", true: "dir"}[isDir]
				if err := move(from, what, to, name, isDir); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s: %s is moved to %s: %v", way, what, name, err)
				}
			}
		}
		if err := move(from, "file", to, "new file", false); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if err := move(from, "dir", to, "new dir", true); err != nil && !strings.HasSuffix(way, "files") {
			t.Errorf("%s: %v", way, err)
		} else if err != nil {
			put(t, filepath.Join(dir, "to/new dir/x"), "new")
			if err := os.RemoveAll(filepath.Join(dir, "from/dir")); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "to/link")); err != nil && runtime.GOOS != "windows" {
			t.Error(err)
		}
		check(t, dir, map[string]string{"from/": "", "to/new file": "new", "to/new dir/x": "new", "to/file": "", "to/full": "old", "to/dir/y": "old", "to/empty/": ""})
	}
}
