package reach

import (
	"net/netip"
	"slices"

	"quicpeer/overlay/core/base"
)

// ParseAddress reads an IP:PORT that somebody else has written. The result is the zero AddrPort
// if no packet can be sent there.
func ParseAddress(text string) netip.AddrPort {
	a, err := netip.ParseAddrPort(text)
	ip := a.Addr().Unmap()
	if err != nil || a.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcastIP ||
		ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, a.Port())
}

var broadcastIP = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func Texts(list []netip.AddrPort) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

// isGlobal reports whether an address means the same everywhere. Providers use 100.64.0.0/10
// behind their own NATs (RFC 6598).
func isGlobal(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// signedHost reports whether a peer has named the IP in its record.
func signedHost(r *base.Record, ip netip.Addr) bool {
	for _, list := range [][]string{r.Addresses, r.Observed} {
		for _, text := range list {
			if ParseAddress(text).Addr() == ip {
				return true
			}
		}
	}
	return false
}

func onlyLoopback(list []netip.AddrPort) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() })
}
