package base

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// LinkID names a connection. The driver gives out rising numbers and never uses
// one again, so that a late word of a dead link can't touch its successor.
type LinkID uint64

// DialID names a wish to dial.
type DialID uint64

// Config says who the peer is and what it starts from.
type Config struct {
	ID       certs.ID
	Identity *certs.Identity
	Network  string // its label, see certs.Network
	Software string
	// Addresses are where the interfaces of the host can be dialled, Near their subnets.
	Addresses []netip.AddrPort
	Near      []netip.Prefix
	Epoch     uint64   // see pb.Record
	Nonce     uint64   // random, of this run
	Join      []string // addresses to join, opaque to the core; none: a new network
	// JoinTimeout is how long to try them; 0 or less: for ever.
	JoinTimeout time.Duration
	// Discover says that Found will be called. Without addresses to join, a network is
	// begun if that finds nobody within 2 s.
	Discover bool
	// Met are peers of earlier runs, at most 256, the likeliest to be found first. They are
	// looked for from the start.
	Met  []Acquaintance
	Rand *rand.Rand
	// Members, if any, are the other members of a network that the peer has been in for long:
	// they are in its table from the start. So a simulation can begin with a network that stands.
	Members []*Record
	// Visitor says that this peer keeps no identity: it is announced to nobody unless it stays,
	// see overlay/core/visitors.go. A visitor that begins a network stays at once.
	Visitor bool
	// Rooms that this peer is in, and its tags; see core.Describe.
	Rooms []string
	Tags  string
	// NoCustody says that we keep nothing for others and leave nothing with others.
	NoCustody bool
	// Open and Verify replace OpenRecord (OpenMember in a private network) and Claim.Valid. A
	// simulation remembers their results for all its peers.
	Open   func(*pb.Signed) (*Record, error)
	Verify func(Claim) bool

	Membership
	Memory

	Features []uint32         // that we name: pb.Features(); tests invent others
	Invent   func(*pb.Record) // for tests of what newer versions may put into their records
}

// InRecords is the network that records name: none in a private one, which their passes are for.
func (c *Config) InRecords() string {
	if c.Key != (certs.PublicKey{}) {
		return ""
	}
	return c.Network
}

// Membership is what a peer of a private network starts from; zero: the network is open.
type Membership struct {
	Key  certs.PublicKey // of the network
	Pass *pb.Pass        // nil: we have none yet
	// Removals are those that earlier runs have heard of.
	Removals []*pb.Announcement
	// Redemption of a ticket, for a peer that has no pass; Pinned are the keys of the doors that the
	// ticket names, by their addresses in Join: the first 8 bytes of the SHA-256 of each.
	Redemption *pb.Signed
	Pinned     map[string][8]byte
}

// Memory is what earlier runs have left.
type Memory struct {
	// Custody holds the deposits kept for others when the last run ended, those of one age in the
	// order in which they were taken.
	Custody []Kept
	// Shown is how many broadcasts of a run this peer had shown when it last ended; they are not
	// shown again. The core only reads it; may be nil.
	Shown map[ShownBroadcasts]uint64
	// Past are the rooms that this peer is in, and pb.Everyone if it asks for what was said to
	// everyone before it came. Wall is the time of day at the start, nanoseconds since 1970.
	Past []Room
	Wall int64
}

// Room is a room that this peer enters.
type Room struct {
	Name string // or pb.Everyone
	// Shown are the tags of the latest of its messages that were shown before, by the times in them. Until is
	// up to when all others were said, in nanoseconds since 1970; 0: there are none.
	Shown []uint64
	Until int64
	// Settled: its past is not asked for.
	Settled bool
}

// Recall asks for what this peer's history has of a room, for the peer at the other end of a link.
// Have is what that has already. It is answered by core.Recalled.
type Recall struct {
	Link LinkID
	Room string // or pb.Everyone
	Have []uint64
}

// Bygone is a message from before this peer came.
type Bygone struct {
	Content *pb.BroadcastContent
	Signed  *pb.Signed
	Proved  bool // the table, or a pass, says that the ID is the author's; else only its key is certain
}

// Kept is a deposit that we keep for its receiver. Depositor left it and gets the receipts; it is
// empty for receipts, for which there are none.
type Kept struct {
	Deposit      *pb.Deposit
	Depositor    certs.ID
	DepositorKey certs.PublicKey
	Age          time.Duration // since it was taken
}

// CustodyWrite stores that a deposit is kept from now on or, without Kept, is not kept any more.
type CustodyWrite struct {
	ID   [pb.DepositIDSize]byte
	Kept *Kept
}

// Acquaintance is a peer that was met in an earlier run, and where it may be now.
type Acquaintance struct {
	ID        certs.ID
	Key       certs.PublicKey
	Addresses []string // IP:PORT, the likeliest first
	Address   string   // the one of these that a link to it had; empty: none
}

// Joining is the outcome of a Join.
type Joining struct {
	Address string
	ID      certs.ID // the peer that has let us in; empty: none
	Why     string   // why none has
}

// Envelope is something sealed that has come over others, complete. Nobody has vouched for From.
// It may come before Ready, and more than once.
type Envelope struct {
	From   certs.ID
	Over   LinkID // the last part of it
	Number uint64
	Sealed []byte
}

// VerifyID names a batch.
type VerifyID uint64

// NAT says what is known of the NAT in front of a peer.
type NAT string

// Candidate is an address of a peer, and how long after the others' begin it is dialled.
type Candidate struct {
	Address string
	After   time.Duration
}

// The kinds of NAT. Whether one lets strangers in is not tested: that takes a peer to which we
// have never sent anything.
const (
	NATUnknown   NAT = "unknown"   // no peer has said where it sees this one
	NATNone      NAT = "none"      // it is seen at an address of its own
	NATBehind    NAT = "nat"       // it is behind one; which kind takes a second peer outside
	NATEven      NAT = "even"      // every peer sees it at the same port: holes can be punched
	NATSymmetric NAT = "symmetric" // each peer sees it at another port: not to everybody
	NATOpen      NAT = "open"      // behind one, with a port that leads in
)

// MaxOwnAddresses is how many of our interfaces' addresses our record has. It leaves room for
// those that routers and other peers name.
const MaxOwnAddresses = pb.MaxAddresses - 2
