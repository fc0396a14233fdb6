//go:build unix

package terminal

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// await waits until f can be read or written, or has failed. It returns false for files
// that the system can't wait for.
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
