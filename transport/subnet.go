package transport

import (
	"net"
	"net/netip"
)

// OwnSubnet says that an address is in a subnet of this host's interfaces, as they are now:
// what claims to be on the LAN and is elsewhere is not believed.
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
