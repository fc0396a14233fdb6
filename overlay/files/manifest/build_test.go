package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func paths(m *Manifest) (list []string) {
	for i := range m.Len() {
		e := m.Entry(i)
		if e.Dir {
			e.Path += "/"
		}
		list = append(list, e.Path)
	}
	return list
}

func mapFile(content string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(content), Mode: 0o640, ModTime: noon}
}

func TestBuild(t *testing.T) {
	one := fstest.MapFS{
		"home/photos/b/c.jpg": mapFile("123"), "home/photos/a": mapFile(""), "home/photos/b c": mapFile("4"), "home/photos/b-c": mapFile("5"),
		"home/photos": {Mode: fs.ModeDir | 0o750, ModTime: noon}, "home/other": mapFile("not sent"),
	}
	two := fstest.MapFS{"x": mapFile("12"), "y/z": mapFile("3")}
	m, skipped, err := Build(context.Background(), []Root{{FS: two, Name: "x"}, {FS: one, Name: "home/photos"}, {FS: two, Name: ".", As: "all"}, {FS: one, Name: "home/photos/a", As: "b"}})
	if err != nil || len(skipped) > 0 {
		t.Fatal(skipped, err)
	}
	want := []string{"all/", "all/x", "all/y/", "all/y/z", "b", "photos/", "photos/a", "photos/b/", "photos/b/c.jpg", "photos/b c", "photos/b-c", "x"}
	if got := paths(m); !slices.Equal(got, want) {
		t.Errorf("the entries are %q", got)
	}
	if m.Size() != 10 {
		t.Errorf("%d bytes", m.Size())
	}
	e := m.Entry(5)
	if e.Mode != 0o750 || !e.ModTime.Equal(noon) || m.Entry(6).Mode != 0o640 {
		t.Errorf("%+v", e)
	}
	for i, source := range map[int]string{0: "2 .", 1: "2 x", 3: "2 y/z", 4: "3 home/photos/a", 5: "1 home/photos", 8: "1 home/photos/b/c.jpg", 11: "0 x"} {
		root, name := m.Source(i)
		if got := fmt.Sprint(root, " ", name); got != source {
			t.Errorf("%q comes from %s, not %s", m.Entry(i).Path, got, source)
		}
	}
	again, err := Decode(m.Encode())
	if err != nil || again.Hash() != m.Hash() {
		t.Errorf("decoded: %v", err)
	}
}

// The order is that of fs.WalkDir.
func TestOrder(t *testing.T) {
	all := fstest.MapFS{}
	for _, path := range []string{"top/b", "top/b!", "top/b/c", "top/b0", "top/ä", "top/B/x", "top/b b/c", "top/é/é"} {
		if !strings.HasSuffix(path, "/b") {
			all[path] = mapFile(path)
		}
	}
	var want []string
	err := fs.WalkDir(all, "top", func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			path += "/"
		}
		want = append(want, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(all, "top/B/x")
	want = slices.DeleteFunc(want, func(p string) bool { return strings.HasPrefix(p, "top/B") })
	m, skipped, err := Build(context.Background(), []Root{{FS: all, Name: "top"}})
	if err != nil || len(skipped) > 0 {
		t.Fatal(skipped, err)
	}
	if got := paths(m); !slices.Equal(got, want) {
		t.Errorf("the order is %q, not %q", got, want)
	}
}

// Names that other systems can't store are left out and said; those of another normal form are not.
func TestSkippedNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such names do not exist here")
	}
	all := fstest.MapFS{
		"top/a:b": mapFile("1"), "top/con": mapFile("2"), "top/x\n": mapFile("3"), "top/README": mapFile("4"), "top/readme": mapFile("55"),
		"top/bad./inside": mapFile("6"), "top/good": mapFile("7"), "top/.quicpeer-part-1/x": mapFile("8"), "top/cafe\u0301/x": mapFile("9"), "top/cafz": mapFile("0"),
		"top/\xff": mapFile("1"), "top/" + strings.Repeat("d/", 98) + "e/f": mapFile("2"), "top/s": {Mode: fs.ModeSymlink, Data: []byte("good")},
	}
	m, skipped, err := Build(context.Background(), []Root{{FS: named{all}, Name: "top"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range skipped {
		got[s.Path] = s.Why
	}
	deep := "top/" + strings.Repeat("d/", 98) + "e/f"
	for path, why := range map[string]string{
		"top/a:b": "contains :", "top/con": "device", "top/x\n": "invisible", "top/readme": `"README"`, "top/bad.": "dot", "top/.quicpeer-part-1": "reserved",
		"top/\xff": "UTF-8", deep: "levels", "top/s": "symbolic link",
	} {
		if !strings.Contains(got[path], why) {
			t.Errorf("%q: %q, without %q", path, got[path], why)
		}
		delete(got, path)
	}
	if len(got) > 0 {
		t.Errorf("skipped as well: %q", got)
	}
	list := paths(m)
	for _, path := range []string{"top/README", "top/caf\u00e9/", "top/caf\u00e9/x", "top/cafz", "top/good"} {
		i := slices.Index(list, path)
		if i < 0 {
			t.Fatalf("%q is not in %q", path, list)
		}
		_, name := m.Source(i)
		if want := strings.TrimSuffix(strings.ReplaceAll(path, "\u00e9", "e\u0301"), "/"); name != want {
			t.Errorf("%q comes from %q", path, name)
		}
	}
}

// named opens names that fs.ValidPath refuses, as os.DirFS does on Unix.
type named struct{ fstest.MapFS }

func TestNamedDirectly(t *testing.T) {
	all := fstest.MapFS{"a:b": mapFile("1"), "link": {Mode: fs.ModeSymlink, Data: []byte("a")}, "A": mapFile("1"), "a": mapFile("1"), "pipe": {Mode: fs.ModeNamedPipe}, "device": {Mode: fs.ModeDevice}, "socket": {Mode: fs.ModeSocket}, "odd": {Mode: fs.ModeIrregular}}
	for name, c := range map[string]struct {
		roots []Root
		want  string
	}{
		"nothing":     {nil, "nothing to send"},
		"a bad name":  {[]Root{{FS: all, Name: "a"}, {FS: all, Name: "a:b"}}, `"a:b"`},
		"a bad title": {[]Root{{FS: all, Name: "a", As: "x/y"}}, "slash"},
		"no title":    {[]Root{{FS: all, Name: "."}}, `"."`},
		"a link":      {[]Root{{FS: all, Name: "link"}}, "symbolic link"},
		"a pipe":      {[]Root{{FS: all, Name: "pipe"}}, "pipe"},
		"a socket":    {[]Root{{FS: all, Name: "socket"}}, "socket"},
		"a device":    {[]Root{{FS: all, Name: "device"}}, "device"},
		"odd":         {[]Root{{FS: all, Name: "odd"}}, "regular"},
		"twice":       {[]Root{{FS: all, Name: "a"}, {FS: all, Name: "a"}}, "another name"},
		"case":        {[]Root{{FS: all, Name: "a"}, {FS: all, Name: "A"}}, `"A"`},
		"missing":     {[]Root{{FS: all, Name: "missing"}}, "not exist"},
	} {
		_, _, err := Build(context.Background(), c.roots)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, without %q", name, err, c.want)
		}
	}
}

// On disk, links are not followed, and what can't be read is said.
func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	top := filepath.Join(dir, "top")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(top, "inside", "empty"), 0o755), os.WriteFile(filepath.Join(top, "inside", "file"), []byte("content"), 0o751),
		os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600),
		os.Symlink("../secret", filepath.Join(top, "link")), os.Symlink("..", filepath.Join(top, "up")), os.Symlink("nowhere", filepath.Join(top, "broken")),
		os.Mkdir(filepath.Join(top, "closed"), 0), os.WriteFile(filepath.Join(top, "locked"), nil, 0),
	} {
		if err != nil {
			t.Skip(err)
		}
	}
	m, skipped, err := Build(context.Background(), []Root{{FS: os.DirFS(dir), Name: "top"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range skipped {
		got[s.Path] = s.Why
	}
	want := map[string]string{"top/link": "symbolic link", "top/up": "symbolic link", "top/broken": "symbolic link"}
	entries := []string{"top/", "top/inside/", "top/inside/empty/", "top/inside/file"}
	if _, err := os.ReadFile(filepath.Join(top, "locked")); err == nil { // root may read all
		entries = []string{"top/", "top/closed/", "top/inside/", "top/inside/empty/", "top/inside/file", "top/locked"}
	} else {
		want["top/closed"], want["top/locked"] = "can't be read", "can't be read"
	}
	for path, why := range want {
		if !strings.Contains(got[path], why) {
			t.Errorf("%q: %q, without %q", path, got[path], why)
		}
	}
	if list := paths(m); len(got) != len(want) || !slices.Equal(list, entries) {
		t.Errorf("the entries are %q, skipped %q", list, got)
	}
	i, _ := m.Find("top/inside/file")
	info, err := os.Stat(filepath.Join(top, "inside", "file"))
	if err != nil {
		t.Fatal(err)
	}
	if e := m.Entry(i); e.Size != 7 || e.Mode != info.Mode().Perm() || !e.ModTime.Equal(info.ModTime()) || runtime.GOOS != "windows" && e.Inode == 0 {
		t.Errorf("%+v", e)
	}
}

func TestTooMuch(t *testing.T) {
	all := fstest.MapFS{}
	for i := range MaxEntries {
		all[fmt.Sprintf("top/%02d/%06d", i/10_000, i)] = &fstest.MapFile{}
		if i == 100_000-1 {
			if m, _, err := Build(context.Background(), []Root{{FS: all, Name: "top"}}); err != nil || m.Len() != 100_011 {
				t.Errorf("100,000 files: %v", err)
			}
		}
	}
	if _, _, err := Build(context.Background(), []Root{{FS: all, Name: "top"}}); err == nil || !strings.Contains(err.Error(), "archive") {
		t.Errorf("too many entries: %v", err)
	}
	all = fstest.MapFS{}
	for i := range MaxEncoded / 200 / 15 {
		all[fmt.Sprintf("top/%s%06d", strings.Repeat(strings.Repeat("a", 200)+"/", 15), i)] = &fstest.MapFile{}
	}
	if _, _, err := Build(context.Background(), []Root{{FS: all, Name: "top"}}); err == nil || !strings.Contains(err.Error(), "MiB") {
		t.Errorf("too long names: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Build(ctx, []Root{{FS: all, Name: "top"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// BenchmarkBuild lists 100,000 files of 1000 directories, and decodes that; it reports what the
// manifest takes, and the most that is taken on the way.
func BenchmarkBuild(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		sub := filepath.Join(dir, "top", fmt.Sprintf("directory-%03d", i))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			b.Fatal(err)
		}
		for k := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("Photo of 2024-05-06 %03d.jpg", k)), nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	var m *Manifest
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			before := live()
			var err error
			if m, _, err = Build(context.Background(), []Root{{FS: os.DirFS(dir), Name: "top"}}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(live()-before)/(1<<20), "MiB/manifest")
		}
		b.ReportMetric(float64(m.Len()), "entries")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(m.Encode()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("spans", func(b *testing.B) {
		for b.Loop() {
			for range m.Spans(m.Size()/2, 1<<20) {
				b.Fatal("all files are empty")
			}
		}
	})
}

func live() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
