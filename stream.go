package main

import (
	"errors"
	"os"
	"syscall"
)

// stream is standard input, standard output or standard error. Others may have it as
// well, and set it to non-blocking (O_NONBLOCK belongs to the open file, not to the
// process, and Node.js and ssh set it): what then can't be read or written at once is
// waited for, as it is otherwise by the system.
type stream struct{ file *os.File }

func (s *stream) Read(b []byte) (int, error) {
	for {
		n, err := s.file.Read(b)
		if !errors.Is(err, syscall.EAGAIN) || !await(s.file, false) {
			return n, err
		}
	}
}

func (s *stream) Write(b []byte) (written int, err error) {
	for {
		n, err := s.file.Write(b[written:])
		written += n
		if !errors.Is(err, syscall.EAGAIN) || !await(s.file, true) {
			return written, err
		}
	}
}

func (s *stream) fd() int { return int(s.file.Fd()) }
