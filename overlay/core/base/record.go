package base

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Names reports whether the peer says that it is at the address.
func (r *Record) Names(address string) bool {
	return slices.Contains(r.Addresses, address) || slices.Contains(r.Observed, address)
}

// CompareNames is the order of the table: by tag, ID, key.
func CompareNames(a, b *Record) int {
	if a.Tag != b.Tag { // as a rule; the rest is farther away
		return cmp.Compare(a.Tag, b.Tag)
	}
	return cmp.Or(cmp.Compare(a.ID, b.ID), bytes.Compare(a.Key[:], b.Key[:]))
}

// Record is a peer's signed record of itself, parsed. It is never changed, and entries, tables
// and simulated peers share it.
type Record struct {
	ID        certs.ID
	Key       certs.PublicKey
	Network   string
	Type      pb.AnnouncementType // JOIN or LEAVE
	Epoch     uint64
	Nonce     uint64
	Seq       uint32
	Addresses []string
	Observed  []string // see pb.Record
	Sealing   certs.SealingKey
	Visitor   bool // see overlay/core/visitors.go
	Signed    *pb.Signed
	Tag       uint64
	Tie       uint64 // the first bytes of the signature, see version
}

// OpenRecord parses and checks the payload of a signed record. It does not check
// the signature.
func OpenRecord(signed *pb.Signed) (*Record, error) {
	r, err := pb.ParseRecord(signed)
	if err != nil {
		return nil, err
	}
	return NewRecord(r, signed), nil
}

func NewRecord(r *pb.Record, signed *pb.Signed) *Record {
	var sealing certs.SealingKey
	copy(sealing[:], r.GetSealingKey()) // all of it, or there is none
	return &Record{
		ID: certs.ID(r.GetId()), Key: certs.PublicKey(r.GetKey()), Network: r.GetNetwork(), Type: r.GetType(),
		Epoch: r.GetEpoch(), Nonce: r.GetNonce(), Seq: r.GetSeq(), Addresses: r.GetAddresses(), Observed: r.GetObserved(), Sealing: sealing, Visitor: r.GetVisitor(), Signed: signed, Tag: TagOf(certs.ID(r.GetId())),
		Tie: binary.BigEndian.Uint64(signed.GetSignature()),
	}
}

// TagOf is the place of an ID in the table: the first 8 bytes of its SHA-256. So entries spread
// evenly over the ranges of a comparison, whatever people call their peers.
func TagOf(id certs.ID) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:8])
}

// ShortTag names a peer in Routes.
func ShortTag(tag uint64) uint32 { return uint32(tag >> 32) }

// Claim is a signature to be judged.
type Claim struct {
	Broadcast bool // else a record
	Key       certs.PublicKey
	Signed    *pb.Signed
}

// Valid judges it. It takes some 50 µs, and may be called from any goroutine.
func (c Claim) Valid() bool {
	if c.Broadcast {
		return certs.VerifyBroadcast(c.Key, c.Signed)
	}
	return certs.VerifyRecord(c.Key, c.Signed)
}

// Version orders the statements about one entry. The tie is for a key that has been started twice
// in the same millisecond: all peers then hold the same one.
type Version struct {
	Epoch uint64
	Seq   uint32
	State pb.AnnouncementType
	Tie   uint64
}

func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, w.Epoch), cmp.Compare(v.Seq, w.Seq), cmp.Compare(v.State, w.State), cmp.Compare(v.Tie, w.Tie))
}

func Hash64(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:8])
}
