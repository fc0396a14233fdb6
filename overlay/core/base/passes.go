package base

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"quicpeer/certs"
	"quicpeer/pb"
)

// A private network is a key. That key makes admins, and admins let in members, each by a grant
// that gives an ID to a key; the grants are the pass of a peer, which its own record carries. So
// whoever holds a record can tell by itself that its peer belongs, and nobody keeps a list. Whom an
// admin or the network's key removes is out for good: a removal is an announcement that beats what
// the peer says of itself, see the ranks. All of this is a set of statements whose meaning does not
// depend on the order in which they come:
//
//	R1  a pass is an admin's grant by the network's key, or a member's grant by such an admin;
//	R2  a statement of a higher rank beats all of a lower one about the same key;
//	R3  what an admin has signed that the network's key removes counts no more, but for what that
//	    removal keeps;
//	R4  of two keys with passes for one ID an admin's comes first, then the smaller number.

// Rank orders the statements about one key, before epoch and sequence (R2): so an admin removes
// members, and only the network's key removes an admin, or brings back whom an admin has removed.
type Rank uint8

// The ranks. In an open network all statements have the first.
const (
	RankMember Rank = iota
	RankRemoved
	RankAdmin
	RankRemovedByNetwork
)

// StatementName names a grant or a removal: the first bytes of the SHA-256 of its payload.
type StatementName [pb.KeepSize]byte

// NameOf names a statement.
func NameOf(s *pb.Signed) StatementName { return nameFrom(s.GetPayload()) }

func nameFrom(parts ...[]byte) StatementName {
	sum := sha256.Sum256(slices.Concat(parts...))
	return StatementName(sum[:])
}

// Standing is what a pass, or a removal, says of a key. It is never changed.
type Standing struct {
	Rank   Rank
	Number uint64          // of the grant
	Issuer certs.PublicKey // the admin who has signed; zero: the network's key
	By     certs.ID        // the ID of that admin
	Name   StatementName
	Pass   *pb.Pass // the proof; the grant of a removal is the removal itself
	keep   []StatementName
}

// Keeps reports whether the removal of an admin leaves a statement of that valid.
func (s *Standing) Keeps(name StatementName) bool { return slices.Contains(s.keep, name) }

// PassError says why a record has no valid pass.
type PassError struct{ Why string }

func (e *PassError) Error() string { return e.Why }

// OpenMember is [OpenRecord] in a private network: the record has to carry a pass, for its own ID
// and key. It checks no signature.
func OpenMember(signed *pb.Signed) (*Record, error) {
	parsed, err := pb.ParseMember(signed)
	if err != nil {
		return nil, err
	}
	r := NewRecord(parsed, signed)
	if r.Standing, err = OpenPass(parsed.GetPass(), r.ID, r.Key); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenPass checks a pass by itself (R1), but for the signatures.
func OpenPass(pass *pb.Pass, id certs.ID, key certs.PublicKey) (*Standing, error) {
	if pass == nil {
		return nil, &PassError{"a record without a pass for this private network"}
	}
	if err := pb.CheckPass(pass); err != nil {
		return nil, &PassError{err.Error()}
	}
	grant, _ := pb.ParseGrant(pass.GetGrant()) // CheckPass has done it
	s := &Standing{Number: grant.GetNumber(), Name: NameOf(pass.GetGrant()), Pass: pass}
	switch {
	case certs.ID(grant.GetId()) != id || certs.PublicKey(grant.GetKey()) != key:
		return nil, &PassError{"a record with the pass of another ID or key"}
	case pass.GetIssuer() == nil && !grant.GetAdmin():
		return nil, &PassError{"a pass of a member without the grant of its admin"}
	case pass.GetIssuer() == nil:
		s.Rank = RankAdmin
		return s, nil
	case grant.GetAdmin():
		return nil, &PassError{"a pass of an admin that is not by the network's key"}
	}
	return s, s.signedBy(pass.GetIssuer())
}

// signedBy notes the admin who has signed a statement, by its grant.
func (s *Standing) signedBy(grant *pb.Signed) error {
	admin, err := pb.ParseGrant(grant)
	switch {
	case err != nil:
		return &PassError{err.Error()}
	case !admin.GetAdmin():
		return &PassError{"a statement of a peer that is not an admin"}
	}
	s.Issuer, s.By = certs.PublicKey(admin.GetKey()), certs.ID(admin.GetId())
	return nil
}

// OpenRemoval opens a removal as a record of the state REMOVED; issuer is the grant of the admin
// who has signed it, nil for the network's key. It checks no signature.
func OpenRemoval(signed, issuer *pb.Signed) (*Record, error) {
	removal, err := pb.ParseRemoval(signed)
	if err != nil {
		return nil, err
	}
	r := NewRecord(&pb.Record{Type: pb.AnnouncementType_REMOVED, Id: removal.GetId(), Key: removal.GetKey()}, signed)
	r.Standing = &Standing{Rank: RankRemovedByNetwork, Name: NameOf(signed), Pass: &pb.Pass{Grant: signed, Issuer: issuer}}
	if issuer != nil {
		r.Standing.Rank = RankRemoved
		err = r.Standing.signedBy(issuer)
		r.Tie = TagOfKey(r.Standing.Issuer) // an admin has one removal of a peer: no series of ever greater ones
		return r, err
	}
	for _, k := range removal.GetKeep() {
		r.Standing.keep = append(r.Standing.keep, StatementName(k))
	}
	r.Tie = uint64(pb.MaxKeep-len(r.Standing.keep))<<48 | r.Tie>>16 // the one that keeps less, so a second thought counts
	return r, nil
}

// maxKnown bounds the grants whose signatures are known to be valid; then all are judged anew. A
// guess: more than any network has.
const maxKnown = 1 << 17

// Passes judges who belongs to a private network, by the removals that have come. In an open
// network, whose key is zero, everybody does. Nil is an open network.
type Passes struct {
	Network certs.PublicKey
	Verify  func(Claim) bool

	removed map[certs.PublicKey][]*Record
	known   map[StatementName]bool // grants with their signatures, by whom they are signed
}

// NewPasses judges for the network of a key.
func NewPasses(network certs.PublicKey, verify func(Claim) bool) *Passes {
	return &Passes{Network: network, Verify: verify, removed: make(map[certs.PublicKey][]*Record), known: make(map[StatementName]bool)}
}

// Private reports whether the network is private.
func (m *Passes) Private() bool { return m != nil && m.Network != certs.PublicKey{} }

// Note takes a removal, Lift takes it back.
func (m *Passes) Note(removal *Record) {
	if !slices.Contains(m.removed[removal.Key], removal) {
		m.removed[removal.Key] = append(m.removed[removal.Key], removal)
	}
}

// Lift takes back a removal that counts no more.
func (m *Passes) Lift(removal *Record) {
	rest := slices.DeleteFunc(m.removed[removal.Key], func(r *Record) bool { return r == removal })
	if m.removed[removal.Key] = rest; len(rest) == 0 {
		delete(m.removed, removal.Key)
	}
}

// Removal is the removal of the highest rank of a key; nil if there is none.
func (m *Passes) Removal(key certs.PublicKey) *Record {
	if m == nil {
		return nil
	}
	var most *Record
	for _, r := range m.removed[key] {
		if most == nil || r.Standing.Rank > most.Standing.Rank {
			most = r
		}
	}
	return most
}

var errNotAnAdmin = errors.New("a statement of a peer that the network's key has not made an admin")

// PassOf is the one check of all that comes in about a peer: its record, or its removal. An error is
// a breach of the protocol by whoever passed it on; barred is the removal by which the peer is out,
// whatever it shows. It does not check what [Passes.Claim] asks for.
func (m *Passes) PassOf(r *Record) (barred *Record, err error) {
	s := r.Standing
	if !m.Private() {
		return nil, nil
	}
	if s == nil {
		return nil, &PassError{"a record without a pass for this private network"}
	}
	if out := m.Barred(r); out != nil {
		return out, nil
	}
	if grant := s.Pass.GetIssuer(); grant != nil && !m.known[fullName(grant, m.Network)] {
		if !m.Verify(Claim{As: AsGrant, Key: m.Network, Network: m.Network, Signed: grant}) {
			return nil, errNotAnAdmin
		}
		m.learn(grant, m.Network)
	}
	return nil, nil
}

// Barred is the removal by which a record, or another removal, does not count; nil if none does.
// What counted when it came may be barred later.
func (m *Passes) Barred(r *Record) *Record {
	s := r.Standing
	if !m.Private() || s == nil {
		return nil
	}
	if out := m.Removal(r.Key); out != nil && r.Type != pb.AnnouncementType_REMOVED && out.Standing.Rank > s.Rank {
		return out
	}
	if out := m.Removal(s.Issuer); out != nil && out.Standing.Rank == RankRemovedByNetwork && !out.Standing.Keeps(s.Name) {
		return out
	}
	return nil
}

// Claim is what has to be valid for a record, or a removal, to count.
func (m *Passes) Claim(r *Record) Claim {
	c := Claim{Key: r.Key, Signed: r.Signed}
	if !m.Private() || r.Standing == nil {
		return c
	}
	signer := m.signer(r)
	if r.Type == pb.AnnouncementType_REMOVED {
		return Claim{As: AsRemoval, Key: signer, Network: m.Network, Signed: r.Signed}
	}
	if grant := r.Standing.Pass.GetGrant(); !m.known[fullName(grant, signer)] {
		c.And = &Claim{As: AsGrant, Key: signer, Network: m.Network, Signed: grant}
	}
	return c
}

// Learn notes that the claim of a record is valid.
func (m *Passes) Learn(r *Record) {
	if m.Private() && r.Standing != nil && r.Type != pb.AnnouncementType_REMOVED {
		m.learn(r.Standing.Pass.GetGrant(), m.signer(r))
	}
}

// signer is whose key has to have signed a pass's grant, or a removal.
func (m *Passes) signer(r *Record) certs.PublicKey {
	if r.Standing.Issuer == (certs.PublicKey{}) {
		return m.Network
	}
	return r.Standing.Issuer
}

func (m *Passes) learn(grant *pb.Signed, by certs.PublicKey) {
	if len(m.known) >= maxKnown {
		clear(m.known)
	}
	m.known[fullName(grant, by)] = true
}

// fullName names a grant with its signature, which others judge too, so the grant alone is not
// enough to be passed on; and with the key that it was judged by, or a pass could name another admin
// than the one who has signed it.
func fullName(s *pb.Signed, by certs.PublicKey) StatementName {
	return nameFrom(by[:], s.GetSignature(), s.GetPayload())
}

// RemovedError: this peer is out of its private network.
type RemovedError struct {
	By     certs.ID // the admin who has removed it; empty: the network's key
	Issuer certs.ID // it was not the peer itself that was removed, but this admin, who had let it in
}

func (e *RemovedError) Error() string {
	if e.Issuer != "" {
		return fmt.Sprintf("%s, who has let this peer in, is not an admin any more", e.Issuer)
	}
	return fmt.Sprintf("%s has removed this peer from its private network", e.By)
}
