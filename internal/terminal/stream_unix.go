//go:build unix

package terminal

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// await waits until something can be read from f, or written to it, or it has failed.
// It is false where the system can't wait for such a file.
func await(f *os.File, write bool) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var events int16 = unix.POLLIN
	if write {
		events = unix.POLLOUT
	}
	possible := false
	err = raw.Control(func(fd uintptr) {
		list := []unix.PollFd{{Fd: int32(fd), Events: events}}
		for {
			_, err := unix.Poll(list, -1)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			possible = err == nil && list[0].Revents&unix.POLLNVAL == 0
			return
		}
	})
	return err == nil && possible
}
