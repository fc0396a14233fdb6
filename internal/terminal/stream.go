// Package terminal handles the terminal and the standard streams of the process: raw
// mode, which is undone whatever ends the process; the size; and streams that another
// process has made non-blocking.
package terminal

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/term"
)

// Stream is standard input, output or error. Another process that shares it may set it
// to non-blocking (O_NONBLOCK belongs to the open file, not to the process; Node.js and
// ssh set it), so a read or write that would block is waited for here.
type Stream struct{ File *os.File }

func (s *Stream) Read(b []byte) (int, error) {
	for {
		n, err := s.File.Read(b)
		if !errors.Is(err, syscall.EAGAIN) || !await(s.File, false) {
			return n, err
		}
	}
}

func (s *Stream) Write(b []byte) (written int, err error) {
	for {
		n, err := s.File.Write(b[written:])
		written += n
		if !errors.Is(err, syscall.EAGAIN) || !await(s.File, true) {
			return written, err
		}
	}
}

// Of returns v as a stream if it is a terminal.
func Of(v any) (*Stream, bool) {
	s, ok := v.(*Stream)
	return s, ok && term.IsTerminal(s.fd())
}

// Size returns the size of the terminal in characters.
func (s *Stream) Size() (width, height int, err error) { return term.GetSize(s.fd()) }

func (s *Stream) fd() int { return int(s.File.Fd()) }
