package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// isUser says whether the other end of a connection is a process of this user or of root.
func isUser(c net.Conn) bool {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	allowed := false
	err = raw.Control(func(fd uintptr) {
		other, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		allowed = err == nil && (other.Uid == 0 || int(other.Uid) == os.Getuid())
	})
	return err == nil && allowed
}
