package overlay

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/replay"
	"quicpeer/pb"
)

// Config is how to start a node. The zero value is a peer with a random ID that
// starts a network on a free port.
type Config struct {
	// State is who the peer is. Nil: a new key, kept nowhere, under ID. The node
	// uses it until it has ended; the caller closes it.
	State *State
	// ID is the peer's ID where State is nil. Empty: a random one.
	ID certs.ID
	// Listen is the UDP address HOST:PORT to listen on and to dial from. Empty: ":0".
	// See [transport.Listen] for a warning of quic-go that a program may want to silence.
	Listen string
	// Conn is used instead of a socket on Listen if it is set. The node closes it,
	// also if Start fails.
	Conn net.PacketConn
	// Join are the addresses HOST:PORT of peers to join, all tried at once; while none lets
	// this one in, the peers that State's directory remembers are tried as well. Empty: the
	// node is ready at once, as a network of its own, and looks for those in the background.
	Join []string
	// NoRejoin: it doesn't look for the peers that the state directory remembers.
	NoRejoin bool
	// JoinTimeout is how long to try them. 0: 10 s; negative: for ever. While the network's
	// table comes in it is not over.
	JoinTimeout time.Duration
	// Discover: peers on the LAN are found, and find this one, by multicast DNS. Without
	// Join the node joins what is there, or begins a network if nobody answers within 2 s.
	Discover bool
	// MapPort: the router is asked to lead a port to this peer from outside (PCP, NAT-PMP
	// or UPnP). It is given back at the end.
	MapPort bool
	// Network is the name of the network, at most 64 bytes of printable UTF-8;
	// peers of another one are refused, and so is a State whose directory was first in
	// another one. Not a secret.
	Network string
	// Visitor: the peer may be gone in a moment, and nobody will look for it. Only whom it
	// speaks to, and whom it joins by, are told of it, until it has been here for 2 s,
	// broadcasts, or sends what can't go directly; then it is a member as any other. It
	// must not have a State that is kept. Who begins a network is never a visitor.
	Visitor bool
	// NoCustody: messages for peers that are not here are left with nobody, and
	// nothing is kept for others.
	NoCustody bool
	// Software is the program's name and version, told to other peers for their
	// logs, at most 64 bytes.
	Software string
	// Log receives what happens, nil is silent.
	Log *slog.Logger

	step      func(string) bool                                            // for tests of crashes, see store.OpenWith
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error) // for tests; nil: the system's
	recording *replay.Recording                                            // for tests: what the core is told; nil: none
}

// withDefaults fills in what is not set, on a copy.
func (c Config) withDefaults() (Config, error) {
	if c.State == nil {
		if c.ID == "" {
			c.ID = certs.RandomID(rand.Reader)
		}
		id, err := certs.ParseID(string(c.ID))
		if err != nil {
			return c, err
		}
		seed := make([]byte, ed25519.SeedSize)
		rand.Read(seed) // never fails, see crypto/rand
		c.State = NewState(id, certs.NewIdentity(seed))
	}
	if c.Listen == "" {
		c.Listen = ":0"
	}
	if c.JoinTimeout == 0 {
		c.JoinTimeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.lookup == nil {
		c.lookup = lookupIP
	}
	c.Software = strings.ToValidUTF8(c.Software[:min(len(c.Software), pb.MaxSoftware)], "")
	if err := pb.CheckNetwork(c.Network); err != nil {
		return c, err
	}
	return c, c.State.CheckNetwork(c.Network)
}

// ID is the node's ID.
func (n *Node) ID() certs.ID { return n.id }

// Key is the node's key.
func (n *Node) Key() certs.PublicKey { return n.cfg.State.Identity.Key() }
