package certs

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"quicpeer/pb"
)

// Network is what all peers of one network agree on. An open one has a name, which may be empty and
// is not a secret. A private one has a key as well: only its members and those with a ticket know
// the public half, and whoever holds the private half (the identity of the network) makes admins.
type Network struct {
	Name string
	Key  PublicKey // zero: an open network
}

// labelHash is how many characters of base32 stand for the key in a label: 130 bits.
const labelHash = 26

// IsPrivate reports whether the network has members and a key.
func (n Network) IsPrivate() bool { return n.Key != PublicKey{} }

// Label names the network in records and to people: its name or, of a private one, NAME#HASH, where
// the hash is that of the key and does not reveal it.
func (n Network) Label() string {
	if !n.IsPrivate() {
		return n.Name
	}
	sum := sha256.Sum256(n.Key[:])
	hash := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return n.Name + "#" + strings.ToLower(hash[:labelHash])
}

// SignGrant signs g as it is, in a private network: by the identity of that, or of an admin.
func (i *Identity) SignGrant(network PublicKey, g *pb.Grant) *pb.Signed {
	return i.signIn(network[:], purposeGrant, g)
}

// SignRemoval signs r as it is, as SignGrant does.
func (i *Identity) SignRemoval(network PublicKey, r *pb.Removal) *pb.Signed {
	return i.signIn(network[:], purposeRemoval, r)
}

// SignRedemption signs r as it is, by the identity of a ticket.
func (i *Identity) SignRedemption(network PublicKey, r *pb.Redemption) *pb.Signed {
	return i.signIn(network[:], purposeRedemption, r)
}

// VerifyGrant reports whether the key has signed s as a grant of the network.
func VerifyGrant(network, key PublicKey, s *pb.Signed) bool {
	return verifyIn(network[:], key, purposeGrant, s)
}

// VerifyRemoval reports whether the key has signed s as a removal from the network.
func VerifyRemoval(network, key PublicKey, s *pb.Signed) bool {
	return verifyIn(network[:], key, purposeRemoval, s)
}

// VerifyRedemption reports whether the key of a ticket has signed s as its redemption.
func VerifyRedemption(network, key PublicKey, s *pb.Signed) bool {
	return verifyIn(network[:], key, purposeRedemption, s)
}
