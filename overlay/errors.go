package overlay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
	"quicpeer/transport"
)

// DuplicateIDError: another peer of the network has the ID.
type DuplicateIDError struct {
	ID     certs.ID
	Own    certs.PublicKey
	Holder certs.PublicKey
}

func (e *DuplicateIDError) Error() string {
	return fmt.Sprintf("the ID %s is in use by the peer with key %v (this one's is %v)", e.ID, e.Holder, e.Own)
}

// ErrStartedElsewhere: a newer run of this very identity is in the network, or the only peer
// found at the addresses to join is another run of it (of a copy of the state directory).
var ErrStartedElsewhere = errors.New("this identity has been started elsewhere")

// RefusedError: the peers to join have refused this one for good.
type RefusedError struct {
	Address string // of one of them
	Code    pb.HandshakeCode
	Reason  string // in that peer's words
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refuses this peer: %v: %s", e.Address, e.Code, e.Reason)
}

// NotAdminError: this peer can't do what takes an admin.
type NotAdminError struct{ Admins []certs.ID }

func (e *NotAdminError) Error() string {
	if len(e.Admins) == 0 {
		return "only an admin can do that"
	}
	return fmt.Sprintf("only an admin can do that: %s is one", e.Admins[0])
}

// OpenStateError: a private network can't be made in the state directory Dir, which is that of an open
// one of this name.
type OpenStateError struct{ Dir, Network string }

func (e *OpenStateError) Error() string {
	return fmt.Sprintf("the state directory %s is that of the open network %q; a private one needs another --id, or another --state-dir", e.Dir, e.Network)
}

// TicketIDError: the ticket is for another ID.
type TicketIDError struct{ Ticket, Wanted certs.ID }

func (e *TicketIDError) Error() string {
	return fmt.Sprintf("the ticket is for the ID %s, not %s", e.Ticket, e.Wanted)
}

// NotAdmittedError: the private network does not let this peer in, or not any more. Reason is the
// whole sentence.
type NotAdmittedError struct{ Network, Reason string }

func (e *NotAdmittedError) Error() string { return e.Reason }

// notAdmitted words a removal.
func notAdmitted(e *base.RemovedError, network certs.Network) *NotAdmittedError {
	name := "the private network " + network.Label()
	switch {
	case e.Issuer != "":
		return &NotAdmittedError{network.Name, fmt.Sprintf("%s, who has let this peer in, is not an admin of %s any more; ask for a new ticket", e.Issuer, name)}
	case e.By == "":
		return &NotAdmittedError{network.Name, "this peer was removed from " + name}
	}
	return &NotAdmittedError{network.Name, fmt.Sprintf("%s has removed this peer from %s", e.By, name)}
}

// AwayError: the ticket could not be redeemed in time, since its issuer is not here.
type AwayError struct{ Address, Reason string }

func (e *AwayError) Error() string {
	return fmt.Sprintf("the ticket can't be used now: %s (%s)", e.Reason, e.Address)
}

// nameError: a name can't be resolved.
type nameError struct{ err error }

func (e *nameError) Error() string { return "the name can't be resolved: " + e.err.Error() }
func (e *nameError) Unwrap() error { return e.err }

// UnreachableError: none of the peers to join could be reached in time and has sent the
// network's table, or all were full.
type UnreachableError struct {
	Failures  []string   // "HOST:PORT: why", one for each
	Obstacles []Obstacle // of their dials, each kind once
}

// Obstacle is the kind of failure of a dial to a peer to join, as far as it tells what can be
// done about it.
type Obstacle = base.Obstacle

// The obstacles: no answer, because no peer is there or packets do not get there; the name
// can't be resolved; the address is this peer's own; the other side speaks another protocol, or
// version of it, or is in another network and one of the two is private; it has no place left; it
// let this peer in, but the network's table did not come.
const (
	ObstacleSilence  = base.ObstacleSilence
	ObstacleName     = base.ObstacleName
	ObstacleSelf     = base.ObstacleSelf
	ObstacleProtocol = base.ObstacleProtocol
	ObstacleFull     = base.ObstacleFull
	ObstacleTable    = base.ObstacleTable
)

// obstacleOf classifies the error of a dial.
func obstacleOf(err error) Obstacle {
	if _, ok := errors.AsType[*nameError](err); ok {
		return ObstacleName
	}
	switch {
	case errors.Is(err, certs.ErrSelf):
		return ObstacleSelf
	case errors.Is(err, certs.ErrTwin):
		return base.ObstacleTwin
	case errors.Is(err, transport.ErrProtocol):
		return ObstacleProtocol
	}
	return ObstacleSilence
}

func (e *UnreachableError) Error() string {
	what := "no peer to join could be reached: "
	if slices.Contains(e.Obstacles, ObstacleTable) {
		what = "no peer to join has sent the whole table of the network: "
	}
	return what + strings.Join(e.Failures, "; ")
}

// Errors of Send, Broadcast, SetTags, Cancel, Ignore, Unignore and Verify, to be tested with errors.Is.
var (
	// ErrTagsTooLong is SetTags' and that of Config.Tags.
	ErrTagsTooLong = errors.New("the tags are too long")
	ErrToSelf      = messaging.ErrToSelf
	ErrTooLong     = messaging.ErrTooLong // as *TooLongError
	ErrNotUTF8     = messaging.ErrNotUTF8
	ErrOutboxFull  = messaging.ErrOutboxFull
	// ErrTextOnly is that of SendBytes and Post: the receiver's version does not know data.
	ErrTextOnly = messaging.ErrTextOnly
	// ErrManyRequests is Request's, ErrNoRequest that of Message.Reply.
	ErrManyRequests = messaging.ErrManyRequests
	ErrNoRequest    = messaging.ErrNoRequest
	// ErrNotWaiting is Cancel's.
	ErrNotWaiting = messaging.ErrNotWaiting
	// Of Ignore and Unignore.
	ErrIgnoreSelf  = messaging.ErrIgnoreSelf
	ErrUnknownPeer = messaging.ErrUnknownPeer
	ErrNotIgnored  = messaging.ErrNotIgnored
	ErrIgnoredFull = messaging.ErrIgnoredFull
	// ErrManyPins is Verify's.
	ErrManyPins = messaging.ErrManyPins
	// ErrClosed is returned after the node has left. It is net.ErrClosed.
	ErrClosed = messaging.ErrClosed
)

// TooLongError: a message has more Bytes than its Limit. It is ErrTooLong.
type TooLongError = messaging.TooLongError

// explain turns an error of the core into one of this package.
func (n *Node) explain(err error) error {
	var (
		duplicate *base.DuplicateIDError
		elsewhere *base.StartedElsewhereError
		join      *base.JoinError
		removed   *base.RemovedError
	)
	switch {
	case errors.As(err, &duplicate):
		return &DuplicateIDError{ID: n.id, Own: n.Key(), Holder: duplicate.Holder}
	case errors.As(err, &elsewhere):
		return ErrStartedElsewhere
	case errors.As(err, &removed):
		return notAdmitted(removed, n.members.network)
	case errors.As(err, &join) && (join.Refusal.GetCode() == pb.HandshakeCode_NOT_INVITED || join.Refusal.GetCode() == pb.HandshakeCode_REMOVED_FROM_NETWORK):
		return &NotAdmittedError{Network: n.members.network.Name, Reason: join.Refusal.GetReason()}
	case errors.As(err, &join) && join.Refusal.GetCode() == pb.HandshakeCode_AWAY:
		return &AwayError{Address: join.Address, Reason: join.Refusal.GetReason()}
	case errors.As(err, &join) && join.Refusal != nil:
		return &RefusedError{Address: join.Address, Code: join.Refusal.GetCode(), Reason: join.Refusal.GetReason()}
	case errors.As(err, &join):
		return &UnreachableError{Failures: join.Failures, Obstacles: join.Obstacles}
	}
	return err
}

// damaged reports a record that was stored whole but makes no sense.
func damaged(what string, err error) error { return fmt.Errorf("a stored %s: %w", what, err) }
