package transport

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cutPeriod is the shortest time between two reads of the file of a [Cut]: short enough for a
// script, and cheap beside the cost of the packets.
const cutPeriod = 50 * time.Millisecond

// Cut wraps a socket so that it silently drops datagrams to and from the UDP addresses listed
// in the file: IP:PORT, or PORT alone for that port of any IP, one a line. Test scripts use it
// to cut peers off from each other without being root. The file may change at any time (best
// by renaming another one over it) and is checked when packets come and go. Without the file,
// or with lines that are not valid addresses, nothing is cut.
//
// The wrapped socket sends packets one by one, without offload to the kernel.
func Cut(conn net.PacketConn, file string) net.PacketConn {
	return &cutConn{PacketConn: conn, file: file}
}

type cutConn struct {
	net.PacketConn
	sized
	file string

	mu      sync.Mutex
	read    time.Time // when the file was
	content string
	cut     map[netip.AddrPort]bool // an address that is not valid stands for any
}

func (c *cutConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.drops(from) {
			return n, from, err
		}
	}
}

func (c *cutConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.drops(to) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// drops reports whether the address is cut off.
func (c *cutConn) drops(a net.Addr) bool {
	addr := addrPort(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.read) >= cutPeriod {
		c.read = now
		b, err := os.ReadFile(c.file)
		if content := string(b); err == nil && content != c.content || err != nil && c.content != "" {
			c.content = content
			c.cut = parseCut(content)
		}
	}
	return c.cut[addr] || c.cut[netip.AddrPortFrom(netip.Addr{}, addr.Port())]
}

func parseCut(content string) map[netip.AddrPort]bool {
	cut := map[netip.AddrPort]bool{}
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if a, err := netip.ParseAddrPort(line); err == nil {
			cut[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = true
		} else if port, err := strconv.ParseUint(line, 10, 16); err == nil {
			cut[netip.AddrPortFrom(netip.Addr{}, uint16(port))] = true
		}
	}
	return cut
}
