package base

import (
	"fmt"

	"quicpeer/certs"
	"quicpeer/pb"
)

// JoinError: no door has let us in.
type JoinError struct {
	Failures []string // "ADDRESS: why"
	// Refusal is set if a peer has refused us for another reason than being full.
	Refusal *pb.HandshakeResponse
	Address string // of that peer
	// Obstacles are the causes that the dials met, each once.
	Obstacles []Obstacle
}

func (e *JoinError) Error() string { return fmt.Sprintf("could not join: %v", e.Failures) }

// StartedElsewhereError: the network has a newer run of this very identity, or the only peer at
// the addresses to join is another run of it.
type StartedElsewhereError struct{}

func (*StartedElsewhereError) Error() string { return "this identity has been started elsewhere" }

// DuplicateIDError: another key holds our ID.
type DuplicateIDError struct{ Holder certs.PublicKey }

func (e *DuplicateIDError) Error() string {
	return fmt.Sprintf("the ID is in use by the peer with key %v", e.Holder)
}
