package base

import "net/netip"

// Host is the unit that counts as one address: in IPv6 a /64, the least that a customer gets.
func Host(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits) // fails for the zero address alone, and that may be one host
	return p
}

// HostOf is the host of an address IP:PORT. Texts that are not addresses count as one host.
func HostOf(address string) netip.Prefix {
	a, _ := netip.ParseAddrPort(address)
	return Host(a.Addr().Unmap())
}
