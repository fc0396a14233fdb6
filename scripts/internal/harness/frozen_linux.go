package harness

import (
	"errors"

	"golang.org/x/sys/unix"
)

// waitFrozen waits until a process that was sent SIGSTOP stands still, which its
// threads do one by one after the signal was sent. The process's end is left to
// cmd.Wait; should it come first, the wait ends too.
func waitFrozen(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
