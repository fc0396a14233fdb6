//go:build linux || darwin

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

// foreign says whether a file belongs to another user. Root may use all.
func foreign(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) != os.Geteuid() && os.Geteuid() != 0
}

// freeSpace is what this user may still write to the disk of a directory, and whether no further
// file can be made there.
func freeSpace(dir string) (free uint64, noNodes bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), s.Files > 0 && s.Ffree == 0, nil
}

// mostFiles is how many files a process may open. Go raises the soft limit to the hard one.
func mostFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Max)
}
