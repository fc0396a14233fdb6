package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"unicode"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Errors of Dial and of links, beside [ClosedError], [ResetError], certs.ErrSelf,
// certs.ErrTwin and *certs.WrongKeyError. The texts are for users.
var (
	// ErrNoAnswer: the dialled address is silent. It is a timeout.
	ErrNoAnswer error = timeoutError("no answer")
	// ErrRefused: the peer takes no connection now. Dial has tried again until its
	// context ended; as the end of a fresh link it is worth another dial.
	ErrRefused = errors.New("connection refused: the peer has too many at this moment")
	// ErrSilent: nothing was heard for the idle time. It is a timeout.
	ErrSilent error = timeoutError(fmt.Sprintf("the peer is silent for %v", pb.IdleTimeout))
	// ErrRestarted: the peer has restarted and knows nothing of the link.
	ErrRestarted = errors.New("the peer has restarted")
	// ErrProtocol: the other side does not speak our protocol, or this version of it.
	ErrProtocol = errors.New("the other side does not speak " + certs.ALPN)
	// ErrClosedDoor: it speaks another protocol, or is a peer of a private network that ours is
	// not, and does not tell which. It is ErrProtocol.
	ErrClosedDoor error = protocolError("the other side does not speak quicpeer, or is a private network that this peer has no ticket for")
	// ErrOtherNetwork: it is not in the private network of this peer, and has seen nothing of it.
	// It is ErrProtocol.
	ErrOtherNetwork error = protocolError("the other side is not in the private network of this peer")
	// ErrNoBulk: it is a peer of an older version. Another dial will end the same way until that
	// peer is replaced. It is ErrProtocol.
	ErrNoBulk error = protocolError("the peer's version can't exchange files; it has to be updated")
	// ErrQueueFull: the peer does not read its control stream; the link is closed.
	ErrQueueFull = errors.New("the peer does not read")
)

// protocolError is an error that is ErrProtocol, in other words.
type protocolError string

func (e protocolError) Error() string        { return string(e) }
func (e protocolError) Is(target error) bool { return target == ErrProtocol }

// timeoutError is a net.Error, as callers of network code expect.
type timeoutError string

func (e timeoutError) Error() string   { return string(e) }
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return false }

// ClosedError: one of the two sides has closed the link. It is net.ErrClosed.
type ClosedError struct {
	Remote bool // the peer has closed it
	Code   Code
	Reason string // the closing side's words; foreign text, but printable
}

func (e *ClosedError) Error() string {
	who := "closed here"
	if e.Remote {
		who = "closed by the peer"
	}
	if e.Reason == "" {
		return fmt.Sprintf("%s: %v", who, e.Code)
	}
	return fmt.Sprintf("%s: %v: %s", who, e.Code, e.Reason)
}

// Unwrap makes it net.ErrClosed.
func (e *ClosedError) Unwrap() error { return net.ErrClosed }

// ResetError: one of the two sides has cancelled the stream.
type ResetError struct {
	Remote bool // the peer has cancelled it
	Code   Code
}

func (e *ResetError) Error() string {
	if e.Remote {
		return fmt.Sprintf("stream cancelled by the peer: %v", e.Code)
	}
	return fmt.Sprintf("stream cancelled here: %v", e.Code)
}

// Err says why the link has ended: *[ClosedError], [ErrSilent], [ErrRestarted],
// [ErrRefused], or another text. Nil before the end.
func (l *Link) Err() error { return endOf(l.conn) }

func endOf(conn *quic.Conn) error {
	if conn.Context().Err() == nil {
		return nil
	}
	return explain(context.Cause(conn.Context()))
}

// explain turns an error of quic-go into one of this package or of certs. Others,
// such as io.EOF and an exceeded deadline, stay as they are.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var (
		closed    *quic.ApplicationError
		reset     *quic.StreamError
		broken    *quic.TransportError
		wrongKey  *certs.WrongKeyError
		idle      *quic.IdleTimeoutError
		restarted *quic.StatelessResetError
		handshake *quic.HandshakeTimeoutError
		version   *quic.VersionNegotiationError
	)
	switch {
	case errors.As(err, &closed):
		return &ClosedError{Remote: closed.Remote, Code: Code(closed.ErrorCode), Reason: printable(closed.ErrorMessage)}
	case errors.As(err, &reset):
		return &ResetError{Remote: reset.Remote, Code: Code(reset.ErrorCode)}
	case errors.Is(err, certs.ErrSelf):
		return certs.ErrSelf
	case errors.Is(err, certs.ErrTwin):
		return certs.ErrTwin
	case errors.Is(err, certs.ErrOutside):
		return ErrOtherNetwork
	case errors.As(err, &wrongKey):
		return wrongKey
	case errors.As(err, &idle):
		return ErrSilent
	case errors.As(err, &handshake):
		return ErrNoAnswer
	case errors.As(err, &restarted):
		return ErrRestarted
	case errors.As(err, &version):
		return fmt.Errorf("%w: it has another version of QUIC", ErrProtocol)
	case errors.As(err, &broken):
		return explainTransport(broken)
	case errors.Is(err, quic.ErrTransportClosed), errors.Is(err, quic.ErrServerClosed):
		return net.ErrClosed
	}
	return err
}

// explainTransport explains the faults that QUIC itself, or TLS within it, reports.
func explainTransport(err *quic.TransportError) error {
	// TLS alerts, RFC 8446, 6. Not all implementations say no common ALPN by the last.
	const handshakeFailure, badCertificate, protocolVersion, noProtocol = 0x100 + 40, 0x100 + 42, 0x100 + 70, 0x100 + 120
	switch {
	case err.Remote && err.ErrorCode == quic.ConnectionRefused:
		return ErrRefused
	case err.Remote && err.ErrorCode == noProtocol:
		return ErrClosedDoor
	case err.ErrorCode == noProtocol:
		return ErrProtocol
	case err.Remote && (err.ErrorCode == handshakeFailure || err.ErrorCode == protocolVersion):
		return fmt.Errorf("%w: %s", ErrProtocol, printable(err.Error()))
	case err.Remote && err.ErrorCode == badCertificate:
		return errors.New("the peer does not accept our key (it may be its own, or it expects another peer)")
	}
	return errors.New(printable(err.Error()))
}

// explainDial explains why a dial under ctx has failed.
func explainDial(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrNoAnswer
	}
	if err = explain(err); err == ErrSilent { // so quic-go calls a handshake without an answer
		return ErrNoAnswer
	}
	return err
}

// printable makes text from another peer fit for a log and a terminal: one line
// of printable characters, at most [pb.MaxReason] bytes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return cut(s)
}

// cut bounds a reason, our own or a foreign one.
func cut(s string) string {
	if len(s) > pb.MaxReason {
		s = s[:pb.MaxReason]
	}
	return strings.ToValidUTF8(s, "")
}
