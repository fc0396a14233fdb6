package place

import (
	"os"

	"golang.org/x/sys/windows"
)

// Free returns how many bytes of the file system of path are free for this user.
func Free(path string) (int64, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: path, Err: err}
	}
	return bytesOf(free, 1), nil
}
