package overlay

import (
	"quicpeer/certs"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
)

// Names of other packages that a program needs, so that it imports this one alone.
type (
	// ID is the name of a peer: 1 to 64 of letters, digits, '.', '_', '-'.
	ID = certs.ID
	// PublicKey is a peer's key: its identity. Its String is the fingerprint, "SHA256:" and base64.
	PublicKey = certs.PublicKey
	// Identity is a private key, for NewState.
	Identity = certs.Identity
)

// ParseID checks a name and returns it as an ID; the error says what is wrong with it.
func ParseID(s string) (ID, error) { return certs.ParseID(s) }

// NewIdentity makes the identity of a seed of 32 random bytes; it panics on another length. A program
// whose key is to be kept has OpenState make it.
func NewIdentity(seed []byte) *Identity { return certs.NewIdentity(seed) }

// Limits of what a program gives to a node, in bytes unless said otherwise.
const (
	MaxBody      = pb.MaxBody            // of a message to a peer
	MaxBroadcast = pb.MaxBroadcast       // of one to everyone
	MaxReaction  = pb.MaxReaction        // of a reaction
	MaxTags      = pb.MaxTags            // all tags together, as JSON
	MaxRequests  = messaging.MaxRequests // callers of Request at once
)
