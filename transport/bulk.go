package transport

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// Bounds of bulk connections.
const (
	// Streams of the peer that are read and written at once. A guess: a transfer takes one.
	maxBulkStreams = 8
	// Accepted connections of one peer, and of all. What a peer can make us hold with them is what
	// it has written and we have not read: linkWindow for each. Guesses.
	maxBulksOfPeer = 4
	maxBulks       = 64
	// Accepted connections that wait for AcceptBulk. A guess.
	maxBulksWaiting = 8
	// Windows of the dialling side, which receives: how far the peer may write ahead of our
	// reading on a stream, and on all. They begin with bulkFirst and grow as long as they are what
	// holds the peer up. 6 MiB are 500 Mbit/s at 100 ms round trip. Over others the windows of the
	// links on the way hold it up, 160 KiB in the round trip of each; of 512 KiB to 6 MiB all were
	// equally fast and as little in the way of other packets (measured).
	bulkFirst                                  = 512 << 10
	bulkStreamWindow, bulkWindow               = 6 << 20, 16 << 20
	carriedBulkStreamWindow, carriedBulkWindow = 1 << 20, 2 << 20
)

var errManyBulks = errors.New("too many connections for files")

// Bulk is a connection for files to an authenticated peer, beside the links to it: streams of bytes,
// and no control stream. The dialling side is the one that is to receive: it lets the peer write far
// ahead. Methods may be called from any goroutine, but AcceptStream by only one at a time.
//
// Closing a connection throws away what has not been read yet, so the side closes it that has read
// the last of what it wants.
type Bulk struct {
	conn  *quic.Conn
	peer  certs.PublicKey
	first *quic.Stream  // the peer has opened it before the connection was accepted; nil: AcceptStream has had it
	slots chan struct{} // holds a token for each stream of the peer (see AcceptStream)
	done  chan struct{}
	ours  bool // we have dialled
}

// bulks holds the bulk connections of an endpoint.
type bulks struct {
	waiting chan *Bulk
	open    map[*Bulk]struct{} // guarded by Endpoint.mu
}

// full says that no connection of the peer is to be accepted now.
func (b *bulks) full(peer certs.PublicKey) bool {
	all, his := 0, 0
	for other := range b.open {
		if other.ours {
			continue
		}
		all++
		if other.peer == peer {
			his++
		}
	}
	return all >= maxBulks || his >= maxBulksOfPeer
}

// bulkConfig changes the configuration of a link into that of a connection that receives files.
func bulkConfig(c *quic.Config, streamWindow, window uint64) *quic.Config {
	c.MaxIncomingStreams = maxBulkStreams
	c.MaxIncomingUniStreams = -1
	c.InitialStreamReceiveWindow, c.MaxStreamReceiveWindow = bulkFirst, streamWindow
	c.InitialConnectionReceiveWindow, c.MaxConnectionReceiveWindow = bulkFirst, window
	return c
}

// DialBulk makes a bulk connection to the peer with the key want at addr. The other side does not
// see it before something is written on its first stream, which should follow at once: it waits 5 s.
// Its refusal, ClosedError with CodeRefused, shows on that stream. Errors are those of
// [Endpoint.Dial], and [ErrNoBulk].
func (e *Endpoint) DialBulk(ctx context.Context, addr netip.AddrPort, want certs.PublicKey) (*Bulk, error) {
	config := bulkConfig(quicConfig(), bulkStreamWindow, bulkWindow)
	return e.dialBulk(e.dialUntilTaken(ctx, e.direct(addr, config), want, certs.ALPNFile))
}

// DialBulkCarried is DialBulk over other peers, but tries once. SetWay should come first.
func (e *Endpoint) DialBulkCarried(ctx context.Context, to Tag, want certs.PublicKey) (*Bulk, error) {
	config := bulkConfig(carriedConfig(), carriedBulkStreamWindow, carriedBulkWindow)
	r := route{e.inside.transport, carriedAddr{way: e.inside.carrier.learn(to), bulk: true}, e.traced(config)}
	return e.dialBulk(e.dialOnce(ctx, r, want, certs.ALPNFile))
}

func (e *Endpoint) dialBulk(conn *quic.Conn, err error) (*Bulk, error) {
	if err == ErrClosedDoor {
		return nil, ErrNoBulk
	}
	if err != nil {
		return nil, err
	}
	b, err := e.newBulk(conn, nil)
	if err != nil {
		return nil, e.discard(conn, CodeShutdown, err)
	}
	return b, nil
}

// AcceptBulk waits for the next bulk connection that another peer has dialled. Its peer is
// authenticated and has begun its first stream; whether it may have anything is up to the caller.
// 8 wait to be accepted, further ones are refused. The errors are those of [Endpoint.Accept].
func (e *Endpoint) AcceptBulk(ctx context.Context) (*Bulk, error) {
	for {
		select {
		case b := <-e.bulks.waiting:
			if b.conn.Context().Err() == nil {
				return b, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-e.ctx.Done():
			return nil, context.Cause(e.ctx)
		}
	}
}

// admitBulk hands a connection with its first stream to AcceptBulk.
func (e *Endpoint) admitBulk(conn *quic.Conn, first *quic.Stream) {
	b, err := e.newBulk(conn, first)
	if err != nil {
		code := CodeShutdown
		if errors.Is(err, errManyBulks) {
			code = CodeRefused
		}
		_ = e.discard(conn, code, err) // the gate logs why
		return
	}
	select {
	case e.bulks.waiting <- b:
		strangerOf(conn).arrived()
	default:
		b.Close(CodeRefused, errManyBulks.Error())
	}
}

// newBulk registers a bulk connection and starts its goroutine. first is nil if we have dialled.
func (e *Endpoint) newBulk(conn *quic.Conn, first *quic.Stream) (*Bulk, error) {
	peer, err := certs.PeerKey(conn.ConnectionState().TLS)
	if err != nil {
		return nil, err
	}
	b := &Bulk{conn: conn, peer: peer, first: first, slots: make(chan struct{}, maxBulkStreams), done: make(chan struct{}), ours: first == nil}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, context.Cause(e.ctx)
	case !b.ours && e.bulks.full(peer):
		return nil, errManyBulks
	}
	e.bulks.open[b] = struct{}{}
	e.group.Go(func() { e.keepBulk(b) })
	return b, nil
}

// keepBulk is the goroutine of a bulk connection.
func (e *Endpoint) keepBulk(b *Bulk) {
	<-b.conn.Context().Done()
	e.mu.Lock()
	delete(e.bulks.open, b) // also of the nil map of a closed endpoint
	e.mu.Unlock()
	close(b.done)
}

// Peer is the public key of the other side.
func (b *Bulk) Peer() certs.PublicKey { return b.peer }

// RemoteAddr is the address that the peer's packets come from, not valid over others. If the peer
// has dialled, it can change.
func (b *Bulk) RemoteAddr() netip.AddrPort { return addrPort(b.conn.RemoteAddr()) }

// Carried says that the packets go over other peers.
func (b *Bulk) Carried() bool {
	_, carried := b.conn.RemoteAddr().(carriedAddr)
	return carried
}

// Stats returns the figures of the connection, also after its end.
func (b *Bulk) Stats() Stats { return statsOf(b.conn) }

// Close closes the connection, with what is unread on both sides.
func (b *Bulk) Close(code Code, reason string) {
	_ = b.conn.CloseWithError(quic.ApplicationErrorCode(code), cut(reason)) // never fails
}

// Done is closed when the connection has ended.
func (b *Bulk) Done() <-chan struct{} { return b.done }

// Err says why the connection has ended, as [Link.Err] does; nil before the end.
func (b *Bulk) Err() error { return endOf(b.conn) }

// OpenStream opens a stream. The peer sees it once something is written on it. It takes 8 of ours
// at once; further ones wait there until one has ended.
func (b *Bulk) OpenStream(ctx context.Context) (*BulkStream, error) {
	s, err := b.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, explain(err)
	}
	return &BulkStream{stream: s}, nil
}

// AcceptStream waits for the next stream that the peer has opened, in the order of their numbers.
// While 8 are open it waits for one to end: each must come to CloseWrite or Cancel.
func (b *Bulk) AcceptStream(ctx context.Context) (*BulkStream, error) {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.conn.Context().Done():
		return nil, b.Err()
	}
	s := b.first
	if b.first = nil; s == nil {
		var err error
		if s, err = b.conn.AcceptStream(ctx); err != nil {
			<-b.slots
			return nil, explain(err)
		}
	}
	return &BulkStream{stream: s, slots: b.slots}, nil
}

// BulkStream is a stream of bytes in both directions. One goroutine may write while another reads.
// Errors are io.EOF, *[ResetError] when it was cancelled, os.ErrDeadlineExceeded, and those of
// [Bulk.Err].
type BulkStream struct {
	stream *quic.Stream
	slots  chan struct{} // of the connection, for a stream of the peer; else nil
	leave  sync.Once     // gives the slot back
}

// Read reads up to len(p) bytes. io.EOF is the end of the peer's direction.
func (s *BulkStream) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	return n, explain(err)
}

// Write writes all of p. It waits while the peer does not read.
func (s *BulkStream) Write(p []byte) (int, error) {
	n, err := s.stream.Write(p)
	return n, explain(err)
}

// CloseWrite ends our direction. It must not run beside a Write.
func (s *BulkStream) CloseWrite() error {
	s.free()
	return explain(s.stream.Close())
}

// Cancel gives up both directions; the peer's Read and Write fail with a *[ResetError]. It does
// nothing to a direction that has ended.
func (s *BulkStream) Cancel(code Code) {
	s.stream.CancelRead(quic.StreamErrorCode(code))
	s.stream.CancelWrite(quic.StreamErrorCode(code))
	s.free()
}

func (s *BulkStream) free() {
	if s.slots != nil {
		s.leave.Do(func() { <-s.slots })
	}
}

// SetDeadline makes Read and Write fail with os.ErrDeadlineExceeded from t on; the zero time is
// never.
func (s *BulkStream) SetDeadline(t time.Time) {
	_ = s.stream.SetDeadline(t) // never fails
}

// SetReadDeadline is SetDeadline for Read alone.
func (s *BulkStream) SetReadDeadline(t time.Time) {
	_ = s.stream.SetReadDeadline(t) // never fails
}
