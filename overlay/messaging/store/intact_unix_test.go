//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The ways in which another program can damage the files of a store, and the errors that
// follow.
var meddling = map[string]struct {
	do      func(t *testing.T, dir string) error
	removed bool // else damaged
}{
	"the directory removed": {func(_ *testing.T, dir string) error { return removeAtOnce(dir) }, true},
	"the directory moved":   {func(_ *testing.T, dir string) error { return os.Rename(dir, dir+".old") }, true},
	"another in its place": {func(_ *testing.T, dir string) error {
		if err := os.Rename(dir, dir+".old"); err != nil {
			return err
		}
		return os.CopyFS(dir, os.DirFS(dir+".old"))
	}, true},
	"the database removed": {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, databaseFile)) }, true},
	"the log removed":      {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, logFile)) }, true},
	"the history removed":  {func(_ *testing.T, dir string) error { return removeAtOnce(filepath.Join(dir, historyDir)) }, true},
	"a copy of the database": {func(t *testing.T, dir string) error {
		path := filepath.Join(dir, databaseFile)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".copy", b, 0o600); err != nil {
			return err
		}
		return os.Rename(path+".copy", path)
	}, true},
	"the database emptied":     {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, databaseFile), 0) }, false},
	"its head left":            {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, databaseFile), 20000) }, false},
	"its last byte cut off":    {func(_ *testing.T, dir string) error { return shorten(filepath.Join(dir, databaseFile)) }, false},
	"its pages overwritten":    {func(t *testing.T, dir string) error { return overwrite(t, filepath.Join(dir, databaseFile)) }, false},
	"the log emptied":          {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, logFile), 0) }, false},
	"the log cut by one":       {func(_ *testing.T, dir string) error { return shorten(filepath.Join(dir, logFile)) }, false},
	"the late records removed": {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, historyDir, lateFile)) }, true},
	"the late records emptied": {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, historyDir, lateFile), 0) }, false},
	"the cursor removed":       {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, historyDir, cursorFile)) }, true},
	"the cursor emptied": {func(_ *testing.T, dir string) error {
		return os.Truncate(filepath.Join(dir, historyDir, cursorFile), 0)
	}, false},
	"the last of the history removed":    {func(t *testing.T, dir string) error { return os.Remove(lastSegmentOf(t, dir)) }, true},
	"the last of the history emptied":    {func(t *testing.T, dir string) error { return os.Truncate(lastSegmentOf(t, dir), 0) }, false},
	"the last of the history cut by one": {func(t *testing.T, dir string) error { return shorten(lastSegmentOf(t, dir)) }, false},
}

func lastSegmentOf(t *testing.T, dir string) string {
	names := historyFiles(t, dir)
	return filepath.Join(dir, names[len(names)-3])
}

// fill writes more than a few pages.
func fill(t *testing.T, s *Store) {
	t.Helper()
	var ops []Op
	for i := range 50 {
		ops = append(ops, op(Unsettled, string(rune('A'+i)), strings.Repeat("x", 1000)))
	}
	write(t, s, ops...)
}

// removeAtOnce removes a directory in which files may be made meanwhile.
func removeAtOnce(path string) error {
	gone := path + ".gone"
	if err := os.Rename(path, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

func shorten(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-1)
}

// TestMeddling: whatever is done to the files while they are in use, the next call is refused,
// with an error that says so, and Close comes to its end.
func TestMeddling(t *testing.T) {
	for name, m := range meddling {
		for what, call := range map[string]func(*Store, func(error)){
			"Write":   func(s *Store, done func(error)) { s.Write(done, op(Unsettled, "b", "2")) },
			"nothing": func(s *Store, done func(error)) { s.Write(done) },
			"Note":    func(s *Store, done func(error)) { noteIn(s, key(1), shown(1, 2), done) },
			"SetGaps": func(s *Store, done func(error)) { s.SetGaps(key(1), nil, done) },
		} {
			if what != "SetGaps" && !m.removed && strings.Contains(name, "overwritten") {
				continue // only who reads it notices
			}
			t.Run(name+", "+what, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "state")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				s := mustOpen(t, dir)
				fill(t, s)
				note(t, s, key(1), shown(1, 1))
				if err := m.do(t, dir); err != nil {
					t.Fatal(err)
				}
				first := await(func(done func(error)) { call(s, done) })
				wantMeddled(t, first, m.removed, dir)
				if err := await(func(done func(error)) { s.Write(done, op(Unsettled, "c", "3")) }); !errors.Is(err, first) {
					t.Errorf("then: %v", err)
				}
				if err := s.Load(Unsettled, func(_, _ []byte) error { return nil }); !errors.Is(err, first) {
					t.Errorf("Load: %v", err)
				}
				if err := s.Close(); !errors.Is(err, first) {
					t.Errorf("Close: %v", err)
				}
			})
		}
	}
}

func wantMeddled(t *testing.T, err error, removed bool, dir string) {
	t.Helper()
	_, isRemoved := errors.AsType[*RemovedError](err)
	_, isDamaged := errors.AsType[*DamagedError](err)
	if isRemoved != removed || isDamaged == removed || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

// TestMeddlingWhileLoading: reading a map that has been cut short gives an error.
func TestMeddlingWhileLoading(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	fill(t, s)
	err := s.Load(Unsettled, func(_, _ []byte) error { return os.Truncate(filepath.Join(dir, databaseFile), 8192) })
	wantMeddled(t, err, false, dir)
}

// TestMeddlingUnderLoad: with many writers at once each gets the error, and none waits for
// ever.
func TestMeddlingUnderLoad(t *testing.T) {
	for name, m := range meddling {
		if strings.Contains(name, "cut by one") {
			continue // it may have grown again before it is looked at, and nothing is lost
		}
		if strings.Contains(name, "the last of the history") {
			continue // by then it may be an older one, at which nobody looks
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, dir)
			var writers sync.WaitGroup
			begun := make(chan bool, 8)
			for w := range cap(begun) {
				writers.Go(func() {
					for i := 0; ; i++ {
						err := await(func(done func(error)) {
							if w%2 == 0 {
								s.Write(done, op(Unsettled, string(rune('A'+i%100)), strings.Repeat("x", 1000)))
							} else {
								noteIn(s, key(w), shown(1, uint64(i)), done)
							}
						})
						if err != nil {
							wantMeddled(t, err, m.removed, dir)
							return
						}
						if i == 20 {
							begun <- true
						}
					}
				})
			}
			for range cap(begun) {
				<-begun
			}
			if err := m.do(t, dir); err != nil {
				t.Fatal(err)
			}
			writers.Wait()
			wantMeddled(t, s.Close(), m.removed, dir)
		})
	}
}

// A panic for which the database is not to blame goes on.
func TestBugsAreNotBlamedOnTheDatabase(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer func() {
		if got := recover(); got != "a bug" {
			t.Errorf("recovered: %v", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	_ = s.Load(Unsettled, func(_, _ []byte) error { return nil })
	write(t, s, op(Unsettled, "a", "1"))
	_ = s.Load(Unsettled, func(_, _ []byte) error { panic("a bug") })
}
