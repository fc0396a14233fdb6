package store

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileID tells files apart.
type fileID struct {
	major, minor uint32
	inode        uint64
}

func (f fileID) same(g fileID) bool { return f == g }

// identify looks at a file. It does not ask for its times: after a look at them Linux gives the
// next write a new time, to the nanosecond, and each fdatasync would write that too.
func identify(path string) (fileID, int64, error) {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_SYNC_AS_STAT, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_SIZE, &s); err != nil {
		return fileID{}, 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileID{s.Dev_major, s.Dev_minor, s.Ino}, int64(s.Size), nil
}

// thisBoot is what the kernel calls its run.
func thisBoot() boot {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return boot{}
	}
	text := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	if id, err := hex.DecodeString(text); err == nil && len(id) == len(boot{}) {
		return boot(id)
	}
	return boot{}
}

// mapFile maps a file. Bytes that are put there are in the kernel's hands at once.
func mapFile(f *os.File, size int) ([]byte, error) {
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}

func unmapFile(b []byte) error {
	if b == nil {
		return nil
	}
	return os.NewSyscallError("munmap", syscall.Munmap(b))
}

// fdatasync makes the content of a file safe whose size has not changed.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
