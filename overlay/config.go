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
	"quicpeer/overlay/replay"
	"quicpeer/pb"
)

// Config says how to start a node. The zero value is a peer with a random ID that starts a
// network on a free port.
type Config struct {
	// State is the peer's identity and directory. Nil: a new key under ID, kept nowhere. The
	// node uses it until it has ended; the caller closes it.
	State *State
	// ID is the peer's ID where State is nil. Empty: a random one.
	ID certs.ID
	// Listen is the UDP address HOST:PORT to listen on and to dial from. Empty: ":0".
	// See [transport.Listen] for a warning of quic-go that a program may want to silence.
	Listen string
	// Conn is used instead of a socket on Listen if it is set. The node closes it,
	// also if Start fails.
	Conn net.PacketConn
	// Join lists the addresses HOST:PORT of peers to join, and at most one ticket for a private
	// network ("qp1…"); all are tried at once; until one of
	// them lets this peer in, the peers that State's directory remembers are tried as well.
	// Empty: the node is ready at once, as a network of its own, and looks for the remembered
	// peers in the background.
	Join []string
	// NoRejoin: the node doesn't look for the peers that the state directory remembers.
	NoRejoin bool
	// JoinTimeout is how long to try the addresses of Join. 0: 10 s; negative: for ever. It
	// does not end while the network's table is coming in.
	JoinTimeout time.Duration
	// Joining, if set, is told by Start, before it returns, what becomes of each address to join.
	// One that blocks holds up Start alone, and what it has no time for is dropped.
	Joining func(JoinProgress)
	// Discover: peers on the LAN find each other by multicast DNS. Without Join the node joins
	// the peers it finds, or begins a network if none answers within 2 s.
	Discover bool
	// MapPort: the node asks the router to map an outside port to it (PCP, NAT-PMP or UPnP),
	// and gives the port back at the end.
	MapPort bool
	// Network is the name of the network, at most 64 bytes of printable UTF-8. Peers of
	// another network are refused, and so is a State whose directory was first used in another
	// one. The name is not a secret. In a private network, which the State's directory or the
	// ticket tells, it may be empty.
	Network string
	// Private: the node makes a private network of this name, at most 24 bytes, whose members are
	// invited, see Node.Invite. Its key is kept in State's directory, which it needs; on later starts,
	// when the directory is that of a private network, it does nothing. It can't be combined with Join.
	Private bool
	// Visitor: the peer may be gone in a moment, and no peer is to look for it then. Only the
	// peers it speaks to, and those it joins by, hear of it, until it has been here for 2 s,
	// broadcasts, or sends something that can't go directly; from then on it is a member like
	// any other. It must not have a State that is kept. A peer that begins a network is never
	// a visitor.
	Visitor bool
	// Tags are this peer's tags at the start, see Node.SetTags.
	Tags map[string]string
	// History bounds the history in State's directory.
	History HistoryConfig
	// NoCustody: the node leaves messages for absent peers with no other peer, and keeps none
	// for others.
	NoCustody bool
	// Qlog is a directory for qlog files of all connections, at most 64 files and 256 MiB; they hold
	// addresses. An error of the disk is logged once, and ends nothing but traces.
	Qlog string
	// Software is the program's name and version, which other peers log; at most 64 bytes.
	Software string
	// Log receives the node's log; nil is silent. Of each kind of line, by its text, the first three in
	// a minute are written, the others are counted, unless the handler is enabled for debugging.
	Log *slog.Logger

	step      func(string) bool                                            // for tests of crashes, see store.OpenWith
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error) // for tests; nil: the system's
	wall      func() time.Time                                             // for tests: the clock of tickets; nil: the system's
	older     bool                                                         // for tests: as a peer that knows no features
	recording *replay.Recording                                            // for tests: the core's inputs; nil: none

	place place // what withDefaults has found out of the network
}

// withDefaults fills in what is not set, on a copy.
func (c Config) withDefaults() (Config, error) {
	if err := c.takeTicket(); err != nil {
		return c, err
	}
	if c.State == nil {
		if c.ID == "" && c.place.ticket != nil {
			c.ID = c.place.ticket.ID
		}
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
	if c.wall == nil {
		c.wall = func() time.Time { return time.Now().Round(0) } // that of the day: a suspended machine's other clock stands still
	}
	c.Software = strings.ToValidUTF8(c.Software[:min(len(c.Software), pb.MaxSoftware)], "")
	if err := pb.CheckNetwork(c.Network); err != nil {
		return c, err
	}
	return c, c.findPlace(c.State.Identity.Key())
}

// ID is the node's ID.
func (n *Node) ID() certs.ID { return n.id }

// Key is the node's key.
func (n *Node) Key() certs.PublicKey { return n.cfg.State.Identity.Key() }

// HistoryConfig bounds the history. Its zero value keeps 256 MiB or a million messages, whichever is
// less, and drops the oldest first.
type HistoryConfig struct {
	Off      bool  // nothing is kept but what exactly-once delivery needs
	Bytes    int64 // at least 16 MiB; 0: 256 MiB
	Messages int   // 0: a million
}
