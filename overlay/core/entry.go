package core

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"quicpeer/certs"
	"quicpeer/pb"
	"time"
)

// Numbers of neighbours.
const (
	wantNeighbours = 7  // asked for; the mean degree is that of the study, about 9 at most
	MaxNeighbours  = 10 // granted
	mostNeighbours = 64 // granted to peers that nobody else has granted it
)

// appendVersion appends the part of an entry that the digests cover.
func (e *entry) appendVersion(b []byte) []byte {
	b = append(b, e.record.ID...)
	b = append(b, 0)
	b = append(b, e.record.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, e.record.Epoch)
	b = binary.BigEndian.AppendUint32(b, e.record.Seq)
	b = binary.BigEndian.AppendUint64(b, e.record.tie)
	return append(b, byte(e.state))
}

// versionHash names an entry and its version in a comparison.
func (e *entry) versionHash() uint64 { return hash64(e.appendVersion(nil)) }

// entry is what we know of one (ID, key). There is one for each peer of the network, so it is
// small; what only few have is in dealings.
type entry struct {
	record *Record
	shown  *Record // the run that the user has been shown as here; nil: none
	side   *dealings
	seen   uint64 // the epoch of the last run that the user has been shown
	// said is when this was first said, as far as known: for JOIN when it was signed, for LOST
	// and LEAVE when the entry was buried.
	said time.Duration
	// began is when we were told that its run begins, 0 if it may have begun before: it is sent
	// no broadcast from before.
	began time.Duration
	state pb.AnnouncementType
	// missing says that we alone think the peer gone, since we reach nobody: it is shown as lost,
	// told to no other peer, and found again as soon as another peer knows better.
	missing bool
	told    uint8                // the distance that the neighbours have been told
	stale   bool                 // the distance has changed since
	hops    [MaxNeighbours]uint8 // the distance of the neighbour in each slot from it
}

// dealings are our own dealings with a peer: dials, links, accusations.
type dealings struct {
	dialing     DialID        // 0: none is under way
	lastAddress string        // the address of the last link to it
	met         time.Duration // when we last dialled it while it dialled us; 0: never
	invited     uint64        // the number of our answer to its CONNECT; 0: there is none, or it has been used
	meetings    limiter       // see receiveSync
	why         string        // why the last dial has failed
	failures    int           // dials in a row that reached nobody
	flaps       int           // links in a row that ended as soon as they stood
	nextDial    time.Duration // not before
	wanted      bool          // messages wait for it
	refusedTill time.Duration // it has refused neighbourhood
	neighbours  []certs.ID    // its neighbours, as it has told us
	run         *run          // its broadcasts, see runOf

	pace     time.Duration // see Core.mayFlood
	heldBack bool

	suspicion
}

func newEntry(r *Record, state pb.AnnouncementType, said time.Duration) *entry {
	e := &entry{record: r, state: state, said: said}
	e.forgetRoutes()
	return e
}

// with returns the dealings for writing.
func (e *entry) with() *dealings {
	if e.side == nil {
		e.side = &dealings{}
	}
	return e.side
}

// our returns a copy of the dealings, for reading; all zero if there were none.
func (e *entry) our() dealings {
	if e.side == nil {
		return dealings{}
	}
	return *e.side
}

func (e *entry) version() version {
	return version{e.record.Epoch, e.record.Seq, e.state, e.record.tie}
}

func (e *entry) alive() bool { return e.state == pb.AnnouncementType_JOIN && !e.missing }

func (e *entry) buried() bool { return e.state != pb.AnnouncementType_JOIN }

// older reports whether e has the smaller (epoch, key).
func (e *entry) older(f *entry) bool {
	return cmp.Or(cmp.Compare(e.record.Epoch, f.record.Epoch), bytes.Compare(e.record.Key[:], f.record.Key[:])) < 0
}

// expendable reports whether e goes before f, both buried: a peer that has left before a lost
// one, then the older.
func (e *entry) expendable(f *entry) bool {
	if e.state != f.state {
		return e.state == pb.AnnouncementType_LEAVE
	}
	return e.older(f)
}

func (e *entry) forgetRoutes() {
	for i := range e.hops {
		e.hops[i] = noWay
	}
	e.told = noWay
}

// isGuest reports whether the entry is of a visitor, which is told to nobody.
func (e *entry) isGuest() bool { return e.record.Visitor }

// public reports whether other peers are told of the entry.
func (e *entry) public() bool { return !e.missing && !e.isGuest() }

// Routes are distance vectors, as in RIP (RFC 2453): each peer tells its neighbours how far it is
// from every other, and uses the neighbour that is nearest. An announcement carries its sender's
// distance, so a flood lays the first routes; later changes, by a shorter way or a link that came
// or went, are sent once a second. A dead peer is buried within seconds, so nobody counts to
// infinity for long; and a routed frame never passes a peer twice, whatever the vectors say.

const (
	noWay      = pb.MaxPassed // the infinity of these vectors: farther than any routed frame goes
	routeEvery = time.Second  // between two updates: a guess, a link lives for minutes
)
