package transport

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
)

// bufferSize is the size that quic-go wants of a socket's buffers (its desiredBufferSize).
// Linux gives 208 KiB unless configured otherwise (net.core.rmem_max), which is ample for
// chat; more helps when many peers speak at once.
const bufferSize = 7 << 20

// Listen opens the UDP socket for an address HOST:PORT. The host may be a name, or empty for
// all addresses of IPv4 and IPv6; port 0 chooses a free one.
//
// quic-go ends a connection if the kernel does not take one of its packets (its issue #2809),
// so a moment without network would end them all. The returned socket takes such a packet for
// sent: it is lost like any other, and sent again.
//
// If the kernel gives the socket smaller buffers than quic-go wants, an Endpoint logs that.
// quic-go itself prints a warning to standard error as well, once in a process, unless
// QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING is true in the environment. The program must set that
// before it listens.
func Listen(address string) (net.PacketConn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	// Errors show in the sizes that logBuffers reads.
	_ = conn.SetReadBuffer(bufferSize)
	_ = conn.SetWriteBuffer(bufferSize)
	return &socket{conn}, nil
}

// socket embeds the connection, so that quic-go still finds the methods it needs for GSO, ECN
// and packet information. It overrides the two methods by which quic-go sends: WriteMsgUDP,
// and WriteTo on systems without packet information (Windows).
type socket struct{ *net.UDPConn }

func (s *socket) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = s.UDPConn.WriteMsgUDP(b, oob, addr)
	if errors.Is(err, syscall.EPERM) {
		// Linux sometimes gives EPERM for the first packet alone (golang/go#63322).
		n, oobn, err = s.UDPConn.WriteMsgUDP(b, oob, addr)
	}
	if passing(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	n, err := s.UDPConn.WriteTo(b, addr)
	if passing(err) {
		return len(b), nil
	}
	return n, err
}

// sized is part of a socket that has no buffers, or those of another: quic-go complains if it can't
// set their sizes.
type sized struct{}

func (sized) SetReadBuffer(int) error  { return nil }
func (sized) SetWriteBuffer(int) error { return nil }

// passing reports whether err is of the kind that goes away by itself or when the network
// comes back. EMSGSIZE and EIO are not: from them quic-go learns the size of packets and the
// lack of GSO.
func passing(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains(passingErrors, errno)
}

// Buffers reads the sizes of the buffers of a socket of Listen, and which ones are wanted; zeros
// if it can't.
func Buffers(conn net.PacketConn) (receive, send, wanted int) {
	s, ok := conn.(*socket)
	if !ok {
		return 0, 0, 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, 0, 0
	}
	receive, send = bufferSizes(raw)
	return receive, send, bufferSize
}

// logBuffers logs the socket's buffers where they are smaller than wanted.
func logBuffers(conn net.PacketConn, log *slog.Logger) {
	receive, send, wanted := Buffers(conn)
	if receive < wanted || send < wanted {
		log.Debug("the system limits the socket's buffers", "wanted", bufferSize, "receive", receive, "send", send,
			"hint", "on Linux: sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000")
	}
}
