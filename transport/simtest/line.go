package simtest

import (
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

const (
	headers   = 20 + 8         // of a packet, by IPv4 and UDP
	maxPacket = 1500 - headers // Ethernet's
)

// line is the access line of a node.
type line struct {
	rate, queue int // bits a second, bytes
	up, down    direction
}

// direction is one way of a line: the time at which it will have sent all that waits.
type direction struct{ free time.Time }

// Line gives a node that is not behind a NAT an access line of so many bits a second each way,
// with a queue of so many bytes before each: packets that don't fit are lost. It applies to
// packets sent from now on.
func (n *Network) Line(node string, bitsPerSecond, queue int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines[node] = &line{rate: bitsPerSecond, queue: queue}
}

// out puts a packet into the queue upwards, if it fits, and says when it is sent. A nil line
// has no bounds.
func (l *line) out(size int) (wait time.Duration, fits bool) {
	if l == nil {
		return 0, true
	}
	return l.take(&l.up, size)
}

// in is out for the way down.
func (l *line) in(size int) (wait time.Duration, fits bool) {
	if l == nil {
		return 0, true
	}
	return l.take(&l.down, size)
}

func (l *line) take(d *direction, size int) (wait time.Duration, fits bool) {
	now := time.Now()
	wait = max(d.free.Sub(now), 0)
	if l.takes(size+headers)+wait > l.takes(l.queue) {
		return 0, false
	}
	wait += l.takes(size + headers)
	d.free = now.Add(wait)
	return wait, true
}

// takes is how long the line needs for so many bytes.
func (l *line) takes(bytes int) time.Duration {
	return time.Duration(bytes) * 8 * time.Second / time.Duration(l.rate)
}

// after calls f when the time has come. Packets whose time comes later stay behind.
func after(wait time.Duration, f func()) {
	if wait == 0 {
		f()
		return
	}
	time.AfterFunc(wait, f)
}

// Narrow makes the path of two nodes without NATs silently drop packets of more than so many
// bytes, headers included.
func (n *Network) Narrow(a, b string, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.narrow[[2]string{a, b}] = bytes
	n.narrow[[2]string{b, a}] = bytes
}

// Search makes nodes that are started from now on probe for the largest packet that a path
// takes, as QUIC does if a socket can forbid fragmentation.
func (n *Network) Search() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.search = true
}

// searching is the node's socket with the option that forbids fragmentation: that of a real
// socket beside it, which sends nothing.
func (d *node) searching() net.PacketConn {
	real, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(fmt.Sprintf("simtest: a socket for its options: %v", err))
	}
	d.real = real
	return &searchingConn{d.conn, real}
}

type searchingConn struct {
	*simnet.SimConn
	real *net.UDPConn
}

func (c *searchingConn) SyscallConn() (syscall.RawConn, error) { return c.real.SyscallConn() }
