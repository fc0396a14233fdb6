package place

import (
	"os"

	"golang.org/x/sys/unix"
)

// Free returns how many bytes of the file system of path are free for this user.
func Free(path string) (int64, error) {
	var s unix.Statvfs_t
	if err := unix.Statvfs(path, &s); err != nil {
		return 0, &os.PathError{Op: "statvfs", Path: path, Err: err}
	}
	return bytesOf(s.Bavail, s.Frsize), nil
}
