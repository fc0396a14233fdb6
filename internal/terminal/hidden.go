package terminal

import (
	"bytes"
	"io"

	"golang.org/x/term"
)

// Hide makes the terminal raw until [Restore], for secrets to be typed: ReadPassword of what
// it returns doesn't show them. Prompts go to out. Keys raise no signals meanwhile, so Ctrl-C
// calls interrupt.
func (s *Stream) Hide(out io.Writer, interrupt func()) (*term.Terminal, error) {
	if err := s.MakeRaw(); err != nil {
		return nil, err
	}
	return term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{&interruptible{s, interrupt}, out}, ""), nil
}

// interruptible looks for Ctrl-C in what it reads.
type interruptible struct {
	in        io.Reader
	interrupt func()
}

func (r *interruptible) Read(b []byte) (int, error) {
	const ctrlC = 3
	n, err := r.in.Read(b)
	if bytes.IndexByte(b[:n], ctrlC) >= 0 {
		r.interrupt()
	}
	return n, err
}
