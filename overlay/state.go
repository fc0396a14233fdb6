package overlay

import (
	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
)

// State is a peer's identity: its ID, its Identity, and Dir, the directory where it is kept
// with the messages that wait; empty: nowhere. It is safe for use by several goroutines.
type State = store.State

// OpenState opens the state directory dir, creating it and its contents if there are none yet,
// and holds it until Close: [ErrStateInUse] if another process does. With an empty id the peer
// gets the stored ID, or else a random one that is then kept; an id other than the stored one
// is an [OtherIDError]. Damage is reported, never repaired: a new key would make this peer
// another one.
func OpenState(dir string, id certs.ID) (*State, error) { return store.OpenState(dir, id) }

// NewState is the state of a peer that keeps nothing.
func NewState(id certs.ID, identity *certs.Identity) *State { return store.NewState(id, identity) }

// ErrStateInUse: another process holds the state directory.
var ErrStateInUse = store.ErrStateInUse

// Errors of a state directory.
type (
	// OtherIDError: the state directory Dir is that of another ID, Stored and not Wanted.
	OtherIDError = store.OtherIDError
	// OtherNetworkError: the state directory Dir is that of another network, Stored and not
	// Wanted; empty is the one without a name.
	OtherNetworkError = store.OtherNetworkError
	// DamagedError: the file at Path is not what was written there; Err says why.
	DamagedError = store.DamagedError
	// RemovedError: the file at Path, or all of the directory, has been removed, moved away
	// or replaced while it was in use.
	RemovedError = store.RemovedError
	// KeyMissingError: the state directory was in use, and its key, at Path, is gone.
	KeyMissingError = store.KeyMissingError
	// KeyExposedError: the key at Path can be read or written by others than its owner, by its
	// Mode.
	KeyExposedError = store.KeyExposedError
)
