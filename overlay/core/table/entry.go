package table

import (
	"encoding/binary"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Numbers of neighbours.
const (
	WantNeighbours = 7  // asked for; the mean degree is that of the study, about 9 at most
	MaxNeighbours  = 10 // granted
	MostNeighbours = 64 // granted to peers that nobody else has granted it
)

// appendVersion appends the part of an entry that the digests cover.
func (e *Entry) appendVersion(b []byte) []byte {
	b = append(b, e.Record.ID...)
	b = append(b, 0)
	b = append(b, e.Record.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Record.Epoch)
	b = binary.BigEndian.AppendUint32(b, e.Record.Seq)
	b = binary.BigEndian.AppendUint64(b, e.Record.Tie)
	return append(b, byte(e.State))
}

// versionHash names an entry and its version in a comparison.
func (e *Entry) versionHash() uint64 { return base.Hash64(e.appendVersion(nil)) }

// Entry is what we know of one (ID, key). There is one for each peer of the network, so it is
// small; what only few have is in dealings.
type Entry struct {
	Record *base.Record
	Shown  *base.Record // the run that the user has been shown as here; nil: none
	Side   *dealings
	Seen   uint64 // the epoch of the last run that the user has been shown
	// Said is when this was first said, as far as known: for JOIN when it was signed, for LOST
	// and LEAVE when the entry was buried.
	Said time.Duration
	// Began is when we were told that its run begins, 0 if it may have begun before: it is sent
	// no broadcast from before.
	Began time.Duration
	State pb.AnnouncementType
	// Missing says that we alone think the peer gone, since we reach nobody: it is shown as lost,
	// told to no other peer, and found again as soon as another peer knows better.
	Missing bool
	told    uint8                // see Told; the highest bit: see Stale
	Hops    [MaxNeighbours]uint8 // the distance of the neighbour in each slot from it
}

// stale marks a distance that has changed. It has no field of its own: an entry fills 64 bytes,
// and one more would cost 16, in each of the n² entries of a simulation.
const stale = 1 << 7

// Told is the distance that the neighbours have been told.
func (e *Entry) Told() uint8 { return e.told &^ stale }

// Stale reports whether the distance has changed since it was told.
func (e *Entry) Stale() bool { return e.told&stale != 0 }

// SetStale records that the distance has changed.
func (e *Entry) SetStale() { e.told |= stale }

// SetTold records what the neighbours are told now.
func (e *Entry) SetTold(hops uint8) { e.told = hops }

// dealings are our own dealings with a peer: dials, links, accusations.
type dealings struct {
	Dialing     base.DialID   // 0: none is under way
	LastAddress string        // the address of the last link to it
	Met         time.Duration // when we last dialled it while it dialled us; 0: never
	Meetings    base.Limiter  // see ReceiveSync
	Why         string        // why the last dial has failed
	Failures    int           // dials in a row that reached nobody
	Flaps       int           // links in a row that ended as soon as they stood
	NextDial    time.Duration // not before
	Wanted      bool          // messages wait for it
	RefusedTill time.Duration // it has refused neighbourhood
	MuteTill    time.Duration // it has answered nothing as a neighbour, and is none until then
	Neighbours  []certs.ID    // its neighbours, as it has told us
	Run         *Run          // its broadcasts, see runOf

	Pace     time.Duration // see Core.mayFlood
	HeldBack bool

	Refuted   time.Duration // when it was last back after it was called lost; 0: never
	Swallowed time.Duration // when it last passed nothing on, while another neighbour did; 0: never
	Way       Way
	queue     // for its ID

	Suspicion
}

// Way is what letters have shown of the ways to a peer, see overlay/core/route.
type Way struct {
	Over  base.LinkID // that has worked; 0: none is known
	Turn  uint32      // of the peers behind it then
	Till  time.Duration
	Tried []Try // letters that are not answered
}

// Try is over which link a letter went, and the turn of the peers behind it.
type Try struct {
	Over base.LinkID
	Turn uint32
}

func NewEntry(r *base.Record, state pb.AnnouncementType, said time.Duration) *Entry {
	e := &Entry{Record: r, State: state, Said: said}
	e.ForgetRoutes()
	return e
}

// With returns the dealings for writing.
func (e *Entry) With() *dealings {
	if e.Side == nil {
		e.Side = &dealings{}
	}
	return e.Side
}

// Our returns a copy of the dealings, for reading; all zero if there were none.
func (e *Entry) Our() dealings {
	if e.Side == nil {
		return dealings{}
	}
	return *e.Side
}

func (e *Entry) Version() base.Version {
	return base.Version{Rank: e.Record.Rank(), Epoch: e.Record.Epoch, Seq: e.Record.Seq, State: e.State, Tie: e.Record.Tie}
}

func (e *Entry) Alive() bool { return e.State == pb.AnnouncementType_JOIN && !e.Missing }

func (e *Entry) Buried() bool { return e.State != pb.AnnouncementType_JOIN }

// Removed reports whether the peer is out of this private network.
func (e *Entry) Removed() bool { return e.State == pb.AnnouncementType_REMOVED }

// Over reports whether the peer's run has ended for certain: it said so, or is out.
func (e *Entry) Over() bool { return e.State == pb.AnnouncementType_LEAVE || e.Removed() }

// Older reports whether e owns an ID before f.
func (e *Entry) Older(f *Entry) bool { return base.Older(e.Record, f.Record) }

// expendable reports whether e goes before f, both buried: a peer that has left before a lost
// one, then the older.
func (e *Entry) expendable(f *Entry) bool {
	if e.State != f.State {
		return e.State == pb.AnnouncementType_LEAVE
	}
	return e.Older(f)
}

func (e *Entry) ForgetRoutes() {
	for i := range e.Hops {
		e.Hops[i] = NoWay
	}
	e.told = e.told&stale | NoWay
}

// IsGuest reports whether the entry is of a visitor, which is told to nobody.
func (e *Entry) IsGuest() bool { return e.Record.Visitor }

// public reports whether other peers are told of the entry.
func (e *Entry) public() bool { return !e.Missing && !e.IsGuest() }

// Routes are distance vectors, as in RIP (RFC 2453): each peer tells its neighbours how far it is
// from every other, and uses the neighbour that is nearest. An announcement carries its sender's
// distance, so a flood lays the first routes; later changes, by a shorter way or a link that came
// or went, are sent once a second. A dead peer is buried within seconds, so nobody counts to
// infinity for long; and a routed frame never passes a peer twice, whatever the vectors say.

const (
	NoWay      = pb.MaxPassed // the infinity of these vectors: farther than any routed frame goes
	RouteEvery = time.Second  // between two updates: a guess, a link lives for minutes
)
