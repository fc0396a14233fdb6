//go:build !windows

package transport

import "syscall"

// passingErrors are the errors of sendmsg that go away (see passing).
var passingErrors = []syscall.Errno{
	syscall.ENETDOWN,      // the interface is down
	syscall.ENETUNREACH,   // no route
	syscall.EHOSTUNREACH,  // no route, or nobody answers ARP
	syscall.EHOSTDOWN,     // the same, on BSD
	syscall.EADDRNOTAVAIL, // no local address for this route
	syscall.ENOBUFS,       // the interface's queue is full
	syscall.ENOMEM,        // the kernel has no memory for the packet now
	syscall.EAGAIN,        // as ENOBUFS
	syscall.EPERM,         // a packet filter drops it
	syscall.EACCES,        // a route forbids it ("prohibit"), or a broadcast address
	syscall.ECONNREFUSED,  // an ICMP answer to an earlier packet
	// Linux: the address that a link sends from is not ours any more. A packet with
	// segmentation that the kernel can't do also gives EINVAL on broken drivers;
	// such a link then ends by silence (QUIC_GO_DISABLE_GSO=true helps).
	syscall.EINVAL,
}

// bufferSizes reads the sizes of a socket's buffers; 0 if it can't.
func bufferSizes(raw syscall.RawConn) (receive, send int) {
	// The errors leave the sizes 0.
	_ = raw.Control(func(fd uintptr) {
		receive, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		send, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	return receive, send
}
