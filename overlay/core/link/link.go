package link

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Silence, from the faster set of the membership study of the design: with it no living peer was
// called lost in 464 node-hours of 1000 peers at 20 % loss. Our own figures are in
// docs/figures.md.
const (
	QuietAfter  = 1400 * time.Millisecond // without a packet, before the peer's other neighbours are asked
	FreshWithin = 1000 * time.Millisecond // a witness that has heard the peer so lately contradicts
)

// linkState is how far a connection has come.
type linkState int

const (
	LinkOpening linkState = iota // the handshake is not done
	LinkUp
	LinkClosing // the driver has been asked to close it
	LinkCarried // it is up, and its packets go over others: it is for direct messages alone
)

// carriage says who has made a link that is carried over others.
type carriage int

const (
	NotCarried carriage = iota
	CarriedByThem
	CarriedByUs
)

// Link is a connection to an authenticated peer. The first fields are those that are read most
// often: they share a line of the processor's cache.
type Link struct {
	ID      base.LinkID
	State   linkState
	Entry   *table.Entry // of the peer, once the link is up; nil if the table has none
	Pending []*pb.Announcement
	Bond
	Heard time.Duration
	Key   certs.PublicKey // from TLS

	Address string  // of the other end, for the log
	Dial    *Dial   // the dial that made it; nil: the other side dialled
	Door    *Target // the target at its end that has let us in; nil: none, or not any more
	Opened  time.Duration

	// Once it is up:
	Peer      certs.ID
	Epoch     uint64
	UpSince   time.Duration
	Used      time.Duration
	RoundTrip time.Duration
	Jitter    time.Duration // mean deviation of the round trips
	Quiet     bool          // silent for QuietAfter
	Stuck     bool          // heard, but what we write does not get through
	Mute      bool          // it carries packets, and nothing comes back
	origin
	tables
	words
	budgets
	Foreign foreign
}

// origin is how a link has come about.
type origin struct {
	Punched  bool // both sides have dialled, through a NAT
	Within   bool // the other side is on this host: one of the two sees the other at loopback
	Carriage carriage
	Patience time.Duration // how much longer than usual its handshake may take: a ticket is redeemed
}

// Bond says whether the peers at both ends are neighbours.
type Bond struct {
	Neighbour bool
	Bonded    time.Duration // since when
	Slot      int           // the neighbour's place in the distance vectors, see TakeSlot
	Asked     bool          // we have asked for neighbourhood, without an answer yet
	AskedAt   time.Duration
	EverAsked bool
	Check     Check
}

// Check is how we find out whether a neighbour does its part, see neighbours.CheckNeighbours.
type Check struct {
	Pinged uint64        // pings so far
	Tries  int           // of them without an answer
	Next   time.Duration // not before
}

// words is what the peers at both ends have of the broadcasts.
type words struct {
	TellAt   time.Duration // when we tell next how far we have come
	Answered bool          // the other side has sent some that we had asked for, since it last told us
}

// budgets limit what the other side can make us do.
type budgets struct {
	Routed     base.Limiter
	Carried    base.Limiter // see MayCarry
	Offered    int          // bytes of our deposits that it has not answered
	Introduced base.Limiter
	Compared   base.Limiter // see answer
	Positions  base.Limiter // in broadcasts
	Answers    base.Limiter
	Meetings   base.Limiter // SYNCs from it, see ReceiveSync
	Connects   base.Limiter // from it, see Introduce
	Pings      base.Limiter // from it that are answered
	Word       *Word        // how far its host is believed about peers that we have not met; nil before it is up
	Refused    bool         // some of these were dropped: the tables are compared when the word counts for more
}

// Since is when the run of the peer at the other end began; 0 if long ago.
func (l *Link) Since() time.Duration {
	if l.Entry == nil {
		return 0
	}
	return l.Entry.Began
}

// HeardLately reports whether packets come over the link; those of a slow one may be late.
func (l *Link) HeardLately(now time.Duration) bool { return now-l.Heard <= FreshWithin+l.Slowness() }

func (l *Link) Slowness() time.Duration { return base.Slowness(l.RoundTrip, l.Jitter) }

// Frames and fields of newer versions: see "How the wire grows" in pb/quicpeer.proto.

// Bounds of them, guesses: how many features of the other side are remembered, and how much of
// what it sends may be unreadable before the link is closed.
const (
	maxFeatures = 64
	unreadBurst = 8192
	unreadEvery = 10 * time.Millisecond
)

// foreign is what the other side of a link has that this version may not know.
type foreign struct {
	features []uint32 // that it knows
	unread   base.Limiter
	noted    bool // something could not be read
}

// Name stores the features that the other side knows.
func (f *foreign) Name(features []uint32) {
	f.features = slices.Clone(features[:min(len(features), maxFeatures)])
}

// Knows reports whether the other side has named a feature, so that it can be used.
func (f *foreign) Knows(feature uint32) bool { return slices.Contains(f.features, feature) }

// Limits of the losses that a link may announce: so many at once, then one in every. Guesses: when a
// network is cut, half of it is lost at once.
const (
	IntroducedBurst = 8192
	introducedEvery = 10 * time.Millisecond
)

// MayIntroduce limits how many peers a link can call lost.
func (l *Link) MayIntroduce(now time.Duration) bool {
	return l.Introduced.Take(now, IntroducedBurst, introducedEvery)
}

// LeadsToGuest reports whether the peer at the other end is a visitor.
func (l *Link) LeadsToGuest() bool { return l.Entry != nil && l.Entry.IsGuest() }
