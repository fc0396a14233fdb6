// Package transport connects authenticated peers over QUIC. It is the only package that uses
// quic-go, and it does not know the network of peers: callers decide what a frame says, whom
// to dial and which of two links to keep.
//
// # How connections work here
//
// An [Endpoint] has one UDP socket ([Listen]) on which it both listens and dials, so the
// address that others see is the address they can dial. A connection between two peers is a
// [Link]. Both sides have shown the certificate of their key in TLS, so a Link has a peer
// ([Link.Peer]) from the start.
//
//	dialer                                        the other side
//	Dial ───────── TLS, both ways ─────────────▶  (not seen yet)
//	Send ───────── first frame ────────────────▶  Accept
//	Receive ◀───── frames, both ways ──────────▶  Send, Receive
//	OpenStream ─── Message…, FIN ──────────────▶  AcceptStream
//	        ◀───── Receipt…, FIN ───────────────
//	Shut ───────── what is queued, FIN ────────▶  Receive gives io.EOF
//	        ◀───── what is queued, FIN ─────────  Shut
//	        ────── close: code and reason ─────▶  Done
//
// Four facts of QUIC shape this. Dial returns half a round trip before the other
// side has judged our certificate, and a stream does not exist for the other side
// until something is written on it: so a link is up only when the peer's first
// frame has arrived, and the dialer speaks first. Closing a connection throws away
// what has not been read yet: so there is a goodbye, the end of the control
// stream, and it is answered. The notice of closing is sent once and can be lost,
// and a crash sends none: so a silent link ends by itself after 15 s, and
// [Link.Stats] shows the silence long before. Two peers that dial each other at
// once get two links; both work.
//
// The control stream carries frames that are small and must not wait. [Link.Send]
// never blocks: a frame goes into the link's queue, and the link's goroutine
// writes what is there in one piece. A peer that does not read lets its own queue
// fill, nobody else's, and is cut off. Message streams carry the rest, and there
// the writer waits for the reader.
//
// A Link may also be carried: then its packets go over other peers, which see nothing of the content
// ([Endpoint.DialCarried]; carrier.go). Whoever uses it need not know.
//
// A peer that breaks the protocol gets a code and a reason, and its link ends. The gate in
// gate.go bounds strangers before they have a link.
package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// Config is the configuration of an [Endpoint].
type Config struct {
	// Conn is the socket, from [Listen] or of a simulated network. The endpoint owns it and
	// closes it.
	Conn net.PacketConn
	// Identity is this peer's identity. Required.
	Identity *certs.Identity
	// Door, if there is one, is that of a private network: only peers that know the network are
	// spoken to, whoever dials and however packets travel. To all others this peer is a service
	// of some other protocol, and shows no certificate. Nil: an open network.
	Door *certs.Door
	// ResetKey makes the stateless resets by which a peer learns at once that we have
	// restarted and have lost its connection. It must be secret and the same after a restart.
	// Zero: no resets; the peer waits for its idle timeout.
	ResetKey [32]byte
	// Tag is this peer's name as the end of carried links.
	Tag Tag
	// Qlog is a directory for qlog files of all connections, bounded in number and size. They hold
	// addresses. Empty: none are written.
	Qlog string
	// Log receives the refusals and their reasons. Nil is silent.
	Log *slog.Logger
}

// Endpoint is a peer's place in the network: it dials and accepts links. All
// methods may be called from any goroutine.
type Endpoint struct {
	conn      net.PacketConn
	tls       tlsConfig
	log       *slog.Logger
	transport *quic.Transport
	listener  *quic.Listener
	gate      gate
	unproved  unproved
	inside    inside
	qlogs     *qlogs // nil: none are written
	accepted  chan *Link
	bulks     bulks
	queued    atomic.Int64 // bytes in the queues of all links

	ctx    context.Context // ends when the endpoint does, with the reason as its cause
	cancel context.CancelCauseFunc
	ended  chan struct{}  // closed at the end of Close
	group  sync.WaitGroup // acceptors, admissions, links and bulk connections

	mu        sync.Mutex
	ready     bool // connections may be taken: before, they wait in quic-go's queue
	closed    bool // no link is added any more, and no acceptor
	acceptors int  // goroutines that take connections
	links     map[*Link]struct{}
}

// NewEndpoint starts an endpoint, which listens from now on. It owns cfg.Conn, even if it
// fails.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	return newEndpoint(cfg, func(want certs.PublicKey, protocols ...string) (*tls.Config, error) {
		return cfg.Identity.TLS(want, cfg.Door, protocols...)
	})
}

// tlsConfig makes the TLS configuration of each dial, and of listening.
type tlsConfig func(want certs.PublicKey, protocols ...string) (*tls.Config, error)

// newEndpoint is NewEndpoint with another source of TLS configurations.
func newEndpoint(cfg Config, tls tlsConfig) (*Endpoint, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{
		conn:     cfg.Conn,
		tls:      tls,
		log:      cfg.Log,
		accepted: make(chan *Link),
		bulks:    bulks{make(chan *Bulk, maxBulksWaiting), map[*Bulk]struct{}{}},
		ended:    make(chan struct{}),
		links:    map[*Link]struct{}{},
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.gate.init(cfg.Log, outerLimits(), e.welcome)
	e.gate.unproved = &e.unproved
	e.beginQlogs(cfg.Qlog)
	e.transport = &quic.Transport{
		Conn:                e.unproved.bound(cfg.Conn),
		ConnContext:         e.gate.enter,
		VerifySourceAddress: e.gate.doubts,
	}
	if cfg.ResetKey != [32]byte{} {
		key := quic.StatelessResetKey(cfg.ResetKey)
		e.transport.StatelessResetKey = &key
	}
	err := e.listen()
	if err == nil {
		err = e.inside.start(e, cfg.Tag)
	}
	if err != nil {
		e.cancel(err)
		err = errors.Join(fmt.Errorf("starting QUIC: %w", err), e.transport.Close(), e.conn.Close())
		e.endQlogs()
		return nil, err
	}
	logBuffers(e.conn, e.log)
	e.mu.Lock()
	e.ready = true
	e.mu.Unlock()
	e.welcome(max(1, e.gate.inside()))
	return e, nil
}

func (e *Endpoint) listen() error {
	tls, err := e.tls(certs.PublicKey{}, certs.ALPN, certs.ALPNFile)
	if err != nil {
		return err
	}
	e.listener, err = e.transport.Listen(tls, e.traced(quicConfig()))
	return err
}

// Close ends the endpoint: open links and bulk connections are closed with CodeShutdown, Dial and
// Accept return an error that is [net.ErrClosed]. Before it, say goodbye to links ([Link.Shut]) and wait for
// them ([Link.Done]), or their peers lose what is on its way. When Close returns, no goroutine
// of the endpoint is left. It may be called twice.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	links, bulks := e.links, e.bulks.open
	e.links, e.bulks.open = nil, nil
	e.mu.Unlock()
	if again {
		<-e.ended
		return nil
	}
	defer close(e.ended)
	e.cancel(net.ErrClosed)
	for l := range links {
		l.Abort(CodeShutdown, "")
	}
	for b := range bulks {
		b.Close(CodeShutdown, "")
	}
	e.listener.Close() // handshakes under way are refused; the acceptors return
	e.inside.listener.Close()
	e.group.Wait()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	<-grace.C
	err := errors.Join(e.inside.stop(), e.transport.Close())
	e.gate.await()
	e.endQlogs()
	return errors.Join(err, e.conn.Close())
}

// Counts is what an endpoint has counted since its start.
type Counts struct {
	Refused uint64 // connections, since too many were on their way in
	Carried uint64 // bytes that were passed on for other peers
}

// Counts returns what the endpoint has counted.
func (e *Endpoint) Counts() Counts {
	return Counts{Refused: e.gate.refusals() + e.inside.gate.refusals(), Carried: uint64(e.inside.carrier.passed.Load())}
}

// inside is the part of an endpoint that makes carried links.
type inside struct {
	carrier   *carrier
	transport *quic.Transport
	listener  *quic.Listener
	gate      gate
}

// start listens for the connections that are carried to us. Stateless resets are off: with the
// same short connection IDs as outside, one could be had here and used there.
func (in *inside) start(e *Endpoint, own Tag) error {
	in.carrier = newCarrier(own)
	in.gate.init(e.log, gateLimits{all: maxCarriedOpen, doubtful: doubtfulCarried, groups: carriedGroups}, nil)
	in.transport = &quic.Transport{
		Conn: in.carrier, ConnContext: in.gate.enter, VerifySourceAddress: in.gate.doubts, DisableVersionNegotiationPackets: true,
	}
	tls, err := e.tls(certs.PublicKey{}, certs.ALPN, certs.ALPNFile)
	if err != nil {
		return err
	}
	if in.listener, err = in.transport.Listen(tls, e.traced(carriedConfig())); err != nil {
		return err
	}
	e.group.Go(e.acceptCarried)
	return nil
}

// stop ends what makes carried links, once all links have ended.
func (in *inside) stop() error {
	err := in.transport.Close()
	in.gate.await()
	return errors.Join(err, in.carrier.Close())
}

// newLink turns a connection with its control stream into a link and starts it.
func (e *Endpoint) newLink(conn *quic.Conn, control *quic.Stream) (*Link, error) {
	peer, err := certs.PeerKey(conn.ConnectionState().TLS)
	if err != nil {
		return nil, err
	}
	l := &Link{
		endpoint: e,
		conn:     conn,
		control:  control,
		reader:   bufio.NewReader(control),
		peer:     peer,
		log:      e.log.With("peer", peer),
		slots:    make(chan struct{}, maxOpen),
		done:     make(chan struct{}),
		peerBye:  make(chan struct{}),
		stranger: strangerOf(conn),
	}
	l.queue.init(&e.queued)
	l.unknowns.log = l.log
	_, carried := conn.RemoteAddr().(carriedAddr)
	if l.stranger != nil && !carried {
		l.strange, l.admitted = context.WithCancel(conn.Context())
		l.guarded = make(chan struct{})
	}
	if !carried {
		l.hop = newHop(l, e.inside.carrier)
	}
	control.SetPriority(0, true) // before all message streams (see OpenStream)
	if !e.add(l) {
		return nil, context.Cause(e.ctx)
	}
	return l, nil
}

// add registers a link and starts its goroutine, unless the endpoint is closed.
func (e *Endpoint) add(l *Link) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.links[l] = struct{}{}
	e.group.Go(func() {
		l.run()
		e.remove(l)
	})
	if l.hop != nil {
		e.group.Go(l.hop.read)
	}
	if l.guarded != nil {
		e.group.Go(l.guard)
	}
	return true
}

func (e *Endpoint) remove(l *Link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.links, l) // also of the nil map of a closed endpoint
}
