package cli

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state directory that disappears while in use is noticed at the next write: nothing is
// reported as sent or kept that isn't.
func TestStateDirectoryRemoved(t *testing.T) {
	const send = `{"cmd":"send","to":"nobody","body":"hello","ref":"r"}` + "\n"
	for name, test := range map[string]struct {
		before string // is sent before
		take   func(dir string) error
		after  string // is sent after
	}{
		"before a message":       {take: os.RemoveAll, after: send},
		"before it is left":      {before: send, take: os.RemoveAll},
		"before it is left idle": {take: os.RemoveAll},
		"and another is there": {take: func(dir string) error {
			if err := os.Rename(dir, dir+".old"); err != nil {
				return err
			}
			return os.CopyFS(dir, os.DirFS(dir+".old"))
		}, after: send},
		"one file": {take: func(dir string) error { return os.Remove(filepath.Join(dir, "messages.db")) }, after: send},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "alice")
			alice := start(t, "--json", "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", dir)
			alice.event("ready")
			if test.before != "" {
				alice.write(test.before)
				alice.event("buffered")
			}
			if err := test.take(dir); err != nil {
				t.Fatal(err)
			}
			if test.after != "" {
				alice.write(test.after)
			} else {
				alice.stdin.Close()
			}
			output, status := alice.rest()
			errors := alice.errors.String()
			if status != 1 || !strings.Contains(errors, dir) || !strings.Contains(errors, "removed") || strings.Contains(errors, "kept") {
				t.Errorf("status %d\n%s", status, errors)
			}
			if strings.Contains(output, `"sent"`) {
				t.Errorf("it says:\n%s", output)
			}
		})
	}
}

// A database that is truncated while it is mapped gives an ordinary error.
func TestDatabaseCutShort(t *testing.T) {
	for _, size := range []int64{0, 8192, 20000} {
		dir := t.TempDir()
		alice := start(t, "--json", "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", dir)
		alice.event("ready")
		if err := os.Truncate(filepath.Join(dir, "messages.db"), size); err != nil {
			t.Fatal(err)
		}
		alice.write(`{"cmd":"send","to":"nobody","body":"hello"}` + "\n")
		output, status := alice.rest()
		lines := 0
		for s := bufio.NewScanner(strings.NewReader(alice.errors.String())); s.Scan(); {
			lines++
		}
		if status != 1 || !strings.Contains(alice.errors.String(), "messages.db is damaged: ") || lines > 10 {
			t.Errorf("cut to %d: status %d, %d lines:\n%.2000s", size, status, lines, alice.errors.String())
		}
		if strings.Contains(output, `"sent"`) {
			t.Errorf("cut to %d: it says:\n%s", size, output)
		}
	}
}
