package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Silence, from the faster set of the membership study of the design: with it no living peer was
// called lost in 464 node-hours of 1000 peers at 20 % loss. Our own figures are in
// docs/figures.md.
const (
	quietAfter  = 1400 * time.Millisecond // without a packet, before the peer's other neighbours are asked
	freshWithin = 1000 * time.Millisecond // a witness that has heard the peer so lately contradicts
)

// linkState is how far a connection has come.
type linkState int

const (
	linkOpening linkState = iota // the handshake is not done
	linkUp
	linkClosing // the driver has been asked to close it
)

// link is a connection to an authenticated peer.
type link struct {
	id      LinkID
	key     certs.PublicKey // from TLS
	address string          // of the other end, for the log
	dial    *dial           // the dial that made it; nil: the other side dialled
	door    *target         // the target at its end that has let us in; nil: none, or not any more
	opened  time.Duration
	state   linkState

	// Once it is up:
	peer      certs.ID
	entry     *entry // of the peer; nil if the table has none
	epoch     uint64
	upSince   time.Duration
	heard     time.Duration
	used      time.Duration
	roundTrip time.Duration
	jitter    time.Duration // mean deviation of the round trips
	quiet     bool          // silent for quietAfter
	stuck     bool          // heard, but what we write does not get through
	punched   bool          // both sides have dialled, through a NAT
	within    bool          // the other side is on this host: one of the two sees the other at loopback
	bond
	tables
	words
	budgets
	foreign foreign
	pending []*pb.Announcement
}

// bond says whether the peers at both ends are neighbours.
type bond struct {
	neighbour bool
	slot      int  // the neighbour's place in the distance vectors, see takeSlot
	asked     bool // we have asked for neighbourhood, without an answer yet
	askedAt   time.Duration
	everAsked bool
}

// words is what the peers at both ends have of the broadcasts.
type words struct {
	tellAt   time.Duration // when we tell next how far we have come
	answered bool          // the other side has sent some that we had asked for, since it last told us
}

// budgets limit what the other side can make us do.
type budgets struct {
	routed     limiter
	carried    limiter // see mayCarry
	refusals   limiter
	offered    int // bytes of our deposits that it has not answered
	introduced limiter
	compared   limiter // see answer
	positions  limiter // in broadcasts
	answers    limiter
	meetings   limiter // that it brings about, see receiveSync
}

// since is when the run of the peer at the other end began; 0 if long ago.
func (l *link) since() time.Duration {
	if l.entry == nil {
		return 0
	}
	return l.entry.began
}

func (l *link) slowness() time.Duration { return Slowness(l.roundTrip, l.jitter) }

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
	unread   limiter
	noted    bool // something could not be read
}

// name stores the features that the other side knows.
func (f *foreign) name(features []uint32) {
	f.features = slices.Clone(features[:min(len(features), maxFeatures)])
}

// knows reports whether the other side has named a feature, so that it can be used.
func (f *foreign) knows(feature uint32) bool { return slices.Contains(f.features, feature) }

// Limits of the unknown peers that a link may announce: so many at once, then one in every.
// Guesses: a network that joins as a whole comes at once, and a member that invents peers needs a
// quarter of an hour to fill the table, while its inventions are found out.
const (
	introducedBurst = 8192
	introducedEvery = 10 * time.Millisecond
)

// mayIntroduce limits how many unknown peers a link can put into our table.
func (l *link) mayIntroduce(now time.Duration) bool {
	return l.introduced.take(now, introducedBurst, introducedEvery)
}

// leadsToGuest reports whether the peer at the other end is a visitor.
func (l *link) leadsToGuest() bool { return l.entry != nil && l.entry.isGuest() }
