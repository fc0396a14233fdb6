//go:build unix

package manifest

import (
	"io/fs"
	"syscall"
)

// inode returns the number by which the file system knows a file, or 0.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
