package overlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"quicpeer/pb"
)

// addresses returns where others can dial the socket: for the record, and for
// the user, who may also want to join from this very machine. A socket on all
// addresses is at those of every interface; its loopback address is in the
// record only when there is no other.
func addresses(socket netip.AddrPort) (record, listen []string) {
	if !socket.Addr().IsUnspecified() {
		a := netip.AddrPortFrom(socket.Addr().Unmap(), socket.Port()).String()
		return []string{a}, []string{a}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		interfaces = nil // the loopback address below is left
	}
	for _, i := range interfaces {
		prefix, err := netip.ParsePrefix(i.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		if ip.IsGlobalUnicast() && (ip.Is4() || socket.Addr().Is6()) && len(record) < pb.MaxAddresses {
			record = append(record, netip.AddrPortFrom(ip, socket.Port()).String())
		}
	}
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), socket.Port()).String()
	listen = append(append(listen, record...), loopback)
	if len(record) == 0 {
		record = []string{loopback}
	}
	return record, listen
}

// resolve turns HOST:PORT into the addresses behind it.
func resolve(ctx context.Context, address string) ([]netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Port() != 0 {
		return []netip.AddrPort{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q is no port", service)
	}
	if host == "" {
		host = "localhost"
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("the name can't be resolved: %w", err)
	}
	list := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips[:min(len(ips), pb.MaxAddresses)] {
		list = append(list, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return list, nil
}
