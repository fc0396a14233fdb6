// Package overlay is a node of the network of peers.
package overlay

import (
	"context"
	"iter"
	"log/slog"
	"net"
	"time"

	"quicpeer/certs"
)

// Config is how to start a node. The zero value is a peer with a random ID that
// starts a network on a free port.
type Config struct {
	// State is who the peer is. Nil: a new key, kept nowhere, under ID.
	State *certs.State
	// ID is the peer's ID where State is nil. Empty: a random one.
	ID certs.ID
	// Listen is the UDP address HOST:PORT to listen on and to dial from. Empty: ":0".
	Listen string
	// Conn is used instead of a socket on Listen if it is set. The node closes it.
	Conn net.PacketConn
	// Join are the addresses HOST:PORT of peers to join, all tried at once. Empty: a new network.
	Join []string
	// JoinTimeout is how long to try them. 0: 10 s; negative: for ever.
	JoinTimeout time.Duration
	// Network is the name of the network; peers of another one are refused. Not a secret.
	Network string
	// Software is the program's name and version, told to other peers for their
	// logs, at most 64 bytes.
	Software string
	// Log receives what happens, nil is silent.
	Log *slog.Logger
}

// Node is a running peer.
type Node struct{}

// Start starts a node and joins the network.
func Start(ctx context.Context, cfg Config) (*Node, error) { panic("stub") }

// ID is the node's ID.
func (n *Node) ID() certs.ID { panic("stub") }

// Events yields what happens, in order, until the node has stopped.
func (n *Node) Events() iter.Seq[Event] { panic("stub") }

// Err says why the node stopped by itself; nil after Leave and Close.
func (n *Node) Err() error { panic("stub") }

// Send sends a direct message.
func (n *Node) Send(ctx context.Context, to certs.ID, body, ref string) (MessageID, error) {
	panic("stub")
}

// Broadcast sends a message to everyone.
func (n *Node) Broadcast(ctx context.Context, body, ref string) (MessageID, error) { panic("stub") }

// Peers is the routing table.
func (n *Node) Peers() []Peer { panic("stub") }

// Waiting lists for whom messages wait.
func (n *Node) Waiting() []Waiting { panic("stub") }

// Leave waits for receipts until ctx ends, says goodbye and closes.
func (n *Node) Leave(ctx context.Context) (undelivered int, err error) { panic("stub") }

// Close is Leave without waiting for receipts.
func (n *Node) Close() error { panic("stub") }
