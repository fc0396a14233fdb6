package place

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const flushesAll = false

func flushAll(*os.File) error { return errors.ErrUnsupported }

// flush hands a file or a directory to the drive, which may still keep it in its cache.
func flush(f *os.File) error {
	for {
		err := unix.Fsync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "fsync", Path: f.Name(), Err: err}
		}
	}
}

// flushDrive empties the drive's cache, which takes milliseconds: once for all files.
func flushDrive(d *os.File) error { return d.Sync() }
