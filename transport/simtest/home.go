package simtest

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Router makes a router, which has an address of its own unless it is a firewall.
func (n *Network) Router(name string, kind Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := &router{kind: kind, life: mappingLife, rand: n.rand, strays: map[flow]time.Time{}}
	if kind != Firewall {
		i := len(n.routers) + 1
		r.wan = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
	}
	r.link = &simnet.SimulatedLink{Latency: n.latency}
	r.link.AddNode(nil, arrival{n, r})
	r.link.Start()
	n.routers[name] = r
}

// arrival receives the packets that come to a router from outside.
type arrival struct {
	network *Network
	router  *router
}

// RecvPacket hands a packet on to its receiver at once: the LAN takes no time. A node that
// does not read holds up all of its LAN.
func (a arrival) RecvPacket(p simnet.Packet) {
	from, to, err := addresses(p)
	if err != nil {
		return
	}
	n := a.network
	n.mu.Lock()
	inner, ok := a.router.in(time.Now(), from, to)
	receiver := n.at(a.router, inner)
	if !ok || receiver == nil || n.cut[[2]string{n.sender(from), receiver.name}] {
		receiver = nil
	}
	n.mu.Unlock()
	if receiver != nil {
		p.To = net.UDPAddrFromAddrPort(inner)
		receiver.conn.RecvPacket(p)
	}
}

// sender finds the node that has sent a packet, by the address that it seems to come from.
func (n *Network) sender(from netip.AddrPort) string {
	r := n.nat(from.Addr())
	if r != nil {
		for _, m := range r.entries {
			if m.outer == from.Port() {
				from = m.inner
			}
		}
	}
	for name, addr := range n.addrs {
		if addr == from && (r == nil || n.sites[name] == r) {
			return name
		}
	}
	return ""
}

// Behind puts nodes that have not been named before behind a router: into its LAN
// 192.168.1.0/24, which has the same addresses behind each router; or, with addresses of
// their own, behind its firewall.
func (n *Network) Behind(name string, nodes ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.router(name)
	for _, node := range nodes {
		if _, named := n.addrs[node]; named {
			panic(fmt.Sprintf("simtest: %s has an address already", node))
		}
		n.sites[node] = r
		if r.kind == Firewall {
			n.addr(node)
		} else {
			n.addrs[node] = n.newPrivate(r)
		}
	}
}

// newPrivate returns an address of the router's LAN that no node has had.
func (n *Network) newPrivate(r *router) netip.AddrPort {
	r.given++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 1, r.given + 1}), Port)
}

func (n *Network) router(name string) *router {
	r := n.routers[name]
	if r == nil {
		panic(fmt.Sprintf("simtest: there is no router %s", name))
	}
	return r
}

// Timeout sets how long the router's idle mappings live.
func (n *Network) Timeout(name string, life time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.router(name).life = life
}

// Flush makes the router forget its mappings, as a reboot does.
func (n *Network) Flush(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.router(name).reset()
}

// Rebind is Flush, and new mappings get ports other than the old ones.
func (n *Network) Rebind(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.router(name)
	r.reset()
	r.shift += 1000
}

// Move gives a node another address for its packets in both directions from now on. Its socket
// does not notice, as one on all addresses doesn't.
func (n *Network) Move(node string) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.sites[node]; r != nil && r.kind != Firewall {
		n.addrs[node] = n.newPrivate(r)
	} else {
		n.addrs[node] = netip.AddrPortFrom(n.newPublic(), Port)
	}
	return n.addrs[node]
}
