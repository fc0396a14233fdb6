package portmap

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
)

// gateway finds the router: from the file with the default route, if the system has one
// (Linux), else by the guess that it has the first address of a private subnet of ours, as
// most home routers do. It returns the zero address if there is none.
func gateway() netip.Addr {
	if f, err := os.Open("/proc/net/route"); err == nil {
		defer f.Close()
		return defaultRoute(bufio.NewScanner(f))
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
			return p.Masked().Addr().Next()
		}
	}
	return netip.Addr{}
}

// defaultRoute reads the kernel's table of IPv4 routes: a header, then lines of interface,
// destination, gateway, …, with addresses in hexadecimal, in the byte order of the machine.
func defaultRoute(lines *bufio.Scanner) netip.Addr {
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if err != nil || len(raw) != 4 {
			continue
		}
		var ip [4]byte
		binary.NativeEndian.PutUint32(ip[:], binary.BigEndian.Uint32(raw))
		if a := netip.AddrFrom4(ip); !a.IsUnspecified() {
			return a
		}
	}
	return netip.Addr{}
}
