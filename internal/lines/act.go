package lines

import (
	"context"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Act is what a line asks of an admin of a private network.
type Act struct {
	Verb  Verb // empty: nothing
	ID    certs.ID
	Admin bool // of an invitation: as an admin
	All   bool // of a removal: and all that the peer has signed as an admin
}

// Verb says which act it is.
type Verb string

// The acts of an admin.
const (
	Invite   Verb = "invite"
	Uninvite Verb = "uninvite"
	Remove   Verb = "remove"
)

// act does what a line asks of an admin. It takes a signature and a write to the disk, so the
// lines behind it wait. A removal is reported by its event.
func (l *Listener) act(ctx context.Context, m Message) error {
	var (
		invitation overlay.Invitation
		problem    error
	)
	switch a := m.Act; a.Verb {
	case Invite:
		invitation, problem = l.node.Invite(ctx, a.ID, a.Admin)
	case Uninvite:
		problem = l.node.Uninvite(ctx, a.ID)
	case Remove:
		problem = l.node.Remove(ctx, a.ID, a.All, m.Ref)
	}
	if problem != nil {
		return l.refuse(m, problem)
	}
	return l.front.Acted(m, invitation)
}
