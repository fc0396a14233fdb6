package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
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
	dial    *dial           // the wish that it fulfils; nil: the other side dialled
	door    *target         // that it leads to, and has let us in; nil: none, or that is over
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
	stuck     bool          // heard, and good for little
	neighbour bool
	slot      int  // of a neighbour in the distance vectors, see takeSlot
	dependant bool // a neighbour above the usual number: it has nobody else
	asked     bool // for neighbourhood, and no answer yet
	askedAt   time.Duration
	everAsked bool
	gained    bool // it is a neighbour because we asked
	leaning   bool // we asked for it as somebody who has nobody else
	// leanRefused: and were refused.
	leanRefused bool

	fetch       *fetch // of its whole table; nil: it is not taken
	compareThen bool
	comparing   *comparison // of its table with ours
	verifying   int         // batches of its table whose signatures are being judged

	routed        allowance
	carried       allowance // see mayCarry
	refusals      allowance
	offered       int // bytes of deposits that it has not answered
	introduced    allowance
	summaries     allowance // of broadcasts
	answers       allowance
	calls, called allowance // see receiveCall
	gos           allowance // see receiveGo
	punched       bool      // both sides have dialled, through a NAT
	within        bool      // the other side is on this host: one of the two sees the other at loopback
	foreign       foreign
	pending       []*pb.Announcement
}

// links are the connections to other peers, and how far everybody is over each.
type links struct {
	*env
	table    *table
	list     []*link  // in the order of their numbers
	changed  bool     // others are neighbours than those that were told of
	stale    []*entry // the neighbours don't know the distance
	offences offences

	encodedList []*pb.Announcement // the last that were encoded
	encoded     []byte
}

// violation ends a link whose peer has broken the protocol.
func (ls *links) violation(l *link, why string) {
	if l == nil {
		return // it was routed to us: who is to blame is not known
	}
	ls.blame(l, Violation, "peer breaks the protocol", why)
	ls.close(l, CloseProtocol, why)
}

// attach lets the links to a peer know its new entry, detach that it is gone.
func (ls *links) attach(e *entry) {
	for _, l := range ls.list {
		if l.state == linkUp && l.key == e.record.Key && l.peer == e.record.ID {
			l.entry = e
		}
	}
}

func (ls *links) detach(e *entry) {
	for _, l := range ls.list {
		if l.entry == e {
			l.entry = nil
		}
	}
}

// close asks the driver to close the link and forgets what it was good for.
func (ls *links) close(l *link, reason CloseReason, text string) {
	if l.state == linkClosing {
		return
	}
	ls.endNeighbour(l)
	switch reason {
	case CloseDuplicate:
		l.door = nil // another link leads there
	case CloseProtocol:
		ls.leaveDoor(l, "broke the protocol: "+text)
	default:
		ls.leaveDoor(l, text)
	}
	l.state, l.asked = linkClosing, false
	ls.wake(ls.now)
	ls.out.Closes = append(ls.out.Closes, Close{l.id, reason, text})
}

// send queues a frame on the link, behind the announcements that wait for it.
func (ls *links) send(l *link, content proto.Message) {
	ls.flushLink(l)
	ls.out.Frames = append(ls.out.Frames, Frame{Link: l.id, Data: encode(content)})
}

// link finds a link by its number.
func (ls *links) link(id LinkID) *link {
	i, ok := slices.BinarySearchFunc(ls.list, id, func(l *link, id LinkID) int { return int(l.id) - int(id) })
	if !ok {
		return nil
	}
	return ls.list[i]
}

// linkTo returns the newest link to the key that is up, nil if there is none.
func (ls *links) linkTo(key certs.PublicKey) *link {
	for _, l := range slices.Backward(ls.list) {
		if l.key == key && l.state == linkUp {
			return l
		}
	}
	return nil
}

func (ls *links) linksUp() int {
	n := 0
	for _, l := range ls.list {
		if l.state == linkUp {
			n++
		}
	}
	return n
}

// leaveDoor notes that a link to a door that has let us in is at its end.
func (ls *links) leaveDoor(l *link, did string) {
	if t := l.door; t != nil {
		l.door = nil
		ls.happen(doorLost{t, did})
	}
}

// checkHandshakes closes links whose handshake does not come.
func (ls *links) checkHandshakes() {
	for _, l := range ls.list {
		if l.state == linkOpening && ls.now >= l.opened+handshakeTimeout {
			level := Warn
			if l.dial != nil {
				level = Debug // its failure is told by whoever wanted it
			}
			ls.note(level, "handshake did not come", "address", l.address)
			ls.close(l, CloseTimeout, "handshake did not come in time")
		}
	}
}

// linkToID returns a usable link to the peer of that ID.
func (ls *links) linkToID(id certs.ID) *link {
	for _, l := range ls.list {
		if l.state == linkUp && l.peer == id {
			return l
		}
	}
	return nil
}

// flushAnnouncements turns what is pending into frames.
func (ls *links) flushAnnouncements() {
	for _, l := range ls.list {
		ls.flushLink(l)
	}
}

func (ls *links) flushLink(l *link) {
	for len(l.pending) > 0 {
		n := takeBatch(l.pending)
		ls.out.Frames = append(ls.out.Frames, Frame{Link: l.id, Data: ls.encodeBatch(l.pending[:n])})
		l.pending = l.pending[n:]
	}
	l.pending = nil
}

// encodeBatch encodes announcements, once for all links that are sent the same.
func (ls *links) encodeBatch(list []*pb.Announcement) []byte {
	if !slices.Equal(list, ls.encodedList) {
		ls.encodedList = slices.Clone(list)
		ls.encoded = encode(&pb.PropagationMessage{Announcements: list})
	}
	return ls.encoded
}

// neighbours counts the links over which announcements flow.
func (ls *links) neighbours() int {
	n := 0
	for _, l := range ls.list {
		if l.neighbour {
			n++
		}
	}
	return n
}

// degree counts the neighbours and those who may grant what we have asked for.
// A peer with two links counts once, one that depends on us not at all.
func (ls *links) degree() int {
	var keys []certs.PublicKey
	for _, l := range ls.list {
		if (l.neighbour || l.asked) && !l.dependant && !slices.Contains(keys, l.key) {
			keys = append(keys, l.key)
		}
	}
	return len(keys)
}

func (ls *links) dependants() int {
	n := 0
	for _, l := range ls.list {
		if l.neighbour && l.dependant {
			n++
		}
	}
	return n
}

// gained counts the neighbours that we have asked for.
func (ls *links) gained() int {
	n := 0
	for _, l := range ls.list {
		if l.neighbour && l.gained {
			n++
		}
	}
	return n
}

// endNeighbour closes the link to announcements.
func (ls *links) endNeighbour(l *link) {
	if l.neighbour {
		l.neighbour, l.dependant, l.leaning, l.gained = false, false, false, false
		ls.freeSlot(l.slot)
		l.slot = -1
		ls.changed = true
	}
}
