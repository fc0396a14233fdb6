//go:build unix

package place

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// moveNew renames something to a name in another directory, where nothing may have that name: then
// the error is fs.ErrExist.
func moveNew(from *os.File, name string, to *os.File, newName string, isDir bool) error {
	err := renameNew(int(from.Fd()), name, int(to.Fd()), newName)
	if isMissing(err) {
		err = moveReserved(int(from.Fd()), name, int(to.Fd()), newName, isDir)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from.Name() + "/" + name, New: to.Name() + "/" + newName, Err: err}
	}
	return nil
}

// isMissing reports that the system or the file system lacks a call.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP)
}

// moveReserved is for file systems without a renaming that fails when the new name is taken.
func moveReserved(from int, name string, to int, newName string, isDir bool) error {
	if isDir {
		// A directory replaces an empty one at most: the one made here.
		if err := unix.Mkdirat(to, newName, 0o700); err != nil {
			return err
		}
		err := unix.Renameat(from, name, to, newName)
		if err != nil {
			_ = unix.Unlinkat(to, newName, unix.AT_REMOVEDIR) // unless somebody has put something there
		}
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
			err = unix.EEXIST
		}
		return err
	}
	err := unix.Linkat(from, name, to, newName, 0)
	if err == nil {
		return unix.Unlinkat(from, name, 0)
	}
	if !isMissing(err) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EMLINK) {
		return err
	}
	return moveOver(from, name, to, newName)
}

// moveOver is for file systems without hard links either. Between the last look at the file that
// reserves the name and the renaming somebody could replace it: nothing better is possible there.
func moveOver(from int, name string, to int, newName string) error {
	fd, err := unix.Openat(to, newName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	var made, there unix.Stat_t
	err = unix.Fstat(fd, &made)
	_ = unix.Close(fd) // nothing was written
	if err != nil {
		return err
	}
	if err := unix.Fstatat(to, newName, &there, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if there.Ino != made.Ino || there.Dev != made.Dev || there.Size != 0 {
		return unix.EEXIST
	}
	return unix.Renameat(from, name, to, newName)
}

// owner returns the number of the user who owns a file.
func owner(info fs.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}

// linked reports whether a file has several names: what is written to it would change another one.
func linked(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink > 1
}
