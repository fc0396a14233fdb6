package store

import (
	"errors"
	"os"
	"syscall"
)

// fdatasync makes the content of a file safe whose size has not changed.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
