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
	strangerOf(conn).addressProved(true)
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
