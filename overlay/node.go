// Package overlay is a node of the network of peers: start one with [Start],
// loop over [Node.Events], and [Node.Send].
//
//	main ── Start, Send, Broadcast, Leave ──▶ Node ◀── Events ── main
//	                                           │
//	       inputs, one after the other         │        messages, each on the
//	 links ─────────────▶ loop ──▶ core        │        goroutines of its link
//	       ◀───────────── frames, dials,       └──▶ messaging ──▶ stream ──▶ peer
//	                      closes, events                      ◀── stream ◀── peer
//	        ◀──────────── letters, wishes ─────────▶
//
// Package core makes every decision about the network, on one goroutine, the loop. Direct
// messages do not pass through it: package messaging writes them to the link that the loop has
// given it for their receiver, and puts messages that arrive on a link into the queue that
// Events reads.
//
// # Delivery
//
// A message that Sent reports is in the state directory, if there is one, until Delivered or
// Failed has told the program how it ended. It goes over a connection to its receiver, or one that
// other peers carry, or else sealed over them; for a receiver that is not here it is also left,
// sealed, with up to three others. Whichever path it takes, the receiver shows each message once, in the order of
// its sender. Its receipt says that the receiver has noted that: its program has come back
// from the message to the loop over Events. So a program that stops reading its events
// withholds receipts from the peers that write to it, and holds up nobody else. Package
// delivery has the rules.
package overlay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/replay"
	"quicpeer/overlay/terse"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Node is a running peer. Its methods may be called from any goroutine; only one goroutine at
// a time may loop over Events.
type Node struct {
	cfg      Config
	id       certs.ID
	log      *slog.Logger
	endpoint *transport.Endpoint
	disk     *messaging.Disk
	messages *messaging.Engine
	reach    reach
	members  *members
	expelled []outKey // of the loop: messages for them are to fail
	parts
	mailbox // of the loop
	clock

	ctx     context.Context // ends with the node
	cancel  context.CancelFunc
	ready   chan struct{} // closed when the node is in the network
	joining progress      // until then
	wg      sync.WaitGroup

	mu      sync.Mutex // not held while calling messages
	leaving bool
	err     error

	left        chan struct{} // closed when Leave is done
	undelivered int
}

// parts are what a node does beside its own methods.
type parts struct {
	stream
	watched
	pinger
	rooms
	describer
	exchange
	bulks
}

// Start starts a node and joins the network. With addresses to join it returns when the
// network's table has been received, or with the reason why it was not: *DuplicateIDError,
// *RefusedError, *UnreachableError, ErrStartedElsewhere, or an error of the socket or the
// state directory (*DamagedError and *OtherNetworkError among them). The node runs until Leave
// or Close, or until it stops by itself, see Err. ctx is for the joining alone.
func Start(ctx context.Context, cfg Config) (n *Node, err error) {
	if cfg.Conn != nil {
		defer func() {
			if n == nil {
				_ = cfg.Conn.Close() // Start's own error says more
			}
		}()
	}
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Log = terse.New(cfg.Log)
	conn := cfg.Conn
	if conn == nil {
		if conn, err = transport.Listen(cfg.Listen); err != nil {
			return nil, err
		}
	}
	endpoint, err := transport.NewEndpoint(transport.Config{
		Conn: conn, Identity: cfg.State.Identity, ResetKey: cfg.State.Identity.ResetKey(), Tag: tagOf(cfg.State.ID), Log: cfg.Log,
		Door: cfg.place.door, Qlog: cfg.Qlog,
	})
	if err != nil {
		return nil, err
	}
	if n, err = newNode(cfg, endpoint); err != nil {
		endpoint.Close()
		terse.End(cfg.Log)
		return nil, err
	}
	for {
		select {
		case <-n.ready:
			return n, nil
		case <-n.ended:
			return nil, n.Close()
		case p := <-n.joining:
			cfg.Joining(p)
		case <-ctx.Done():
			n.Close()
			return nil, ctx.Err()
		}
	}
}

func newNode(cfg Config, endpoint *transport.Endpoint) (*Node, error) {
	tags, err := encodeTags(cfg.Tags)
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, id: cfg.State.ID, log: cfg.Log, endpoint: endpoint,
		mailbox: newMailbox(),
		clock:   clock{time.Now()},
		members: newMembers(cfg.State, cfg.place.network),
		ready:   make(chan struct{}),
		left:    make(chan struct{}),
	}
	if cfg.Joining != nil {
		n.joining = make(progress, maxProgress)
	}
	n.watched = watched{n}
	n.pinger.node = n
	n.rooms = rooms{n}
	n.bulks = bulks{n}
	var random [8]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	nonce := binary.BigEndian.Uint64(random[:])
	kept, err := n.openDisk(nonce)
	if err != nil {
		return nil, errors.Join(err, n.disk.Close())
	}
	epoch, err := n.cfg.State.NextEpoch(uint64(time.Now().UnixMilli()))
	if err != nil {
		return nil, errors.Join(err, n.disk.Close())
	}
	n.describer, n.exchange = describer{&n.mailbox}, exchange{n.messages, n.rooms}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	var here addresses
	here.own, here.near = ownAddresses(endpoint.Addr())
	setup := replay.Setup{Start: n.now()}
	rand.Read(setup.Seed[:])
	features := pb.Features()
	if n.remembers() {
		features = append(features, pb.FeaturePast)
	}
	if cfg.older {
		features = nil
	}
	visitor := cfg.Visitor && cfg.State.Dir == ""
	setup.Config = base.Config{
		ID: n.id, Identity: cfg.State.Identity, Network: cfg.place.network.Label(), Membership: membership(n, kept.removals), Software: cfg.Software, Features: features,
		Addresses: here.own, Near: here.near, Epoch: epoch, Nonce: nonce, Join: cfg.Join, JoinTimeout: cfg.JoinTimeout,
		Met: kept.met, Discover: cfg.Discover, Visitor: visitor, NoCustody: cfg.NoCustody, Memory: base.Memory{Custody: kept.custody, Shown: kept.shown, Past: kept.past, Wall: time.Now().UnixNano()}, Tags: tags,
		Rooms: n.names(),
	}
	l := newLoop(n, setup, here, kept.tickets)
	n.wg.Add(1) // until all of them have started: the loop may fail at once, and Close waits for all
	defer n.wg.Done()
	n.startReach()
	n.wg.Go(n.accept)
	n.wg.Go(l.run)
	n.wg.Go(func() { recallAll(n, l.recalls) })
	n.wg.Go(func() { n.watchAddresses(here.own) })
	n.messages.Start()
	return n, nil
}

// Send sends a direct message: UTF-8 of at most 1 MiB (pb.MaxBody), which arrives byte for
// byte. ref comes back in each event of the message, also after a restart. If the receiver is
// not in the network the message waits for it, for 7 days in which this peer runs
// (delivery.Lifetime), and with a state directory over restarts.
//
// Send returns when the message has its ID, before it is on its way or safe: the event Sent
// says that it is. It blocks while 16,384 messages or 32 MiB to this receiver have no receipt,
// or 64 MiB to all, or 65,536 events of our own messages wait in Events: a program that sends
// very much from within its loop over Events should give it a ctx. For a receiver that isn't
// here it does not block but returns ErrOutboxFull. Errors: ErrToSelf, ErrTooLong, ErrNotUTF8,
// ErrOutboxFull, ErrClosed, that of a malformed ID, that of ctx.
func (n *Node) Send(ctx context.Context, to certs.ID, body, ref string) (MessageID, error) {
	return n.messages.Send(ctx, to, Draft{Body: body, Ref: ref})
}

// Cancel withdraws a message that has no receipt yet, also one of an earlier run: this peer
// neither sends nor keeps it any more. Failed reports when that is done, with the error
// "cancelled". Copies that this run has left with others are taken back after that, as far as these
// can be reached; one that is on its way by then may still be shown. ErrNotWaiting: the message is
// not known, or its end has been reported already; ErrClosed: this peer has left.
func (n *Node) Cancel(id MessageID) error { return n.messages.Cancel(id) }

// Ignore hides a peer, by its key: the one that has this ID now, or had it last. Its messages are
// refused, which its program learns from Failed, and its broadcasts are passed on but not shown,
// until Unignore, also after a restart; what is sent to it still goes. Ignore returns when that is
// on disk, if there is a state directory. Errors: ErrUnknownPeer, ErrIgnoreSelf, ErrIgnoredFull
// (1024 are ignored), ErrClosed.
func (n *Node) Ignore(id certs.ID) error { return n.messages.Ignored.Ignore(id) }

// Unignore shows messages of the peers again that are ignored under an ID; those that came meanwhile
// are not shown. Nor are those with Message.Before that were written before Unignore, or within ten
// minutes after it, as clocks differ. ErrNotIgnored: there are none; ErrClosed: this peer has left.
func (n *Node) Unignore(id certs.ID) error { return n.messages.Ignored.Unignore(id) }

// Ignored lists the ignored peers, in the order of their IDs.
func (n *Node) Ignored() []IgnoredPeer { return n.messages.Ignored.Peers() }

// Waiting lists the receivers, in the order of their IDs, with messages that wait or are on
// their way.
func (n *Node) Waiting() []Waiting { return n.messages.Waiting() }

// Outgoing lists the messages that wait or are on their way, of earlier runs too, the newest
// first.
func (n *Node) Outgoing() []Outgoing { return n.messages.Outgoing() }
