package place

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushesAll: all files of a file system can be synced at once.
const flushesAll = true

// flushAll syncs all files of the file system of f.
func flushAll(f *os.File) error {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: f.Name(), Err: err}
	}
	return nil
}

// flush makes a file or a directory survive a power cut.
func flush(f *os.File) error { return f.Sync() }

// flushDrive makes what was flushed survive a power cut, where flush does not.
func flushDrive(*os.File) error { return nil }
