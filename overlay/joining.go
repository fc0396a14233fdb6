package overlay

import (
	"quicpeer/certs"
	"quicpeer/overlay/core/base"
)

// JoinProgress says what has become of one address while the node joins: a peer there is being tried; or
// the peer ID there has let this one in, and the network's table is to come; or it has failed, and is
// tried again unless that is of no use. The addresses are those of Config.Join, of a ticket, of peers
// found on the LAN and of those that full peers have named.
type JoinProgress struct {
	Address string   // HOST:PORT
	ID      certs.ID // empty: no peer has let this one in
	Why     string   // why it has failed, in a few words, some of them another peer's; empty: it has not
}

// maxProgress is how many JoinProgress wait for Config.Joining; further ones are dropped.
const maxProgress = 64

// progress holds what Start is to tell; nil: nobody has asked.
type progress chan JoinProgress

// tell passes on what becomes of addresses to join by, and waits for nobody.
func (p progress) tell(list []base.Joining) {
	for _, j := range list {
		select {
		case p <- JoinProgress(j):
		default: // nobody has asked, or its reader is slow
		}
	}
}
