// Package terminal holds what belongs to the terminal and the standard streams of the
// process: raw mode and its end, whatever happens; the size; waiting for a stream that
// somebody else has made non-blocking.
package terminal

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/term"
)

// Stream is standard input, standard output or standard error. Others may have it as
// well, and set it to non-blocking (O_NONBLOCK belongs to the open file, not to the
// process, and Node.js and ssh set it): what then can't be read or written at once is
// waited for, as it is otherwise by the system.
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

// Of returns v as a stream, if it is one that is a terminal.
func Of(v any) (*Stream, bool) {
	s, ok := v.(*Stream)
	return s, ok && term.IsTerminal(s.fd())
}

// Size is that of the terminal, in characters.
func (s *Stream) Size() (width, height int, err error) { return term.GetSize(s.fd()) }

func (s *Stream) fd() int { return int(s.File.Fd()) }
