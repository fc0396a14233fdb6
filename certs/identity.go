// Package certs holds a peer's identity and authenticates the peers it speaks to.
//
// A peer is identified by its Ed25519 key: the key of the self-signed certificate that it
// shows in TLS, and the key that signs its records, letters, broadcasts and
// acknowledgements of deposits. The ID is the name that people type; a signed record binds it
// to the key. With an ID the key is kept in a state directory (package store), without one it
// lives as long as the process.
package certs

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"slices"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// ID is the name of a peer: 1 to 64 of letters, digits, '.', '_', '-'.
type ID string

// ParseID checks s and returns it as an ID. The error says what is wrong with it.
func ParseID(s string) (ID, error) {
	if err := pb.CheckID(s); err != nil {
		return "", err
	}
	return ID(s), nil
}

// PublicKey is a peer's Ed25519 public key: its identity. The zero value stands for no peer.
type PublicKey [ed25519.PublicKeySize]byte

// String returns the fingerprint: "SHA256:" and the unpadded base64 of the
// SHA-256 of the key's 32 bytes, in the form that ssh made known.
func (k PublicKey) String() string {
	sum := sha256.Sum256(k[:])
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Purposes of signatures. A signature covers the purpose, a zero byte and the payload; those of a
// private network have its key in front of the payload, so that none is valid in another one.
const (
	purposeRecord     = "quicpeer record"
	purposeBroadcast  = "quicpeer broadcast"
	purposeLetter     = "quicpeer letter"
	purposeCollected  = "quicpeer collected"
	purposeWithdraw   = "quicpeer withdraw"
	purposeGrant      = "quicpeer grant"
	purposeRemoval    = "quicpeer removal"
	purposeRedemption = "quicpeer redemption"
)

// Identity is a private key in one run of a process. It has no text form, so that it is
// never printed.
type Identity struct {
	private ed25519.PrivateKey
	public  PublicKey
	sealing hpke.PrivateKey
	run     *big.Int // a random serial number, which tells this run's certificate from those of other runs with the key
}

// NewIdentity makes the identity of a seed of 32 random bytes (ed25519.SeedSize); it panics on
// another length.
func NewIdentity(seed []byte) *Identity {
	private := ed25519.NewKeyFromSeed(seed)
	i := &Identity{private: private, public: PublicKey(private.Public().(ed25519.PublicKey))}
	i.sealing = newSealing(i.derive("quicpeer sealing"))
	var run [16]byte
	rand.Read(run[:])           // never fails, see crypto/rand
	run[0] = run[0]&0x7f | 0x40 // positive, and of one length
	i.run = new(big.Int).SetBytes(run[:])
	return i
}

// Key is the public half.
func (i *Identity) Key() PublicKey { return i.public }

// String is the fingerprint of the public half.
func (i *Identity) String() string { return i.public.String() }

// ResetKey is a secret derived from the key, for QUIC's stateless resets: it is the same after
// a restart of the peer.
func (i *Identity) ResetKey() [32]byte { return i.derive("quicpeer stateless reset") }

// derive makes a secret for another purpose from the private key.
func (i *Identity) derive(purpose string) [32]byte {
	key, err := hkdf.Key(sha256.New, i.private.Seed(), nil, purpose, 32)
	if err != nil {
		panic("certs: " + err.Error()) // only for lengths that SHA-256 can't give
	}
	return [32]byte(key)
}

// SignRecord signs r as it is.
func (i *Identity) SignRecord(r *pb.Record) *pb.Signed { return i.sign(purposeRecord, r) }

// SignBroadcast signs c as it is.
func (i *Identity) SignBroadcast(c *pb.BroadcastContent) *pb.Signed {
	return i.sign(purposeBroadcast, c)
}

// SignLetter signs l as it is.
func (i *Identity) SignLetter(l *pb.Letter) *pb.Signed { return i.sign(purposeLetter, l) }

// SignCollected signs c as it is.
func (i *Identity) SignCollected(c *pb.CollectedContent) *pb.Signed {
	return i.sign(purposeCollected, c)
}

// SignWithdraw signs c as it is.
func (i *Identity) SignWithdraw(c *pb.WithdrawContent) *pb.Signed { return i.sign(purposeWithdraw, c) }

func (i *Identity) sign(purpose string, m proto.Message) *pb.Signed { return i.signIn(nil, purpose, m) }

// signIn signs for a private network; nil: for none.
func (i *Identity) signIn(network []byte, purpose string, m proto.Message) *pb.Signed {
	payload, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("certs: signing what can't be encoded: %v", err))
	}
	return &pb.Signed{Payload: payload, Signature: ed25519.Sign(i.private, signedBytes(network, purpose, payload))}
}

// VerifyRecord reports whether the key has signed s as a record. Its payload is parsed by
// [pb.ParseRecord].
func VerifyRecord(key PublicKey, s *pb.Signed) bool { return verify(key, purposeRecord, s) }

// VerifyBroadcast reports whether the key has signed s as a broadcast.
func VerifyBroadcast(key PublicKey, s *pb.Signed) bool { return verify(key, purposeBroadcast, s) }

// VerifyLetter reports whether the key has signed s as a letter.
func VerifyLetter(key PublicKey, s *pb.Signed) bool { return verify(key, purposeLetter, s) }

// VerifyCollected reports whether the key has signed s as a receiver's CollectedContent.
func VerifyCollected(key PublicKey, s *pb.Signed) bool { return verify(key, purposeCollected, s) }

// VerifyWithdraw reports whether the key has signed s as a depositor's WithdrawContent.
func VerifyWithdraw(key PublicKey, s *pb.Signed) bool { return verify(key, purposeWithdraw, s) }

func verify(key PublicKey, purpose string, s *pb.Signed) bool { return verifyIn(nil, key, purpose, s) }

func verifyIn(network []byte, key PublicKey, purpose string, s *pb.Signed) bool {
	return ed25519.Verify(key[:], signedBytes(network, purpose, s.GetPayload()), s.GetSignature())
}

func signedBytes(network []byte, purpose string, payload []byte) []byte {
	return slices.Concat([]byte(purpose), []byte{0}, network, payload)
}

// RandomID makes an ID for a peer that was given none: short enough for others to type. It
// reads 6 bytes of r, and panics if r can't give them (crypto/rand's Reader always can).
func RandomID(r io.Reader) ID {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var b [6]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		panic(fmt.Sprintf("certs: no randomness: %v", err))
	}
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return ID("peer-" + string(b[:]))
}
