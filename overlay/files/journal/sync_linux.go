package journal

import (
	"errors"
	"os"
	"syscall"
)

// fdatasync makes the content of a file safe.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
