package main

import (
	"fmt"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"

	"quicpeer/transport"
)

// wire is a peer's socket that can be cut, and that counts. A cut wire throws away all packets
// in both directions: to others it looks like the process of a peer that was killed. The only
// difference is that the kernel would answer them with ICMP, which unconnected sockets never
// hear of.
//
// quic-go sends many packets with one call and reads eight with one, but only on sockets that have
// the methods of *net.UDPConn. A wire has them, and the two that quic-go works with go through
// here: WriteMsgUDP, and ReadBatch, which quic-go otherwise would put around the socket by itself.
// So the calls to the kernel are those of a peer without a wire. Packets are counted where they
// arrive, because one call may send twenty. (The kernel's own counters of lo take these for one;
// but for their headers the bytes are the same.)
type wire struct {
	socket
	batch    *ipv4.PacketConn
	received *traffic
	isCut    atomic.Bool
}

// socket is what quic-go looks for.
type socket interface {
	net.PacketConn
	net.Conn
	SyscallConn() (syscall.RawConn, error)
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
}

// listen opens a socket as quicpeer does, on a free port of loopback.
func listen(received *traffic) (*wire, error) {
	conn, err := transport.Listen(loopback + ":0")
	if err != nil {
		return nil, err
	}
	s, ok := conn.(socket)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("transport.Listen gives a %T without the methods of *net.UDPConn: adapt the interface socket to it", conn)
	}
	return &wire{socket: s, batch: ipv4.NewPacketConn(s), received: received}, nil
}

// cut loses all packets from now on.
func (w *wire) cut() { w.isCut.Store(true) }

func (w *wire) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if w.isCut.Load() {
		return len(b), len(oob), nil
	}
	return w.socket.WriteMsgUDP(b, oob, addr)
}

func (w *wire) ReadBatch(messages []ipv4.Message, flags int) (int, error) {
	for {
		n, err := w.batch.ReadBatch(messages, flags)
		if err == nil && w.isCut.Load() {
			continue
		}
		for _, m := range messages[:max(n, 0)] {
			w.received.packet(m.N)
		}
		return n, err
	}
}
