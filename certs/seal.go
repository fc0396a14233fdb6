package certs

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// SealingKey is the X25519 public key for sealing letters to a peer. It is in the peer's
// record. The zero value means none.
type SealingKey [32]byte

// The cipher suite of [Seal] (RFC 9180): the one that needs no particular processor.
var (
	sealingKEM  = hpke.DHKEM(ecdh.X25519())
	sealingKDF  = hpke.HKDFSHA256()
	sealingAEAD = hpke.ChaCha20Poly1305()
	sealingInfo = []byte("quicpeer envelope")
)

func newSealing(secret [32]byte) hpke.PrivateKey {
	key, err := sealingKEM.DeriveKeyPair(secret[:])
	if err != nil {
		panic("certs: " + err.Error()) // only for too short a secret
	}
	return key
}

// SealingKey is the key for sealing letters to this identity. It is derived from the private
// key, and so lasts as long.
func (i *Identity) SealingKey() SealingKey { return SealingKey(i.sealing.PublicKey().Bytes()) }

// Seal encrypts s so that only the holder of the key can open it. It takes some 60 µs and
// fails for an invalid key.
func Seal(to SealingKey, s *pb.Signed) ([]byte, error) {
	key, err := sealingKEM.NewPublicKey(to[:])
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	plain, err := proto.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	sealed, err := hpke.Seal(key, sealingKDF, sealingAEAD, sealingInfo, plain)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// ErrNotForUs: the sealed bytes were not sealed to this identity, or were altered.
var ErrNotForUs = errors.New("sealed to another key, or altered")

// Open decrypts bytes that [Seal] made for this identity. The error is ErrNotForUs, or
// pb.ErrMalformed if their content is not a Signed. It does not check the signature.
func (i *Identity) Open(sealed []byte) (*pb.Signed, error) {
	plain, err := hpke.Open(i.sealing, sealingKDF, sealingAEAD, sealingInfo, sealed)
	if err != nil {
		return nil, ErrNotForUs
	}
	s := new(pb.Signed)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(plain, s); err != nil {
		return nil, fmt.Errorf("%w: %v", pb.ErrMalformed, err)
	}
	return s, nil
}
