//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs says whether a file belongs to this user.
func isOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// isPrivate says whether nobody else can enter a directory.
func isPrivate(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
