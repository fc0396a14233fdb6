package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// Accept waits for the next link that another peer has dialled. Its peer is authenticated and
// has begun to speak on the control stream. It is a stranger until [Link.Admit]. Links that are not
// accepted in time keep newcomers out, so the owner must call Accept all the time. The error is that of ctx, or net.ErrClosed
// after Close, or the fault of the socket.
func (e *Endpoint) Accept(ctx context.Context) (*Link, error) {
	select {
	case l := <-e.accepted:
		return l, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.ctx.Done():
		return nil, context.Cause(e.ctx)
	}
}

// admit turns a connection into a link and hands it to Accept, or into a connection for files.
func (e *Endpoint) admit(conn *quic.Conn) {
	strangerOf(conn).answered(true)
	ctx, cancel := context.WithTimeoutCause(e.ctx, controlTimeout, errNoControl)
	defer cancel()
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		why := context.Cause(ctx)
		if why == nil {
			return // the connection has ended, though its context may not know that yet
		}
		code := CodeShutdown
		if errors.Is(why, errNoControl) {
			code = CodeHandshakeTimeout
		}
		_ = e.discard(conn, code, why) // the gate logs why
		return
	}
	if conn.ConnectionState().TLS.NegotiatedProtocol == certs.ALPNFile {
		e.admitBulk(conn, stream)
		return
	}
	l, err := e.newLink(conn, stream)
	if err != nil {
		_ = e.discard(conn, CodeShutdown, err)
		return
	}
	select {
	case e.accepted <- l:
		l.stranger.link.Store(true)
	case <-l.Done(): // also when the endpoint is closed, which aborts its links
	}
}

var errNoControl = fmt.Errorf("no control stream within %v", controlTimeout)

// Admit says that the owner has let the peer in: until then it is a stranger, which counts at the
// gate. A stranger that comes directly has its control stream alone: whoever opens another one is cut
// off, since its window would be filled and not read. So Admit comes before the first frame that
// tells the peer that it is in. (Carried links have no such guard: their diallers write messages
// at once.) On a dialled link, and the second time, Admit does nothing.
func (l *Link) Admit() {
	if l.stranger == nil {
		return
	}
	if l.guarded != nil {
		l.admitted()
	}
	l.stranger.arrived()
}

// isStranger says that the peer may open no streams yet.
func (l *Link) isStranger() bool { return l.guarded != nil && l.strange.Err() == nil }

// guard cuts off a stranger that opens a message stream.
func (l *Link) guard() {
	defer close(l.guarded)
	s, err := l.conn.AcceptStream(l.strange)
	switch {
	case err != nil: // it was let in, or has ended
	case l.isStranger():
		l.violation("a message stream of a stranger")
	default:
		l.early = s
	}
}
