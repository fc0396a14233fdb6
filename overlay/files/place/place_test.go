package place

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay/files/manifest"
)

const part = ".quicpeer-part-0123456789abcdef"

var noon = time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)

// build returns the manifest of files, each with its content, and directories, which end with a
// slash; and its virtual stream.
func build(t testing.TB, files map[string]string) (*manifest.Manifest, []byte) {
	t.Helper()
	all := fstest.MapFS{}
	for path, content := range files {
		if dir, isDir := strings.CutSuffix(path, "/"); isDir {
			all[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o750, ModTime: noon}
		} else {
			all[path] = &fstest.MapFile{Data: []byte(content), Mode: 0o644, ModTime: noon}
		}
	}
	return buildFS(t, all)
}

func buildFS(t testing.TB, all fs.FS) (*manifest.Manifest, []byte) {
	t.Helper()
	tops, err := fs.ReadDir(all, ".")
	if err != nil {
		t.Fatal(err)
	}
	var roots []manifest.Root
	for _, top := range tops {
		roots = append(roots, manifest.Root{FS: all, Name: top.Name()})
	}
	m, skipped, err := manifest.Build(context.Background(), roots)
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	var stream []byte
	for i := range m.Len() {
		e := m.Entry(i)
		if e.Dir {
			continue
		}
		b, err := fs.ReadFile(all, e.Path)
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, b...)
	}
	return m, stream
}

func mustOpen(t testing.TB, dir string, m *manifest.Manifest) *Place {
	t.Helper()
	p, err := Open(dir, part, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.release() })
	return p
}

func write(t testing.TB, p *Place, stream []byte, from, to int) {
	t.Helper()
	if err := p.WriteAt(stream[from:to], int64(from)); err != nil {
		t.Fatal(err)
	}
}

func finish(t testing.TB, p *Place) []string {
	t.Helper()
	paths, err := p.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	return paths
}

// check compares what is in a directory: the contents of files, "/" for directories.
func check(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if d.IsDir() {
			got[path+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		got[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range want {
		if other, there := got[path]; !there || other != content {
			t.Errorf("%s has %d bytes that are not those wanted, or is missing", path, len(other))
		}
	}
	for path := range want {
		for d := filepath.Dir(path); d != "."; d = filepath.Dir(d) {
			delete(got, d+"/")
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%s is there", path)
	}
}

var tree = map[string]string{
	"report.pdf":        strings.Repeat("report", 1000),
	"photos/":           "",
	"photos/a.jpg":      strings.Repeat("a", 70000),
	"photos/b/c/d.jpg":  "d",
	"photos/b/e.jpg":    strings.Repeat("e", 100),
	"photos/b/none":     "",
	"photos/empty/":     "",
	"photos/z/y/x.jpg":  strings.Repeat("xyz", 50000),
	"none":              "",
	"empty/":            "",
	"zz/last directory": "last",
}

func TestWholeTransfer(t *testing.T) {
	m, stream := build(t, tree)
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	b := make([]byte, len(stream))
	if err := p.ReadAt(b, 0); err != nil || !bytes.Equal(b, stream) {
		t.Errorf("ReadAt: %v", err)
	}
	if err := p.Sync(); err != nil {
		t.Error(err)
	}
	var want []string
	for _, top := range []string{"empty", "none", "photos", "report.pdf", "zz"} {
		want = append(want, filepath.Join(dir, top))
	}
	if paths := finish(t, p); !slices.Equal(paths, want) {
		t.Errorf("the paths are %q", paths)
	}
	check(t, dir, tree)
}

// Parts come in any order, and the process is killed at any time: what was written is read again.
func TestRandomWritesAndKills(t *testing.T) {
	m, stream := build(t, tree)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		p := mustOpen(t, dir, m)
		const chunk = 4096
		chunks := r.Perm((len(stream) + chunk - 1) / chunk)
		for k, i := range chunks {
			write(t, p, stream, i*chunk, min(len(stream), (i+1)*chunk))
			if r.IntN(10) == 0 {
				p = mustOpen(t, dir, m) // the one before is gone without a word
				for _, i := range chunks[:k+1] {
					b := make([]byte, min(len(stream), (i+1)*chunk)-i*chunk)
					if err := p.ReadAt(b, int64(i*chunk)); err != nil || !bytes.Equal(b, stream[i*chunk:i*chunk+len(b)]) {
						t.Fatalf("seed %d: chunk %d: %v", seed, i, err)
					}
				}
			}
			if r.IntN(10) == 0 {
				if err := p.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		finish(t, p)
		check(t, dir, tree)
	}
}

// Sync runs together with WriteAt, and after the last one nothing is left to be synced.
func TestSyncAtTheSameTime(t *testing.T) {
	m, stream := build(t, tree)
	p := mustOpen(t, t.TempDir(), m)
	done, synced := make(chan bool), make(chan error)
	go func() {
		var err error
		for last := false; err == nil && !last; {
			select {
			case <-done:
				last = true
			default:
			}
			err = p.Sync()
		}
		synced <- err
	}()
	for at := 0; at < len(stream); at += 1000 {
		write(t, p, stream, at, min(len(stream), at+1000))
	}
	close(done)
	if err := <-synced; err != nil {
		t.Error(err)
	}
	if u := p.unsynced; u.all || len(u.files) > 0 || len(u.dirs) > 0 {
		t.Errorf("%+v is not synced", u)
	}
}

// A file that was touched stays unsynced after an error, until a Sync without one.
func TestSyncAgain(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "content"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	path := filepath.Join(dir, part, "a")
	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is missing: %v", err)
	}
	if err := p.Sync(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is still missing: %v", err)
	}
	if err := os.Rename(path+"-away", path); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(); err != nil {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "12345", "b": "6789", "dir/c": "0"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	b := make([]byte, 1)
	for _, at := range []int64{0, 5, 9} {
		if err := p.ReadAt(b, at); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing was written at %d: %v", at, err)
		}
	}
	write(t, p, stream, 0, 3)
	if err := p.ReadAt(b, 4); err != nil || b[0] != 0 {
		t.Errorf("what was not written is %q, %v", b, err)
	}
	write(t, p, stream, 5, len(stream))
	if _, err := p.Finish(); err == nil || !strings.Contains(err.Error(), "3 bytes instead of 5") || p.Finishing() {
		t.Errorf("half a file: %v", err)
	}
	for _, at := range []int64{-1, 10, 1 << 62} {
		if err := p.WriteAt(b, at); err == nil {
			t.Errorf("there is something at %d", at)
		}
		if err := p.ReadAt(b, at); err == nil {
			t.Errorf("there is something at %d", at)
		}
	}
	write(t, p, stream, 0, len(stream))
	if err := os.Remove(filepath.Join(dir, part, "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is missing: %v", err)
	}
}

func TestRemove(t *testing.T) {
	m, stream := build(t, tree)
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := p.Remove(); err != nil {
		t.Error(err)
	}
	check(t, dir, nil)
}

// Close leaves the parts.
func TestClose(t *testing.T) {
	m, stream := build(t, tree)
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	finish(t, mustOpen(t, dir, m))
	check(t, dir, tree)
}

func TestModesAndTimes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no modes")
	}
	evening := noon.Add(6*time.Hour + 123456789)
	early := time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)
	all := fstest.MapFS{
		"dir":          {Mode: fs.ModeDir | 0o500, ModTime: evening},
		"dir/run":      {Data: []byte("x"), Mode: fs.ModeSetuid | 0o4777, ModTime: noon},
		"dir/none":     {Mode: 0, ModTime: evening},
		"dir/open":     {Mode: fs.ModeDir | fs.ModeSticky | 0o777, ModTime: noon},
		"dir/open/old": {Data: []byte("y"), Mode: 0o444, ModTime: early},
		"timeless":     {Data: []byte("z"), Mode: 0o640},
	}
	m, stream := buildFS(t, all)
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	began := time.Now()
	finish(t, p)
	for path, want := range map[string]struct {
		mode fs.FileMode
		time time.Time
	}{
		"dir": {0o700, evening}, "dir/run": {0o755, noon}, "dir/none": {0o600, evening},
		"dir/open": {0o755, noon}, "dir/open/old": {0o644, early}, "timeless": {0o640, began},
	} {
		info, err := os.Lstat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode() &^ fs.ModeDir; got != want.mode {
			t.Errorf("the mode of %s is %v, not %v", path, got, want.mode)
		}
		if d := info.ModTime().Sub(want.time).Abs(); d > time.Second && path != "timeless" || d > time.Hour {
			t.Errorf("the time of %s is %v, not %v", path, info.ModTime(), want.time)
		}
	}
}

// 64 KiB of zeros take no room, wherever they are, and are read as zeros.
func TestSparse(t *testing.T) {
	const size = 8 << 20
	content := make([]byte, size)
	copy(content, "beginning")
	copy(content[size/2+5:], "middle")
	m, stream := build(t, map[string]string{"sparse": string(content), "zeros": string(make([]byte, size)), "short": "\x00\x00"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	for at := 0; at < len(stream); at += 1 << 20 {
		write(t, p, stream, at, min(len(stream), at+1<<20))
	}
	b := make([]byte, len(stream))
	if err := p.ReadAt(b, 0); err != nil || !bytes.Equal(b, stream) {
		t.Errorf("ReadAt: %v", err)
	}
	finish(t, p)
	check(t, dir, map[string]string{"sparse": string(content), "zeros": string(make([]byte, size)), "short": "\x00\x00"})
	if n := blocks(t, filepath.Join(dir, "zeros")); n > 0 {
		t.Errorf("a file of zeros takes %d bytes", n)
	}
	if n := blocks(t, filepath.Join(dir, "sparse")); n > 256<<10 {
		t.Errorf("a sparse file takes %d bytes", n)
	}
}

// Zeros replace what was there, as after a power cut.
func TestZerosOverGarbage(t *testing.T) {
	m, stream := build(t, map[string]string{"zeros": string(make([]byte, 1<<20))})
	p := mustOpen(t, t.TempDir(), m)
	if err := p.WriteAt([]byte("garbage"), 500000); err != nil {
		t.Fatal(err)
	}
	write(t, p, stream, 0, len(stream))
	b := make([]byte, len(stream))
	if err := p.ReadAt(b, 0); err != nil || !bytes.Equal(b, stream) {
		t.Errorf("ReadAt: %v", err)
	}
}

func TestFree(t *testing.T) {
	n, err := Free(t.TempDir())
	if err != nil || n <= 0 {
		t.Errorf("%d bytes are free, %v", n, err)
	}
	if _, err := Free(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, c := range []struct {
		blocks, unit uint64
		want         int64
	}{{0, 4096, 0}, {3, 4096, 12288}, {1 << 52, 4096, 1<<63 - 1}, {1 << 63, 2, 1<<63 - 1}} {
		if got := bytesOf(c.blocks, c.unit); got != c.want {
			t.Errorf("%d blocks of %d bytes are %d", c.blocks, c.unit, got)
		}
	}
	if IsFull(nil) || IsFull(fs.ErrNotExist) {
		t.Error("a disk is full for no reason")
	}
}

// What another process has written and not synced is synced with what follows it.
func TestTouch(t *testing.T) {
	m, _ := build(t, map[string]string{"a": "12345", "b/c/d": "12345", "e": "12345"})
	p := mustOpen(t, t.TempDir(), m)
	p.Touch(5, 5)
	if u := p.unsynced; len(u.files) != 1 || !u.files[3] || len(u.dirs) != 3 || !u.dirs["b/c"] || !u.dirs["b"] || !u.dirs[""] {
		t.Errorf("%+v", u)
	}
	p.Touch(0, 15)
	if u := p.unsynced; len(u.files) != 3 {
		t.Errorf("%+v", u)
	}
}
