package overlay

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"quicpeer/pb"
)

// ownAddresses returns where others can dial the socket, and the subnets that it is in.
// A socket on all addresses is at those of every interface but the loopback ones, which
// mean nothing to others, and the link-local ones, which lack a zone there; bridges of
// containers and of virtual machines come last.
func ownAddresses(socket netip.AddrPort) (own []netip.AddrPort, near []netip.Prefix) {
	all := socket.Addr().IsUnspecified()
	if !all {
		own = append(own, netip.AddrPortFrom(socket.Addr().Unmap(), socket.Port()))
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return own, nil // others say where they see us
	}
	slices.SortStableFunc(interfaces, func(a, b net.Interface) int { return bridgeRank(a) - bridgeRank(b) })
	for _, i := range interfaces {
		list, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range list {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil || len(near) == maxOwnAddresses {
				continue
			}
			ip := prefix.Addr().Unmap()
			switch {
			case !ip.IsGlobalUnicast():
			case all && (ip.Is4() || socket.Addr().Is6()):
				own = append(own, netip.AddrPortFrom(ip, socket.Port()))
				near = append(near, prefix.Masked())
			case ip == socket.Addr().Unmap():
				near = append(near, prefix.Masked())
			}
		}
	}
	return own, near
}

// maxOwnAddresses leaves room in the record for what routers and others say.
const maxOwnAddresses = pb.MaxAddresses - 2

// bridgeRank puts the bridges of containers and virtual machines behind what leads to
// other hosts, by the names that Docker, libvirt, LXC and Kubernetes give them.
func bridgeRank(i net.Interface) int {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "lxc", "cni"} {
		if strings.HasPrefix(i.Name, prefix) {
			return 1
		}
	}
	return 0
}

// listening is where the user is told that the peer can be dialled, who may also want to
// join from this very machine.
func listening(socket netip.AddrPort) []string {
	own, _ := ownAddresses(socket)
	var list []string
	for _, a := range own {
		list = append(list, a.String())
	}
	if socket.Addr().IsUnspecified() {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), socket.Port()).String())
	}
	return list
}

// movedEvery is how often a node looks whether its host's addresses have changed.
const movedEvery = time.Second

// noticeMove tells the core when the host's addresses have changed.
func (n *Node) noticeMove(now time.Duration) {
	if !n.endpoint.Addr().Addr().IsUnspecified() || now < n.lookedAt+movedEvery {
		return
	}
	n.lookedAt = now
	own, near := ownAddresses(n.endpoint.Addr())
	if slices.Equal(own, n.own) {
		return
	}
	n.own = own
	n.core.Moved(now, own, near)
	n.reach.moved()
}
