//go:build unix

package edit

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Nobody writes into a pipe: it must not be waited for.
func TestInputsInAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inputs")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInputs(path)
	if err == nil {
		t.Error("no error")
	}
	add(in, "one")
	wantLines(t, in, "one")
}
