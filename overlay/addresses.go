package overlay

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"quicpeer/overlay/core/base"
)

// hostInterface is an interface of this host that is up.
type hostInterface struct {
	name     string
	loopback bool
	prefixes []netip.Prefix // its addresses, with the subnets that they are in
}

func (i hostInterface) equal(j hostInterface) bool {
	return i.name == j.name && i.loopback == j.loopback && slices.Equal(i.prefixes, j.prefixes)
}

// hostInterfaces lists the interfaces of this host that are up, in the order of the system.
func hostInterfaces() []hostInterface {
	list, err := net.Interfaces()
	if err != nil {
		return nil // other peers still say where they see us
	}
	var out []hostInterface
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue // it has just gone, or nothing goes over it
		}
		h := hostInterface{name: i.Name, loopback: i.Flags&net.FlagLoopback != 0}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				h.prefixes = append(h.prefixes, netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()))
			}
		}
		out = append(out, h)
	}
	return out
}

// farAway has addresses that stand for the internet and for the private networks of a company
// (RFC 5737, 3849, 1918; no host has them). The address that the system would use as the
// source of a packet to one of them is on the interface that leads to other hosts, whatever
// its name.
var farAway = []string{"192.0.2.1:9", "[2001:db8::1]:9", "10.255.255.254:9", "172.31.255.254:9", "192.168.255.254:9"}

// sources returns the source addresses that the system would use towards farAway, for a socket
// on all addresses. No packet is sent.
func sources(socket netip.AddrPort) []netip.Addr {
	if !socket.Addr().IsUnspecified() {
		return nil
	}
	var list []netip.Addr
	for _, far := range farAway {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue // no route leads there
		}
		if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			list = append(list, a.AddrPort().Addr().Unmap())
		}
		_ = conn.Close() // nothing was sent
	}
	return list
}

// ownAddresses returns where others can dial the socket, the likeliest first, and the subnets
// that it is in.
func ownAddresses(socket netip.AddrPort) (own []netip.AddrPort, near []netip.Prefix) {
	return chooseAddresses(socket, hostInterfaces(), sources(socket))
}

// maxOwnAddresses bounds the addresses kept of a host with very many: more than the 110 pods
// that Kubernetes has a host run, each with an interface. A guess.
const maxOwnAddresses = 256

// chooseAddresses makes the choice of ownAddresses from what the system reports. A socket on
// all addresses is at those of every interface, except loopback ones, which mean nothing to
// other hosts, and link-local ones of IPv6, which lack a zone there. With only loopback left
// it is at that: then every peer it can meet is on this host. Addresses that lead to other
// hosts come first: see rank.
func chooseAddresses(socket netip.AddrPort, interfaces []hostInterface, sources []netip.Addr) (own []netip.AddrPort, near []netip.Prefix) {
	type ranked struct {
		prefix netip.Prefix
		rank   int
	}
	var list, loopback []ranked
	bound := socket.Addr().Unmap()
	all := bound.IsUnspecified()
	for _, i := range interfaces {
		for _, p := range i.prefixes {
			ip := p.Addr()
			linkLocal := ip.Is6() && ip.IsLinkLocalUnicast()
			switch {
			case ip.IsLoopback():
				loopback = append(loopback, ranked{p, 0})
			case ip.IsMulticast() || ip.IsUnspecified() || linkLocal, !all && ip != bound, ip.Is6() && bound.Is4():
			default:
				list = append(list, ranked{p, i.rank(ip, sources)})
			}
		}
	}
	if all && len(list) == 0 {
		list = slices.DeleteFunc(loopback, func(r ranked) bool { return r.prefix.Addr().Is6() && bound.Is4() })
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return a.rank - b.rank })
	if !all {
		own = append(own, netip.AddrPortFrom(bound, socket.Port()))
	}
	for _, r := range list[:min(len(list), maxOwnAddresses)] {
		if all {
			own = append(own, netip.AddrPortFrom(r.prefix.Addr(), socket.Port()))
		}
		if !r.prefix.Addr().IsLoopback() {
			near = append(near, r.prefix.Masked())
		}
	}
	return own, near
}

// rank orders the addresses: first those that the system itself would use, in their order;
// then the rest of their interfaces; then by the interface's name; then IPv4 addresses that a
// host has given itself for want of others (RFC 3927); last those of bridges of containers and
// virtual machines.
func (i hostInterface) rank(ip netip.Addr, sources []netip.Addr) int {
	if n := slices.Index(sources, ip); n >= 0 {
		return n
	}
	n := len(sources)
	switch {
	case slices.ContainsFunc(i.prefixes, func(p netip.Prefix) bool { return slices.Contains(sources, p.Addr()) }):
		return n
	case hasPrefix(i.name, bridges):
		return n + 4
	case ip.IsLinkLocalUnicast():
		return n + 3
	case hasPrefix(i.name, cards):
		return n + 1
	}
	return n + 2
}

// The usual names of interfaces: of cards by Linux, the BSDs, macOS and Windows; of bridges by
// the makers of containers and virtual machines.
var (
	cards   = []string{"en", "eth", "wl", "ww", "usb", "em", "igb", "re", "bge", "Ethernet", "Wi-Fi", "WLAN", "LAN"}
	bridges = []string{
		"docker", "br-", "veth", "virbr", "vnet", "lxc", "lxd", "incus", "podman", "cni", "kube", "flannel", "cali", "cilium", "weave",
		"vmnet", "vboxnet", "bridge", "vEthernet", "VMware", "VirtualBox",
	}
)

func hasPrefix(name string, list []string) bool {
	return slices.ContainsFunc(list, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// addresses holds the addresses of this host as of the last look.
type addresses struct {
	own  []netip.AddrPort // where the socket can be dialled
	near []netip.Prefix   // the subnets that it is in
}

// listening lists the addresses to show the user, at which the peer can be dialled; 127.0.0.1
// is among them, since the user may want to join from this very machine.
func listening(socket netip.AddrPort, own []netip.AddrPort) []string {
	var list []string
	for _, a := range own[:min(len(own), base.MaxOwnAddresses)] {
		list = append(list, a.String())
	}
	here := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), socket.Port()).String()
	if socket.Addr().IsUnspecified() && !slices.Contains(list, here) {
		list = append(list, here)
	}
	return list
}

// movedEvery is how often a node checks whether its host's addresses have changed.
const movedEvery = time.Second

// watchAddresses reports changes of the host's addresses until the node ends. Only a socket on
// all addresses can be somewhere else then.
func (n *Node) watchAddresses(last []netip.AddrPort) {
	socket := n.endpoint.Addr()
	if !socket.Addr().IsUnspecified() {
		return
	}
	look := time.NewTicker(movedEvery)
	defer look.Stop()
	var before []hostInterface
	for {
		select {
		case <-look.C:
		case <-n.ctx.Done():
			return
		}
		now := hostInterfaces()
		if slices.EqualFunc(now, before, hostInterface.equal) {
			continue
		}
		before = now
		if own, near := chooseAddresses(socket, now, sources(socket)); !slices.Equal(own, last) {
			last = own
			n.post(moved{own, near})
		}
	}
}

// foundAddresses lists where to dial a peer that was found at an address. A peer on this very
// host may listen on loopback alone, which multicast does not say.
func foundAddresses(a netip.AddrPort) []string {
	list := []string{a.String()}
	own, _ := ownAddresses(netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port()))
	if slices.Contains(own, a) {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String())
	}
	return list
}
