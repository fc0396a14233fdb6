package overlay

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/certs"
)

// Whois describes a peer: the key under which it is here, the one that its ID is held to, and how it
// is reached.
type Whois struct {
	ID  certs.ID        `json:"id"`
	Key certs.PublicKey `json:"key"` // under which it is here, or was last
	// SafetyNumber is what the users of both peers compare, see [certs.SafetyNumber].
	SafetyNumber string `json:"safety_number"`
	// Pinned is since when the ID is held to a key, because messages have been exchanged; zero:
	// it is not. Verified: the user has compared the safety number of that key.
	Pinned   time.Time `json:"pinned"`
	Verified bool      `json:"verified"`
	// Pin is the key that it is held to, if that is another one: messages wait until Trust.
	Pin certs.PublicKey `json:"pin,omitzero"`

	Here    time.Time     `json:"here"`    // since when it is; zero: it is not
	How     How           `json:"how"`     // it is reached
	Via     certs.ID      `json:"via"`     // relayed: the neighbour nearest to it
	Address string        `json:"address"` // IP:PORT of the connection
	RTT     time.Duration `json:"rtt_ms"`  // of the same; 0 where there is none
}

// Whois describes a peer that is here or was met. The error says that none of that ID is known.
func (n *Node) Whois(id certs.ID) (Whois, error) {
	k, err := n.messages.Directory().Known(id)
	if err != nil {
		return Whois{}, err
	}
	w := Whois{
		ID: id, Key: k.Key, SafetyNumber: certs.SafetyNumber(n.Key(), k.Key),
		Pinned: k.Pinned, Verified: k.Verified, Here: k.Here, How: HowNone,
	}
	if k.Pin != k.Key {
		w.Pin = k.Pin
	}
	ways := n.Net().Peers
	if i, found := slices.BinarySearchFunc(ways, id, func(w Way, id certs.ID) int { return cmp.Compare(w.ID, id) }); found {
		way := ways[i]
		w.How, w.Via, w.Address, w.RTT = way.How, way.Via, way.Address, way.RTT
	}
	return w, nil
}

// Trust goes on with the key under which a pinned ID has come last, see [KeyChanged]: what waits is
// delivered to that peer. The error says that no other key has come.
func (n *Node) Trust(id certs.ID) error { return n.messages.Directory().Trust(id) }

// Verify notes that the user has compared the safety number of an ID's key with its peer's user.
// The ID is held to that key from then on, as if messages had been exchanged.
func (n *Node) Verify(id certs.ID, key certs.PublicKey) error {
	return n.messages.Directory().Verify(id, key)
}

// Forget lets go of the key that an ID is held to: the next message goes to whoever has the ID, or
// had it last. The error says that the ID is held to none, or that messages wait for it.
func (n *Node) Forget(id certs.ID) error { return n.messages.Directory().Forget(id) }
