package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestReadOnlyDirectory(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("nothing is read-only here")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

// TestFirstErrorIsKept takes one of the files away from a store. Whatever is tried
// then fails with the same error, and what was safe before still is.
func TestFirstErrorIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		take  func(*Store) error
		first func(*Store, func(error))
	}{
		databaseFile: {
			func(s *Store) error { return s.db.Close() },
			func(s *Store, done func(error)) { s.SetGaps(key(1), nil, done) },
		},
		logFile: {
			func(s *Store) error { return s.log.file.Close() },
			func(s *Store, done func(error)) { s.Write(done, op(Unsettled, "b", "2")) },
		},
		historyDir: {
			func(s *Store) error { return s.history.file.Close() },
			func(s *Store, done func(error)) { noteIn(s, key(1), shown(1, 2), done) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			write(t, s, op(Unsettled, "a", "1"))
			note(t, s, key(1), shown(1, 1))
			if err := test.take(s); err != nil {
				t.Fatal(err)
			}
			first := await(func(done func(error)) { test.first(s, done) })
			if first == nil || !strings.Contains(first.Error(), filepath.Join(dir, name)) {
				t.Fatalf("the first error is %v", first)
			}
			for range 2 * fewSlots {
				for what, call := range map[string]func(func(error)){
					"Write":   func(done func(error)) { s.Write(done, op(Unsettled, "b", "2")) },
					"Note":    func(done func(error)) { noteIn(s, key(1), shown(1, 2), done) },
					"SetGaps": func(done func(error)) { s.SetGaps(key(1), nil, done) },
				} {
					if err := await(call); !errors.Is(err, first) {
						t.Fatalf("%s: %v, not %v", what, err, first)
					}
				}
			}
			if err := s.Close(); !errors.Is(err, first) || !errors.Is(s.Err(), first) {
				t.Errorf("Close: %v, Err: %v", err, s.Err())
			}
			s = mustOpen(t, dir)
			if c := contentOf(t, s); len(c.records) != 1 || len(c.marks) != 1 {
				t.Errorf("there is %v", c)
			}
		})
	}
}
