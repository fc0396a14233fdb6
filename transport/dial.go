package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// The wait before a refused dial is repeated: a random time up to this, doubled each time up
// to the maximum. A full accept queue is empty again after some 30 handshakes, 30 ms. Guesses.
const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = time.Second
)

// Dial connects to the peer at addr; want is its key, zero accepts any. The other side does
// not see the link before the first [Link.Send], which should follow at once: it waits 5 s.
// Only the peer's first frame shows that it accepts us.
//
// It gives up after 5 s without an answer. A peer that refuses because it has too many
// connections at this moment is dialled again until ctx ends, so ctx should have a deadline.
// Errors: [ErrNoAnswer], [ErrRefused], [ErrProtocol], certs.ErrSelf, certs.ErrTwin,
// *certs.WrongKeyError, context.Canceled, net.ErrClosed after Close, and others with a text only.
func (e *Endpoint) Dial(ctx context.Context, addr netip.AddrPort, want certs.PublicKey) (*Link, error) {
	return e.dialLink(e.dialUntilTaken(ctx, e.direct(addr, quicConfig()), want, certs.ALPN))
}

// direct is the route to an address.
func (e *Endpoint) direct(addr netip.AddrPort, config *quic.Config) route {
	return route{e.transport, net.UDPAddrFromAddrPort(addr), e.traced(config)}
}

// dialUntilTaken dials again while the other side refuses, until ctx ends.
func (e *Endpoint) dialUntilTaken(ctx context.Context, r route, want certs.PublicKey, protocol string) (*quic.Conn, error) {
	for wait := firstRetry; ; wait = min(2*wait, maxRetry) {
		conn, err := e.dialOnce(ctx, r, want, protocol)
		if !errors.Is(err, ErrRefused) {
			return conn, err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-e.ctx.Done():
			timer.Stop()
			return nil, context.Cause(e.ctx)
		}
	}
}

// route is how another peer is reached: directly, or over others.
type route struct {
	transport *quic.Transport
	to        net.Addr
	config    *quic.Config
}

func (e *Endpoint) dialOnce(ctx context.Context, r route, want certs.PublicKey, protocol string) (*quic.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(context.Cause(e.ctx)) })()
	tls, err := e.tls(want, protocol)
	if err != nil {
		return nil, err
	}
	conn, err := r.transport.Dial(ctx, r.to, tls, r.config)
	if err != nil {
		return nil, explainDial(ctx, err)
	}
	return conn, nil
}

// dialLink makes a link of a connection that was dialled.
func (e *Endpoint) dialLink(conn *quic.Conn, err error) (*Link, error) {
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStream()
	if err != nil {
		return nil, e.discard(conn, CodeInternal, err)
	}
	l, err := e.newLink(conn, stream)
	if err != nil {
		return nil, e.discard(conn, CodeShutdown, err)
	}
	return l, nil
}

// discard closes a connection that does not become a link, and returns why.
func (e *Endpoint) discard(conn *quic.Conn, code Code, err error) error {
	err = explain(err)
	_ = conn.CloseWithError(quic.ApplicationErrorCode(code), cut(err.Error())) // never fails
	return err
}
