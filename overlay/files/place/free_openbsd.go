package place

import (
	"os"

	"golang.org/x/sys/unix"
)

// Free returns how many bytes of the file system of path are free for this user.
func Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return bytesOf(uint64(max(0, s.F_bavail)), uint64(s.F_bsize)), nil
}
