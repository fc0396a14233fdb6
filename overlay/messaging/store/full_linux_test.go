package store

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// fullDisk mounts a file system of so many bytes.
func fullDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that gets full loses nothing that was safe, and the writes that it refuses are
// reported as refused.
func TestFullDisk(t *testing.T) {
	dir := fullDisk(t, "1m")
	s, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for ; ; written++ {
		if written > 1000 {
			t.Fatal("the disk doesn't get full")
		}
		err = await(func(done func(error)) {
			s.Write(done, op(Unsettled, "last", strings.Repeat("n", written)), op(Custody, strings.Repeat("k", written+1), strings.Repeat("x", 10000)))
		})
		if err != nil {
			break
		}
		note(t, s, key(1), shown(1, uint64(written)))
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Write: %v", err)
	}
	if got := await(func(done func(error)) { noteIn(s, key(1), shown(2, 0), done) }); !errors.Is(got, err) {
		t.Errorf("Note: %v", got)
	}
	if got := s.Close(); !errors.Is(got, err) {
		t.Errorf("Close: %v", got)
	}
	// The log has to be folded, for which the disk has no room either.
	if s, err := open(dir, HistoryConfig{}, nil, fewSlots); err == nil {
		s.Close()
	} else if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("open: %v", err)
	}
	roomy := t.TempDir()
	imageOf(t, dir).put(t, roomy)
	s = mustOpen(t, roomy)
	c := contentOf(t, s)
	if len(c.records) != written+1 || len(c.records["Outbox last"]) != written-1 {
		t.Errorf("%d records after %d writes", len(c.records), written)
	}
	if m := c.marks[key(1)]; !strings.Contains(m, "{1 ") {
		t.Errorf("the mark is %s", m)
	}
}

func TestNoRoomAtFirst(t *testing.T) {
	for _, size := range []string{"4k", "8k", "16k", "32k", "64k", "1m"} {
		dir := fullDisk(t, size)
		s, err := Open(dir)
		if err == nil {
			t.Fatalf("%s are enough for a whole log", size)
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", size, err)
		}
		if s != nil {
			t.Errorf("%s: there is a store", size)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 && size != "1m" {
			t.Errorf("%s: %v is left, %v", size, entries, err)
		}
	}
}
