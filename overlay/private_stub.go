package overlay

import (
	"context"
	"errors"
	"time"

	"quicpeer/certs"
)

// ReasonRemoved: an admin has taken the peer out of its private network.
const ReasonRemoved Reason = "removed"

// Removed: an admin, By, has taken the peer with ID and Key out of the private network for
// good. Ref is that of the removal if this peer has done it.
type Removed struct {
	Event `json:"-"`
	ID    certs.ID        `json:"id"`
	Key   certs.PublicKey `json:"key"`
	By    certs.ID        `json:"by"`
	Ref   string          `json:"ref"`
}

// Redeemed: the peer with Key has used a ticket of ours, which was for ID, or that was
// refused, and Why says why.
type Redeemed struct {
	Event `json:"-"`
	ID    certs.ID        `json:"id"`
	Key   certs.PublicKey `json:"key"`
	Why   string          `json:"why"`
}

// Invitation is what Invite has made: a ticket for ID, good until Expires. Admin: who uses it
// becomes an admin. LANOnly: nobody in the network can be dialled from outside.
type Invitation struct {
	ID             certs.ID
	Ticket         string
	Expires        time.Time
	Admin, LANOnly bool
}

var errNotPrivate = errors.New("this network is not private: anyone who can reach a peer can join")

// Invite makes a ticket.
func (n *Node) Invite(context.Context, certs.ID, bool) (Invitation, error) {
	return Invitation{}, errNotPrivate
}

// Uninvite makes the tickets for an ID void.
func (n *Node) Uninvite(context.Context, certs.ID) error { return errNotPrivate }

// Remove takes a member out.
func (n *Node) Remove(context.Context, certs.ID, bool) error { return errNotPrivate }

// NotAdmittedError: the private network doesn't let this peer in; Reason is the whole sentence.
type NotAdmittedError struct{ Network, Reason string }

func (e *NotAdmittedError) Error() string { return e.Reason }

// AwayError: the issuer of the ticket isn't here.
type AwayError struct{ Issuer certs.ID }

func (e *AwayError) Error() string { return string(e.Issuer) + ", who has invited you, is not here" }
