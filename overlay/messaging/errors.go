package messaging

import (
	"errors"
	"fmt"
	"net"

	"quicpeer/certs"
)

// Errors of Send, Broadcast, Cancel, Ignore, Unignore and Verify, to be tested with errors.Is.
var (
	ErrToSelf     = errors.New("a peer can't send to itself")
	ErrTooLong    = errors.New("the message is too long") // as *TooLongError
	ErrNotUTF8    = errors.New("the message is not UTF-8")
	ErrOutboxFull = errors.New("outbox full")
	// ErrTextOnly: the receiver runs a version that does not know messages with data.
	ErrTextOnly = errors.New("the peer's version takes text only; it needs a newer one for data")
	// ErrManyRequests is Request's, ErrNoRequest that of Message.Reply.
	ErrManyRequests = fmt.Errorf("%d requests wait for their replies already; try again when some have theirs", MaxRequests)
	ErrNoRequest    = errors.New("the message is not a request; Post replies to any message")
	// ErrNotWaiting is Cancel's.
	ErrNotWaiting = errors.New("no message of this ID waits: it has been delivered or has failed, or there was none")
	// Errors of Ignore and Unignore.
	ErrIgnoreSelf  = errors.New("a peer can't ignore itself")
	ErrUnknownPeer = errors.New(noSuchPeer)
	ErrNotIgnored  = errors.New("nobody is ignored under that ID")
	ErrIgnoredFull = errors.New("too many are ignored; /unignore one")
	// ErrManyPins is Verify's.
	ErrManyPins = errors.New("too many peers are pinned; /forget ID makes room")
	// ErrClosed is returned after the node has left. It is net.ErrClosed.
	ErrClosed = fmt.Errorf("the node has left: %w", net.ErrClosed)
)

// TooLongError: a message is longer than its limit. It is ErrTooLong.
type TooLongError struct{ Bytes, Limit int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the message has %d bytes; the limit is %d", e.Bytes, e.Limit)
}

// Is makes it ErrTooLong.
func (e *TooLongError) Is(target error) bool { return target == ErrTooLong }

// RequestError says why a request has no reply.
type RequestError struct {
	ID  MessageID // of the request, which goes on to its receiver unless it is cancelled
	To  certs.ID
	Err error // of the context, or why the message has failed
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("no reply from %s: %v", e.To, e.Err)
}

func (e *RequestError) Unwrap() error { return e.Err }
