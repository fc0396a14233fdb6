// Package simtest is a simulated network of UDP sockets for tests in a bubble of
// testing/synctest: real QUIC runs over it in virtual time.
//
//	synctest.Test(t, func(t *testing.T) {
//		net := simtest.New(1, 20*time.Millisecond)
//		defer net.Close()
//		a, b := net.Node("a"), net.Node("b") // net.PacketConn
//		net.Cut("a", "b")
//		net.Heal("a", "b")
//		net.Crash("b")
//		b = net.Node("b") // the same address again
//		…
//	})
//
// Nodes can be put behind NATs and firewalls:
//
//	net.Router("home", simtest.Restricted)
//	net.Behind("home", "a") // before Node
//
// Others can have a slow line, or a path that takes no large packets:
//
//	net.Line("a", 64_000, 64<<10)
//	net.Narrow("a", "b", 1280)
//
// Packets between two nodes arrive in the order they were sent. A node that does
// not read holds up its own packets only. The network's own choices (which packets
// are lost) follow from the seed; the whole run does not, since QUIC draws from
// the system's randomness.
package simtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Port is the UDP port of every node.
const Port = 4242

// Network is a network of named nodes, each with one address.
type Network struct {
	latency time.Duration

	mu      sync.Mutex
	rand    *rand.Rand
	loss    float64
	addrs   map[string]netip.AddrPort // of all that were ever named
	sites   map[string]*router        // what they are behind
	public  int                       // addresses given out
	routers map[string]*router
	nodes   map[string]*node   // those that run
	cut     map[[2]string]bool // by sender and receiver
	narrow  map[[2]string]int  // the largest packet that passes, by both
	lines   map[string]*line   // of those that have one
	search  bool               // see Search
}

// node is a running node: a socket and the link that delays what comes to it.
type node struct {
	network *Network
	name    string
	conn    *simnet.SimConn
	link    *simnet.SimulatedLink
	real    *net.UDPConn // see Search; may be nil
}

// New makes a network in which every packet takes the time latency. The seed
// decides which packets are lost. Call it in the bubble.
func New(seed uint64, latency time.Duration) *Network {
	return &Network{
		latency: latency,
		rand:    rand.New(rand.NewPCG(seed, 0)),
		addrs:   map[string]netip.AddrPort{},
		sites:   map[string]*router{},
		routers: map[string]*router{},
		nodes:   map[string]*node{},
		cut:     map[[2]string]bool{},
		narrow:  map[[2]string]int{},
		lines:   map[string]*line{},
	}
}

// Node starts the node with this name and returns its socket. A node that has
// crashed can be started again.
func (n *Network) Node(name string) net.PacketConn {
	addr := n.Addr(name)
	n.Crash(name)
	d := &node{network: n, name: name}
	d.link = &simnet.SimulatedLink{
		Latency: n.latency, UploadPacket: d,
		UplinkSettings: simnet.LinkSettings{MTU: maxPacket}, DownlinkSettings: simnet.LinkSettings{MTU: maxPacket},
	}
	d.conn = simnet.NewBlockingSimConn(net.UDPAddrFromAddrPort(addr), d.link)
	d.link.AddNode(nil, d) // in the place of conn: see RecvPacket
	d.link.Start()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[name] = d
	if n.search {
		return d.searching()
	}
	return d.conn
}

// Addr is the address that the node with this name has or will have.
func (n *Network) Addr(name string) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr(name)
}

func (n *Network) addr(name string) netip.AddrPort {
	addr, ok := n.addrs[name]
	if !ok {
		addr = netip.AddrPortFrom(n.newPublic(), Port)
		n.addrs[name] = addr
	}
	return addr
}

// newPublic returns an unused address: one of the internet, or, without routers, one of a
// single large LAN.
func (n *Network) newPublic() netip.Addr {
	n.public++
	i := n.public
	if len(n.routers) > 0 {
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
	}
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// Lose makes the network lose each packet with probability p from now on.
func (n *Network) Lose(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// Cut drops every packet between the two nodes from now on, those on their way
// excepted.
func (n *Network) Cut(a, b string) { n.setCut(a, b, true) }

// Heal takes back a Cut.
func (n *Network) Heal(a, b string) { n.setCut(a, b, false) }

func (n *Network) setCut(a, b string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]string{a, b}] = cut
	n.cut[[2]string{b, a}] = cut
}

// Crash takes the node from the network without notice: its socket fails, nothing that it
// sends arrives any more, nothing reaches it. The user of the socket must still be closed. It
// does nothing to a node that does not run.
func (n *Network) Crash(name string) {
	n.mu.Lock()
	crashed := n.nodes[name]
	delete(n.nodes, name)
	n.mu.Unlock()
	if crashed != nil {
		crashed.stop()
	}
}

// stop closes the socket first: it frees the link's goroutines, which stop waits for.
func (d *node) stop() {
	_ = d.conn.Close() // neither fails
	_ = d.link.Close()
	if d.real != nil {
		_ = d.real.Close()
	}
}

// Close stops all nodes, and so ends the goroutines of the network.
func (n *Network) Close() {
	n.mu.Lock()
	nodes := n.nodes
	n.nodes = map[string]*node{}
	n.mu.Unlock()
	for _, d := range nodes {
		d.stop()
	}
	for _, r := range n.routers {
		_ = r.link.Close() // never fails
	}
}

// SendPacket is called by the node's link (simnet.Router). Unless the node has a slow line the
// packet leaves at once; the link of the receiver, or of its router, delays it.
func (d *node) SendPacket(p simnet.Packet) error {
	n := d.network
	n.mu.Lock()
	wait, fits := n.lines[d.name].out(len(p.Data))
	n.mu.Unlock()
	if fits {
		after(wait, func() { d.forward(p) })
	}
	return nil
}

// forward takes a packet from the node's line to the receiver's, if it has one, and link.
func (d *node) forward(p simnet.Packet) {
	_, to, err := addresses(p)
	if err != nil {
		return
	}
	n := d.network
	n.mu.Lock()
	defer n.mu.Unlock()
	from, link, receiver := n.route(d, to, len(p.Data))
	if link == nil || n.loss > 0 && n.rand.Float64() < n.loss {
		return
	}
	p.From = net.UDPAddrFromAddrPort(from)
	if wait, fits := n.lines[receiver].in(len(p.Data)); fits {
		after(wait, func() { link.RecvPacket(p) })
	}
}

// route finds the link that leads to the receiver, or to its NAT: nil if there is none. It
// returns where the packet seems to come from, and the receiver unless that is for the NAT to
// say. n.mu is held.
func (n *Network) route(d *node, to netip.AddrPort, size int) (from netip.AddrPort, link *simnet.SimulatedLink, receiver string) {
	from = n.addr(d.name)
	if n.nodes[d.name] != d {
		return from, nil, "" // it has crashed
	}
	site := n.sites[d.name]
	if site != nil {
		inside := n.at(site, to)
		switch {
		case inside != nil && site.kind != Firewall && n.passes(d.name, inside.name, size):
			return from, inside.link, inside.name // within the LAN
		case site.wan == to.Addr() && site.kind != FullCone:
			return from, nil, "" // no path back in
		}
		from = site.out(time.Now(), from, to)
	}
	if r := n.nat(to.Addr()); r != nil {
		return from, r.link, ""
	}
	for name, other := range n.nodes {
		if r := n.sites[name]; n.addrs[name] == to && (r == nil || r.kind == Firewall) && n.passes(d.name, name, size) {
			return from, other.link, name
		}
	}
	return from, nil, ""
}

// passes says whether a packet of that size passes between two nodes.
func (n *Network) passes(from, to string, size int) bool {
	way := [2]string{from, to}
	largest, narrow := n.narrow[way]
	return !n.cut[way] && (!narrow || size+headers <= largest)
}

// RecvPacket is called by the node's link for a packet whose time has come.
func (d *node) RecvPacket(p simnet.Packet) {
	from, to, err := addresses(p)
	n := d.network
	n.mu.Lock()
	r := n.sites[d.name]
	gone := err != nil || n.nodes[d.name] != d || n.addr(d.name) != to
	if !gone && r != nil && r.kind == Firewall {
		_, ok := r.in(time.Now(), from, to)
		gone = !ok
	}
	n.mu.Unlock()
	if !gone {
		d.conn.RecvPacket(p)
	}
}

// at returns the node of a LAN that has the address.
func (n *Network) at(site *router, addr netip.AddrPort) *node {
	for name, d := range n.nodes {
		if n.sites[name] == site && n.addrs[name] == addr {
			return d
		}
	}
	return nil
}

// nat returns the router that has the address.
func (n *Network) nat(addr netip.Addr) *router {
	for _, r := range n.routers {
		if r.kind != Firewall && r.wan == addr {
			return r
		}
	}
	return nil
}

// AddNode is required of a simnet.Router; Network.Node does its work.
func (d *node) AddNode(net.Addr, simnet.PacketReceiver) {}

func addresses(p simnet.Packet) (from, to netip.AddrPort, err error) {
	f, ok1 := p.From.(*net.UDPAddr)
	t, ok2 := p.To.(*net.UDPAddr)
	if !ok1 || !ok2 {
		return from, to, fmt.Errorf("simtest: a packet from %v to %v, not of UDP", p.From, p.To)
	}
	return unmap(f.AddrPort()), unmap(t.AddrPort()), nil
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
