// Package overlay is a node of the network of peers: start one with [Start],
// loop over [Node.Events], and [Node.Send].
//
//	main ── Start, Send, Broadcast, Leave ──▶ Node ◀── Events ── main
//	                                           │
//	       inputs, one after the other         │        messages, each on the
//	 links ─────────────▶ loop ──▶ core        │        goroutines of its link
//	       ◀───────────── frames, dials,       └──▶ outbox ──▶ stream ──▶ peer
//	                      closes, events            queue ◀── inbox ◀──── peer
//	        ◀──────────── letters ─────────────────▶ relay, custody
//
// Every decision about the network is made by package core, on one goroutine,
// the loop. Direct messages do not pass through it: an outbox for each receiver
// writes to the link that the loop has given it, and an inbox for each link puts
// what comes into the queue that Events reads.
//
// # Delivery
//
// A message that Sent reports is in the state directory, if there is one, until the
// program has been told by Delivered or Failed what became of it. It goes over a
// connection to its receiver, else sealed over other peers, and to a receiver that is
// not here it is also left, sealed, with up to three others. Whatever way it comes, the
// receiver shows each message once, in the order of its sender, and its receipt says
// that it has noted that: the program has come back from the message to the loop over
// Events. So a program that stops looking withholds the receipts from those who write
// to it, and from nobody else anything. Package delivery has the rules.
package overlay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/replay"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Node is a running peer. Its methods may be called from any goroutine, the loop
// over Events by one at a time.
type Node struct {
	cfg      Config
	id       certs.ID
	log      *slog.Logger
	endpoint *transport.Endpoint
	queue    *queue
	reach    reach
	mailbox  // of the loop
	clock

	ctx    context.Context // ends with the node
	cancel context.CancelFunc
	ready  chan struct{} // closed when the node is in the network
	wg     sync.WaitGroup

	ids  messageIDs
	held atomic.Int64 // bytes in all outboxes

	store       *store.Store // nil: nothing is kept
	uptime      uptime
	letters     chan core.Envelope
	letterBytes atomic.Int64 // in letters
	answers     chan answer
	owing       atomic.Int64 // answers that are not sent
	noting      atomic.Int64 // messages shown of which that is not safe
	early       atomic.Int64 // bytes of letters that wait for earlier ones
	custodian   custodian

	mu       sync.Mutex
	outboxes map[certs.ID]*outbox
	absent   int // outboxes of receivers that are not here
	present  map[certs.ID]certs.PublicKey
	known    map[certs.ID]known // peers that were met
	senders  map[certs.PublicKey]*sender
	marks    map[certs.PublicKey]store.Mark // of senders, from earlier runs
	words    []lastWord                     // from earlier runs
	guess    guess                          // the last for an ID that was not met
	idle     chan struct{}                  // an outbox has become empty, or its receiver has gone
	leaving  bool
	err      error

	left        chan struct{} // closed when Leave is done
	undelivered int

	reading    reading
	nextExpire time.Duration
}

// Start starts a node and joins the network: with addresses to join it returns
// when the network's table has been received, or with the reason why not
// (*DuplicateIDError, *RefusedError, *UnreachableError, ErrStartedElsewhere, or
// an error of the socket or the state directory, *certs.DamagedError and
// *certs.OtherNetworkError among them). The
// node runs until Leave or Close, or until it stops by itself, see Err. ctx is for the
// joining alone.
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
	conn := cfg.Conn
	if conn == nil {
		if conn, err = transport.Listen(cfg.Listen); err != nil {
			return nil, err
		}
	}
	endpoint, err := transport.NewEndpoint(transport.Config{
		Conn: conn, Identity: cfg.State.Identity, ResetKey: cfg.State.Identity.ResetKey(), Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	if n, err = newNode(cfg, endpoint); err != nil {
		endpoint.Close()
		return nil, err
	}
	select {
	case <-n.ready:
		return n, nil
	case <-n.ended:
		return nil, n.Close()
	case <-ctx.Done():
		n.Close()
		return nil, ctx.Err()
	}
}

func newNode(cfg Config, endpoint *transport.Endpoint) (*Node, error) {
	n := &Node{
		cfg: cfg, id: cfg.State.ID, log: cfg.Log, endpoint: endpoint, queue: newQueue(),
		mailbox:  newMailbox(),
		clock:    clock{time.Now()},
		ready:    make(chan struct{}),
		letters:  make(chan core.Envelope, maxLetters),
		answers:  make(chan answer, maxAnswers),
		outboxes: make(map[certs.ID]*outbox),
		present:  make(map[certs.ID]certs.PublicKey),
		known:    make(map[certs.ID]known),
		marks:    make(map[certs.PublicKey]store.Mark),
		senders:  make(map[certs.PublicKey]*sender),
		idle:     make(chan struct{}, 1),
		left:     make(chan struct{}),
	}
	n.custodian.wake = make(chan struct{}, 1)
	met, err := n.openStore()
	if err != nil {
		return nil, errors.Join(err, n.closeStore())
	}
	kept, err := n.kept()
	if err != nil {
		return nil, errors.Join(err, n.closeStore())
	}
	epoch, err := n.nextEpoch(uint64(time.Now().UnixMilli()))
	if err != nil {
		return nil, errors.Join(err, n.closeStore())
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	var here addresses
	here.own, here.near = ownAddresses(endpoint.Addr())
	var nonce [8]byte
	rand.Read(nonce[:]) // never fails, see crypto/rand
	n.ids.nonce = binary.BigEndian.Uint64(nonce[:])
	setup := replay.Setup{Start: n.now()}
	rand.Read(setup.Seed[:])
	setup.Config = core.Config{
		ID: n.id, Identity: cfg.State.Identity, Network: cfg.Network, Software: cfg.Software,
		Addresses: here.own, Near: here.near, Epoch: epoch, Nonce: n.ids.nonce, Join: cfg.Join, JoinTimeout: cfg.JoinTimeout,
		Met: met, Discover: cfg.Discover, Visitor: cfg.Visitor && cfg.State.Dir == "", NoCustody: cfg.NoCustody, Custody: kept, Shown: n.shownBroadcasts(),
	}
	l := newLoop(n, setup, here)
	n.startReach()
	n.wg.Go(n.accept)
	n.wg.Go(l.run)
	n.wg.Go(func() { n.watchAddresses(here.own) })
	n.wg.Go(n.openLetters)
	n.wg.Go(n.answerAll)
	if !cfg.NoCustody {
		n.wg.Go(n.leaveWithOthers)
	}
	return n, nil
}

// Events yields what happens, in order, Ready first, until the node has stopped.
// An event counts as handled when the loop comes back for the next one: then the
// sender of a message gets its receipt. The event at which a loop breaks is the
// first of the next loop. One loop at a time.
func (n *Node) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if n.store != nil {
			if !n.reading.begin() {
				return // what is shown now could not be noted
			}
			defer func() {
				if n.reading.end() {
					_ = n.closeStore() // who has closed the node is not waiting any more
				}
			}()
		}
		for {
			items, ok := n.queue.take()
			if !ok {
				return
			}
			for i, it := range items {
				if !yield(it.event) {
					n.queue.putBack(items[i:])
					return
				}
				n.queue.handled(it)
				n.noteHandled(it)
			}
		}
	}
}

// Send sends a direct message: UTF-8 of at most 1 MiB (pb.MaxBody), which
// arrives byte for byte as it is. ref comes back in each event of the message, also
// after a restart. To a peer that is not in the network the message waits for it, for 7
// days in which this one runs (delivery.Lifetime), and with a state directory over restarts.
//
// Send returns when the message has its ID, before it is on its way or safe: that is
// what Sent says. It waits while 16,384 messages or 32 MiB to this receiver have no
// receipt, or 64 MiB to all, or 65,536 events of one's own wait in Events: a program
// that sends very much from within its loop over Events should give it a ctx. To a
// receiver that isn't here it does not wait: ErrOutboxFull. Errors: ErrToSelf,
// ErrTooLong, ErrNotUTF8, ErrOutboxFull, ErrClosed, of a malformed ID, of ctx.
func (n *Node) Send(ctx context.Context, to certs.ID, body, ref string) (MessageID, error) {
	if _, err := certs.ParseID(string(to)); err != nil {
		return MessageID{}, err
	}
	if to == n.id {
		return MessageID{}, ErrToSelf
	}
	if err := checkBody(body, pb.MaxBody); err != nil {
		return MessageID{}, err
	}
	if err := n.queue.waitOwn(ctx); err != nil {
		return MessageID{}, err
	}
	for {
		o, err := n.outbox(to)
		if err != nil {
			return MessageID{}, err
		}
		id, err := o.add(ctx, body, ref, n.whyAway(to))
		if err != nil {
			n.forgetOutbox(o)
		}
		if err != ErrClosed || n.isLeaving() {
			return id, err
		}
		// The outbox was idle and has just been forgotten.
	}
}

func checkBody(body string, limit int) error {
	if len(body) > limit {
		return &TooLongError{Bytes: len(body), Limit: limit}
	}
	if !utf8.ValidString(body) {
		return ErrNotUTF8
	}
	return nil
}

// Waiting lists, in the order of the IDs, for whom messages wait or are on their way.
func (n *Node) Waiting() []Waiting {
	var list []Waiting
	for _, o := range n.allOutboxes() {
		if w := o.waiting(); w.Count > 0 {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b Waiting) int { return cmp.Compare(a.To, b.To) })
	return list
}

// want asks the loop for a link for the outbox of a peer.
func (n *Node) want(to certs.ID) { n.post(wanted{to}) }
