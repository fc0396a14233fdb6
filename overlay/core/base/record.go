package base

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Names reports whether the peer says that it is at the address.
func (r *Record) Names(address string) bool {
	return slices.Contains(r.Addresses, address) || slices.Contains(r.Observed, address)
}

// Comes is what the user is told of a peer that has come, by the name that it has here.
func (r *Record) Comes(name, via certs.ID) []Event {
	return append([]Event{Joined{ID: name, Key: r.Key, Via: via, Visitor: r.Visitor}}, r.Changed(name, &Record{Visitor: r.Visitor})...)
}

// Changed is the event of what the user was not told of yet, if anything: it was told what stands in an
// earlier record.
func (r *Record) Changed(name certs.ID, told *Record) []Event {
	if slices.Equal(r.Rooms, told.Rooms) && r.Tags == told.Tags && r.Visitor == told.Visitor {
		return nil
	}
	return []Event{Changed{ID: name, Rooms: r.Rooms, Tags: r.Tags, Visitor: r.Visitor}}
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
	Type      pb.AnnouncementType // JOIN, LEAVE, or REMOVED, which others have signed
	Epoch     uint64
	Nonce     uint64
	Seq       uint32
	Addresses []string
	Observed  []string // see pb.Record
	Sealing   certs.SealingKey
	Visitor   bool     // see overlay/core/visitors.go
	TakesData bool     // pb.FeatureData
	Rooms     []string // in order
	Tags      string   // the program's own bytes
	RoundTrip time.Duration
	Standing  *Standing // in a private network; nil: it has shown no pass
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

// MaxRoundTrip bounds what a record may say of its peer's round trips, a guess: it delays the news that
// the peer is lost.
const MaxRoundTrip = 2 * time.Second

func NewRecord(r *pb.Record, signed *pb.Signed) *Record {
	var sealing certs.SealingKey
	copy(sealing[:], r.GetSealingKey()) // all of it, or there is none
	return &Record{
		ID: certs.ID(r.GetId()), Key: certs.PublicKey(r.GetKey()), Network: r.GetNetwork(), Type: r.GetType(),
		Epoch: r.GetEpoch(), Nonce: r.GetNonce(), Seq: r.GetSeq(), Addresses: r.GetAddresses(), Observed: r.GetObserved(), Sealing: sealing, Visitor: r.GetVisitor(),
		TakesData: slices.Contains(r.GetFeatures(), pb.FeatureData), Rooms: r.GetRooms(), Tags: string(r.GetTags()),
		RoundTrip: min(time.Duration(r.GetRoundTrip())*time.Millisecond, MaxRoundTrip), Signed: signed, Tag: TagOf(certs.ID(r.GetId())),
		Tie: binary.BigEndian.Uint64(signed.GetSignature()),
	}
}

// TagOf is the place of an ID in the table: the first 8 bytes of its SHA-256. So entries spread
// evenly over the ranges of a comparison, whatever people call their peers.
func TagOf(id certs.ID) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:8])
}

// TagOfKey names a key where it need not be whole: the first 8 bytes of its SHA-256.
func TagOfKey(key certs.PublicKey) uint64 { return TagOfBytes(certs.KeyTag(key)) }

// TagOfBytes is a tag as a number.
func TagOfBytes(tag [8]byte) uint64 { return binary.BigEndian.Uint64(tag[:]) }

// TagOfBroadcast names a broadcast, so that nobody can make another author's pass for it.
func TagOfBroadcast(c *pb.BroadcastContent) uint64 {
	return Hash64(slices.Concat(c.GetKey(), c.GetId()))
}

// ShortTag names a peer in Routes.
func ShortTag(tag uint64) uint32 { return uint32(tag >> 32) }

// IsSame reports whether two records are the same statement, so that one is valid if the other is. A
// removal does not say itself who has signed it, so the proof beside it counts too.
func (r *Record) IsSame(other *Record) bool {
	return r == other || proto.Equal(r.Signed, other.Signed) &&
		(r.Type != pb.AnnouncementType_REMOVED || other.Standing != nil && proto.Equal(r.Standing.Pass, other.Standing.Pass))
}

// Rank is that of the record's pass, or of the removal.
func (r *Record) Rank() Rank {
	if r.Standing == nil {
		return RankMember
	}
	return r.Standing.Rank
}

// Older reports whether a owns an ID before b: in a private network by R4, in an open one by the
// smaller (epoch, key).
func Older(a, b *Record) bool {
	if a.Standing != nil && b.Standing != nil {
		return cmp.Or(-cmp.Compare(a.Standing.Rank, b.Standing.Rank), cmp.Compare(a.Standing.Number, b.Standing.Number), bytes.Compare(a.Key[:], b.Key[:])) < 0
	}
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), bytes.Compare(a.Key[:], b.Key[:])) < 0
}

// Purpose is what something was signed as.
type Purpose uint8

// The purposes of signatures that the core has judged.
const (
	AsRecord Purpose = iota
	AsBroadcast
	AsGrant
	AsRemoval
)

// Claim is a signature to be judged.
type Claim struct {
	As      Purpose
	Key     certs.PublicKey
	Network certs.PublicKey // of a grant or removal
	Signed  *pb.Signed
	And     *Claim // has to be valid as well; nil: none
}

// Valid judges it. It takes some 50 µs for each signature, and may be called from any goroutine.
func (c Claim) Valid() bool {
	var valid bool
	switch c.As {
	case AsRecord:
		valid = certs.VerifyRecord(c.Key, c.Signed)
	case AsBroadcast:
		valid = certs.VerifyBroadcast(c.Key, c.Signed)
	case AsGrant:
		valid = certs.VerifyGrant(c.Network, c.Key, c.Signed)
	case AsRemoval:
		valid = certs.VerifyRemoval(c.Network, c.Key, c.Signed)
	}
	return valid && (c.And == nil || c.And.Valid())
}

// Version orders the statements about one entry. The tie is for a key that has been started twice
// in the same millisecond: all peers then hold the same one.
type Version struct {
	Rank  Rank
	Epoch uint64
	Seq   uint32
	State pb.AnnouncementType
	Tie   uint64
}

func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Rank, w.Rank), cmp.Compare(v.Epoch, w.Epoch), cmp.Compare(v.Seq, w.Seq), cmp.Compare(v.State, w.State), cmp.Compare(v.Tie, w.Tie))
}

func Hash64(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:8])
}
