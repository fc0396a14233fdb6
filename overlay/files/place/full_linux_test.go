package place

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mount mounts a file system in memory.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves so many pages of a disk free, and returns the file that takes the others.
func fill(t *testing.T, dir string, pages int) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, os.Getpagesize())
	size := int64(0)
	for ; err == nil; size += int64(len(page)) {
		_, err = f.Write(page)
	}
	if !IsFull(err) {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size-int64((pages+1)*len(page))), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// A full disk is an error that says so, and once it has room all goes on.
func TestFullDisk(t *testing.T) {
	dir := mount(t, "size=1m,huge=never")
	m, stream := build(t, map[string]string{"a": strings.Repeat("a", 100_000), "b/c": strings.Repeat("c", 300_000), "d": ""})
	filler := fill(t, dir, 30)
	p, at := mustOpen(t, dir, m), 0
	var err error
	for ; err == nil; at += 10_000 {
		err = p.WriteAt(stream[at:at+10_000], int64(at))
	}
	at -= 10_000
	if !IsFull(err) || at < 60_000 || at > 120_000 {
		t.Fatalf("at %d: %v", at, err)
	}
	if err := p.Sync(); err != nil {
		t.Error(err)
	}
	b := make([]byte, at)
	if err := p.ReadAt(b, 0); err != nil || !bytes.Equal(b, stream[:at]) {
		t.Errorf("what was written before: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	write(t, p, stream, at, len(stream))
	filler = fill(t, dir, 0)
	for range 2 {
		if _, err := p.Finish(); !IsFull(err) || p.Finishing() {
			t.Errorf("Finish on a full disk: %v", err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	finish(t, p)
	check(t, dir, map[string]string{"a": strings.Repeat("a", 100_000), "b/c": strings.Repeat("c", 300_000), "d": ""})
}

// A disk can also have no room for names.
func TestNoInodes(t *testing.T) {
	m, stream := build(t, map[string]string{"a/b/c": "1", "d": "2", "e": ""})
	failed := map[string]bool{}
	for inodes := 2; inodes < 10; inodes++ {
		dir := mount(t, fmt.Sprintf("nr_inodes=%d", inodes))
		where := ""
		p, err := Open(dir, part, m)
		if err != nil {
			where = "Open"
		} else if err = p.WriteAt(stream, 0); err != nil {
			where = "WriteAt"
		} else if _, err = p.Finish(); err != nil {
			where = "Finish"
		}
		if p != nil {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if err != nil && !IsFull(err) {
			t.Errorf("with %d inodes %s: %v", inodes, where, err)
		}
		failed[where] = true
	}
	for _, where := range []string{"Open", "WriteAt", "Finish", ""} {
		if !failed[where] {
			t.Errorf("no number of inodes makes %q fail", where)
		}
	}
}

// Where case makes no difference, a name that differs in case alone is taken.
func TestTakenInAnotherCase(t *testing.T) {
	dir := mount(t, "casefold")
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const casefold = 0x40000000 // FS_CASEFOLD_FL
	err = unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, casefold)
	d.Close()
	if err != nil {
		t.Skipf("no directory without case can be made here: %v", err)
	}
	m, stream := build(t, map[string]string{"Report.PDF": "new", "Photos/x": "new", "new": "new"})
	put(t, filepath.Join(dir, "report.pdf"), "old")
	put(t, filepath.Join(dir, "PHOTOS", "y"), "old")
	p := mustOpen(t, dir, m)
	write(t, p, stream, 0, len(stream))
	if err := errors.Join(p.complete(), p.chooseNames(m.Tops())); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "NEW"), "old")
	finish(t, p)
	check(t, dir, map[string]string{"report.pdf": "old", "PHOTOS/y": "old", "NEW": "old", "Report (2).PDF": "new", "Photos (2)/x": "new", "new (2)": "new"})
	if _, err := os.Lstat(filepath.Join(dir, part)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
