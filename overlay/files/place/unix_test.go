//go:build unix

package place

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// moves are the ways of renaming without replacing.
var moves = map[string]func(from *os.File, name string, to *os.File, newName string, isDir bool) error{
	"the system's": moveNew,
	"reserving a directory, linking a file": func(from *os.File, name string, to *os.File, newName string, isDir bool) error {
		return moveReserved(int(from.Fd()), name, int(to.Fd()), newName, isDir)
	},
	"reserving files": func(from *os.File, name string, to *os.File, newName string, isDir bool) error {
		if isDir {
			return syscall.EEXIST
		}
		return moveOver(int(from.Fd()), name, int(to.Fd()), newName)
	},
}

// blocks returns how many bytes of the disk a file takes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(info.Sys().(*syscall.Stat_t).Blocks) * 512
}

// A part directory that was prepared is refused, and nothing is touched through it.
func TestPreparedPart(t *testing.T) {
	m, _ := build(t, map[string]string{"a": "new", "b/c": "new"})
	for name, prepare := range map[string]func(dir, part string) error{
		"a link": func(dir, part string) error { return os.Symlink(filepath.Join(dir, "victim"), part) },
		"a link within": func(dir, part string) error {
			return errors.Join(os.Mkdir(part, 0o700), os.Symlink(filepath.Join(dir, "victim/a"), filepath.Join(part, "a")))
		},
		"a link to a directory": func(dir, part string) error {
			return errors.Join(os.Mkdir(part, 0o700), os.Symlink(filepath.Join(dir, "victim"), filepath.Join(part, "b")))
		},
		"a link that is not in the manifest": func(dir, part string) error {
			return errors.Join(os.MkdirAll(filepath.Join(part, "b"), 0o700), os.Symlink("../../victim", filepath.Join(part, "b", "x")))
		},
		"a pipe": func(_, part string) error {
			return errors.Join(os.Mkdir(part, 0o700), syscall.Mkfifo(filepath.Join(part, "a"), 0o600))
		},
		"a file":         func(_, part string) error { return os.WriteFile(part, nil, 0o600) },
		"open to others": func(_, part string) error { return errors.Join(os.Mkdir(part, 0o700), os.Chmod(part, 0o722)) },
		"another user's": func(_, part string) error {
			if err := os.Mkdir(part, 0o700); err != nil {
				return err
			}
			if os.Geteuid() != 0 { // only root can give a directory away
				return os.Chmod(part, 0o777)
			}
			return os.Chown(part, 12345, -1)
		},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "victim", "a"), "old")
		if err := prepare(dir, filepath.Join(dir, part)); err != nil {
			t.Fatal(name, err)
		}
		p, err := Open(dir, part, m)
		var foreign *ForeignError
		if !errors.As(err, &foreign) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", name, err)
		}
		if p != nil {
			p.release()
		}
		if b, err := os.ReadFile(filepath.Join(dir, "victim", "a")); string(b) != "old" || err != nil {
			t.Errorf("%s: the victim is %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "/a", `a\b`} {
		if _, err := Open(t.TempDir(), name, m); err == nil {
			t.Errorf("%q is a name of a part directory", name)
		}
	}
}

// Links that appear between two calls are not followed.
func TestLinksMeanwhile(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "new a", "b/c": "new c", "b/d": "new d", "e/f": "new f"})
	for name, c := range map[string]struct {
		replace func(dir, part string) error
		files   []int // written after that, by where they begin in the stream
	}{
		"a file by a link":      {func(dir, part string) error { return os.Symlink(dir+"/victim/a", part+"/a") }, []int{0}},
		"a file by a hard link": {func(dir, part string) error { return os.Link(dir+"/victim/a", part+"/a") }, []int{0}},
		"a file by a link in the part": {func(_, part string) error {
			return errors.Join(os.Mkdir(part+"/x", 0o700), os.Symlink("x/y", part+"/a"))
		}, []int{0}},
		"a file by a pipe":              {func(_, part string) error { return syscall.Mkfifo(part+"/a", 0o600) }, []int{0}},
		"a file by a directory":         {func(_, part string) error { return os.Mkdir(part+"/a", 0o700) }, []int{0}},
		"a directory by a link":         {func(dir, part string) error { return os.Symlink(dir+"/victim", part+"/b") }, []int{5, 10}},
		"a directory by a link to ..":   {func(_, part string) error { return os.Symlink("..", part+"/b") }, []int{5, 10}},
		"a directory by one in there":   {func(_, part string) error { return errors.Join(os.Mkdir(part+"/e", 0o700), os.Symlink("e", part+"/b")) }, []int{5}},
		"a directory by a file":         {func(_, part string) error { return os.WriteFile(part+"/b", nil, 0o600) }, []int{5}},
		"a file by a larger one":        {func(_, part string) error { return os.WriteFile(part+"/a", []byte("larger"), 0o600) }, []int{0}},
		"a directory after it was used": {nil, []int{5}},
	} {
		dir := t.TempDir()
		for _, victim := range []string{"a", "c", "d"} {
			put(t, filepath.Join(dir, "victim", victim), "old")
		}
		p := mustOpen(t, dir, m)
		here := filepath.Join(dir, part)
		if c.replace == nil {
			write(t, p, stream, 5, 10)
			p.releaseFiles()
			if err := errors.Join(os.Rename(here+"/b", here+"/x"), os.Symlink("../victim", here+"/b")); err != nil {
				t.Fatal(err)
			}
		} else if err := c.replace(dir, here); err != nil {
			t.Fatal(name, err)
		}
		for _, at := range c.files {
			var foreign *ForeignError
			if err := p.WriteAt(stream[at:at+5], int64(at)); !errors.As(err, &foreign) {
				t.Errorf("%s: WriteAt: %v", name, err)
			}
			if err := p.ReadAt(make([]byte, 5), int64(at)); !errors.As(err, &foreign) {
				t.Errorf("%s: ReadAt: %v", name, err)
			}
		}
		if _, err := p.Finish(); err == nil {
			t.Errorf("%s: it is finished", name)
		}
		check(t, filepath.Join(dir, "victim"), map[string]string{"a": "old", "c": "old", "d": "old"})
	}
}

// The part directory itself is replaced while it is in use: what is open stays what it was.
func TestPartReplaced(t *testing.T) {
	m, stream := build(t, map[string]string{"a": "new a", "b/c": "new c"})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "victim", "a"), "old")
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, 5)
	here := filepath.Join(dir, part)
	if err := errors.Join(os.Rename(here, filepath.Join(dir, "away")), os.Symlink("victim", here)); err != nil {
		t.Fatal(err)
	}
	write(t, p, stream, 5, 10)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"victim/a": "old", "a": "new a", "b/c": "new c", "away/": ""})
}

// A peer's umask counts: what others may not read is not opened to them.
func TestUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	m, stream := build(t, map[string]string{"dir/run": "new"})
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	finish(t, p)
	for path, want := range map[string]fs.FileMode{"dir": fs.ModeDir | 0o700, "dir/run": 0o600} {
		info, err := os.Lstat(filepath.Join(dir, path))
		if err != nil || info.Mode() != want {
			t.Errorf("the mode of %s is %v, %v", path, info.Mode(), err)
		}
	}
}
