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

	mu    sync.Mutex
	rand  *rand.Rand
	loss  float64
	addrs map[string]netip.AddrPort
	nodes map[netip.AddrPort]*node
	cut   map[[2]netip.AddrPort]bool // by sender and receiver
}

// node is a running node: a socket and the link that delays what comes to it.
type node struct {
	conn *simnet.SimConn
	link *simnet.SimulatedLink
}

// New makes a network in which every packet takes the time latency. The seed
// decides which packets are lost. Call it in the bubble.
func New(seed uint64, latency time.Duration) *Network {
	return &Network{
		latency: latency,
		rand:    rand.New(rand.NewPCG(seed, 0)),
		addrs:   map[string]netip.AddrPort{},
		nodes:   map[netip.AddrPort]*node{},
		cut:     map[[2]netip.AddrPort]bool{},
	}
}

// Node starts the node with this name and returns its socket. A node that has
// crashed can be started again.
func (n *Network) Node(name string) net.PacketConn {
	addr := n.Addr(name)
	n.Crash(name)
	link := &simnet.SimulatedLink{Latency: n.latency, UploadPacket: n}
	conn := simnet.NewBlockingSimConn(net.UDPAddrFromAddrPort(addr), link)
	link.Start()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[addr] = &node{conn, link}
	return conn
}

// Addr is the address that the node with this name has or will have.
func (n *Network) Addr(name string) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr, ok := n.addrs[name]
	if !ok {
		i := len(n.addrs) + 1
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port)
		n.addrs[name] = addr
	}
	return addr
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
	from, to := n.Addr(a), n.Addr(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]netip.AddrPort{from, to}] = cut
	n.cut[[2]netip.AddrPort{to, from}] = cut
}

// Crash takes the node from the network without a word: its socket fails, nothing
// that it sends arrives any more, nothing reaches it. What used the socket is
// still to be closed. It does nothing to a node that does not run.
func (n *Network) Crash(name string) {
	addr := n.Addr(name)
	n.mu.Lock()
	crashed := n.nodes[addr]
	delete(n.nodes, addr)
	n.mu.Unlock()
	if crashed != nil {
		crashed.stop()
	}
}

// stop closes the socket first: it frees the link's goroutines, which stop waits for.
func (d *node) stop() {
	_ = d.conn.Close() // neither fails
	_ = d.link.Close()
}

// Close stops all nodes, and so ends the goroutines of the network.
func (n *Network) Close() {
	n.mu.Lock()
	nodes := n.nodes
	n.nodes = map[netip.AddrPort]*node{}
	n.mu.Unlock()
	for _, d := range nodes {
		d.stop()
	}
}

// SendPacket is called by the nodes' links (simnet.Router).
func (n *Network) SendPacket(p simnet.Packet) error {
	from, to, err := addresses(p)
	if err != nil {
		return err
	}
	n.mu.Lock()
	lost := n.cut[[2]netip.AddrPort{from, to}] || n.loss > 0 && n.rand.Float64() < n.loss
	receiver := n.nodes[to]
	n.mu.Unlock()
	if !lost && receiver != nil {
		receiver.link.RecvPacket(p)
	}
	return nil
}

// AddNode is required of a simnet.Router; Node does what is to be done.
func (n *Network) AddNode(net.Addr, simnet.PacketReceiver) {}

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
