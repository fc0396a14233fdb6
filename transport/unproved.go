package transport

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
)

// unproved bounds what goes to addresses that have not answered yet, since they may be forged: at
// most three times what has come from there (RFC 9000, 8.1). quic-go overshoots by up to a packet: it
// looks at the bound before each packet, and not at the packet's size. What would exceed the bound is
// dropped here. Only packets with long headers count: the others belong to established connections.
type unproved struct {
	some atomic.Bool // whether there are any: most of the time there are none

	mu   sync.Mutex
	all  map[netip.AddrPort]*account
	last netip.AddrPort // where the last packets without an account have come from,
	came int            // and their bytes: the first of a stranger are read before it has one
}

// maxAmplified is how many times the bytes that have come from an address may go there.
const maxAmplified = 3

// account is what has come from such an address, and gone there.
type account struct {
	strangers int // that have come from there; bounded by the gate
	in, out   int // bytes
}

// enter opens an account for a stranger, which has sent a first packet. It has to be closed once the
// stranger has answered, or has ended, whatever comes first; an answer proves the address.
func (u *unproved) enter(addr netip.AddrPort) (leave func(answered bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.all[addr]
	if a == nil {
		if u.all == nil {
			u.all = map[netip.AddrPort]*account{}
		}
		a = &account{in: packetSize} // at least
		if u.last == addr {
			a.in, u.came = max(a.in, u.came), 0
		}
		u.all[addr] = a
		u.some.Store(true)
	}
	a.strangers++
	left := false
	return func(answered bool) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if left {
			return
		}
		left = true
		if a.strangers--; u.all[addr] == a && (answered || a.strangers == 0) {
			delete(u.all, addr)
			u.some.Store(len(u.all) > 0)
		}
	}
}

func isLong(b []byte) bool { return len(b) > 0 && b[0]&0x80 != 0 } // RFC 9000, 17.2

// received notes a packet that has come.
func (u *unproved) received(b []byte, addr net.Addr) {
	if !isLong(b) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	from := addrPort(addr)
	if a := u.all[from]; a != nil {
		a.in += len(b)
		return
	}
	if from != u.last {
		u.last, u.came = from, 0
	}
	u.came += len(b)
}

// allows notes a packet that is to go, unless it is beyond the bound.
func (u *unproved) allows(b []byte, to net.Addr) bool {
	if !u.some.Load() || !isLong(b) {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.all[addrPort(to)]
	if a == nil {
		return true
	}
	if a.out+len(b) > maxAmplified*a.in {
		return false
	}
	a.out += len(b)
	return true
}

// bound is the socket with this bound.
func (u *unproved) bound(conn net.PacketConn) net.PacketConn {
	plain := &boundConn{PacketConn: conn, unproved: u}
	switch c := conn.(type) {
	case *socket:
		return &boundSocket{c, ipv4.NewPacketConn(c.UDPConn), u}
	case syscall.Conn:
		return &struct {
			*boundConn
			syscall.Conn
		}{plain, c}
	}
	return plain
}

// boundConn is a simulated socket with the bound.
type boundConn struct {
	net.PacketConn
	*unproved
	sized
}

func (c *boundConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	c.received(b[:n], from)
	return n, from, err
}

func (c *boundConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.allows(b, to) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// boundSocket is a socket of Listen with it. quic-go reads by ReadBatch and writes by WriteMsgUDP
// where the system has them.
type boundSocket struct {
	*socket
	batch *ipv4.PacketConn
	*unproved
}

// ReadBatch is that of the socket, as quic-go would call it.
func (c *boundSocket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	n, err := c.batch.ReadBatch(ms, flags)
	for _, m := range ms[:max(n, 0)] {
		c.received(m.Buffers[0][:m.N], m.Addr)
	}
	return n, err
}

func (c *boundSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.socket.ReadFrom(b)
	c.received(b[:n], from)
	return n, from, err
}

func (c *boundSocket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if !c.allows(b, to) {
		return len(b), len(oob), nil
	}
	return c.socket.WriteMsgUDP(b, oob, to)
}

func (c *boundSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if !c.allows(b, to) {
		return len(b), nil
	}
	return c.socket.WriteTo(b, to)
}
