package messaging

import (
	"errors"
	"fmt"
	"net"
)

// Errors of Send, Broadcast, Cancel, Ignore and Unignore, to be tested with errors.Is.
var (
	ErrToSelf     = errors.New("a peer can't send to itself")
	ErrTooLong    = errors.New("the message is too long") // as *TooLongError
	ErrNotUTF8    = errors.New("the message is not UTF-8")
	ErrOutboxFull = errors.New("outbox full")
	// ErrNotWaiting is Cancel's.
	ErrNotWaiting = errors.New("no message of this ID waits: it has been delivered or has failed, or there was none")
	// Errors of Ignore and Unignore.
	ErrIgnoreSelf  = errors.New("a peer can't ignore itself")
	ErrUnknownPeer = errors.New(noSuchPeer)
	ErrNotIgnored  = errors.New("nobody is ignored under that ID")
	ErrIgnoredFull = errors.New("too many are ignored; /unignore one")
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
