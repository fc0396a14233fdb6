package transport

import "syscall"

// passingErrors are the errors of WSASendMsg that go away (see passing); package
// syscall has no names for most of them.
var passingErrors = []syscall.Errno{
	10013, // WSAEACCES: a firewall forbids it
	10049, // WSAEADDRNOTAVAIL
	10050, // WSAENETDOWN
	10051, // WSAENETUNREACH
	10052, // WSAENETRESET
	10054, // WSAECONNRESET: an ICMP answer to an earlier packet
	10055, // WSAENOBUFS
	10064, // WSAEHOSTDOWN
	10065, // WSAEHOSTUNREACH
}

// bufferSizes reads the sizes of a socket's buffers; 0 if it can't.
func bufferSizes(raw syscall.RawConn) (receive, send int) {
	// The errors leave the sizes 0.
	_ = raw.Control(func(fd uintptr) {
		receive, _ = syscall.GetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		send, _ = syscall.GetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	return receive, send
}
