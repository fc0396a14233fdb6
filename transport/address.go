package transport

import (
	"net"
	"net/netip"
)

// OwnSubnet says whether an address is in a subnet of this host's interfaces, as they are now.
// A peer elsewhere that claims to be on the LAN is not believed.
func OwnSubnet(ip netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Masked().Contains(ip.WithZone("")) {
			return true
		}
	}
	return false
}

// Addr is the address of the socket; its IP is unspecified if the socket listens on all
// addresses.
func (e *Endpoint) Addr() netip.AddrPort { return addrPort(e.conn.LocalAddr()) }

// addrPort converts the address of a packet or a socket; IPv4 addresses become such, and not
// IPv6 ones as a dual-stack socket gives them.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// addressText is an address for people.
func addressText(a net.Addr) string {
	if ap := addrPort(a); ap.IsValid() {
		return ap.String()
	}
	return a.String()
}

// host is the unit that counts as one address: in IPv6 a /64, the least that a customer gets.
func host(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero address alone, and that may be one host
	return p
}
