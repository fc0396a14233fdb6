package lines

import (
	"context"
	"errors"
	"fmt"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// Node is what lines need of an [overlay.Node].
type Node interface {
	Send(ctx context.Context, to certs.ID, body, ref string) (overlay.MessageID, error)
	Broadcast(ctx context.Context, body, ref string) (overlay.MessageID, error)
	Join(ctx context.Context, address string) (certs.ID, error)
	Cancel(overlay.MessageID) error
	Peers() []overlay.Peer
	Waiting() []overlay.Waiting
	Outgoing() []overlay.Outgoing
	Net() overlay.Net
}

// Speaker is a way of speaking with whoever uses the peer: chat or JSON lines. Each
// method that writes has written everything when it returns, whole lines at a
// time, and its error is an [OutputError]. All may be called at the same time.
type Speaker interface {
	// Show writes an event.
	Show(overlay.Event) error
	// Obey does what a line says, but for sending a message or joining a peer, which
	// it returns (neither if the line says no such thing), and reports whether it is
	// to leave. The message is valid until the next line is read. The error is an
	// OutputError, or a [Bad]: then nothing has changed, and Refuse is to say so.
	Obey(n Node, line []byte) (m Message, leave bool, err error)
	// Joined says who has let this peer in at the address that a line gave.
	Joined(m Message, id certs.ID) error
	// Refuse says why a line, or the message that it was, is not accepted.
	Refuse(m Message, problem error) error
	// Left is the last line.
	Left(undelivered int) error
}

// Message is what a line says to send, or the address that it says to join.
type Message struct {
	To   certs.ID // overlay.Everyone: a broadcast; empty: the line is no message
	Join string   // HOST:PORT; empty: it says no such thing
	Body string
	Ref  string
	Line []byte // the line or its beginning, for an error that quotes it

	number int // of the line
}

func (m Message) size() int { return len(m.Body) + len(m.Ref) + len(m.Line) }

// send waits until the message is accepted or can't be, or ctx ends.
func (m Message) send(ctx context.Context, n Node) (err error) {
	if m.To == overlay.Everyone {
		_, err = n.Broadcast(ctx, m.Body, m.Ref)
	} else {
		_, err = n.Send(ctx, m.To, m.Body, m.Ref)
	}
	return err
}

// Bad is what a line is that means nothing; its text tells the user so.
type Bad string

func (e Bad) Error() string { return string(e) }

// Problem says why a message was not accepted.
func Problem(err error, broadcast bool) string {
	switch {
	case errors.Is(err, overlay.ErrTooLong) && broadcast:
		return fmt.Sprintf("the message is too long: a message to everyone has at most %d bytes (64 KiB)", pb.MaxBroadcast)
	case errors.Is(err, overlay.ErrTooLong):
		return fmt.Sprintf("the message is too long: a message has at most %d bytes (1 MiB)", pb.MaxBody)
	case errors.Is(err, context.Canceled), errors.Is(err, overlay.ErrClosed):
		return "this peer is leaving"
	}
	return err.Error()
}
