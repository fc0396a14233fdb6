package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// Bounds of the door.
const maxLinks = 256 // beyond which newcomers are refused with FULL

// handshakeTimeout is how long a connection may go without a handshake, a guess.
const handshakeTimeout = 5 * time.Second // then the connection is closed

// links are the connections to other peers, and the distance of every peer over each.
type links struct {
	*env
	table    *table
	list     []*link  // in the order of their numbers
	changed  bool     // the neighbours differ from those last announced
	stale    []*entry // entries whose new distance the neighbours don't know
	offences offences

	encodedList []*pb.Announcement // the last that were encoded
	encoded     []byte
}

// violation ends a link whose peer has broken the protocol.
func (ls *links) violation(l *link, why string) {
	if l == nil {
		return // it was routed to us, so the culprit is not known
	}
	ls.blame(l, Violation, "peer breaks the protocol", why)
	ls.close(l, CloseProtocol, why)
}

// attach connects the links to a peer with its new entry; detach ends that.
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

// close asks the driver to close the link, and ends all that it was used for.
func (ls *links) close(l *link, reason CloseReason, text string) {
	if l.state == linkClosing {
		return
	}
	ls.endNeighbour(l)
	switch reason {
	case CloseDuplicate:
		l.door = nil // another link serves it
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

// leaveDoor reports that the link to a door that has let us in has ended.
func (ls *links) leaveDoor(l *link, did string) {
	if t := l.door; t != nil {
		l.door = nil
		ls.happen(doorLost{t, did})
	}
}

// checkHandshakes closes links whose handshake takes too long.
func (ls *links) checkHandshakes() {
	for _, l := range ls.list {
		if l.state == linkOpening && ls.now >= l.opened+handshakeTimeout {
			level := Warn
			if l.dial != nil {
				level = Debug // whoever asked for the dial reports the failure
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

// encodeBatch encodes announcements, once for all links that get the same.
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

// degree counts the neighbours and the requests under way. A peer with two links counts once.
func (ls *links) degree() int {
	var keys []certs.PublicKey
	for _, l := range ls.list {
		if (l.neighbour || l.asked) && !slices.Contains(keys, l.key) {
			keys = append(keys, l.key)
		}
	}
	return len(keys)
}

// endNeighbour ends the exchange of announcements over the link.
func (ls *links) endNeighbour(l *link) {
	if l.neighbour {
		l.neighbour = false
		ls.freeSlot(l.slot)
		l.slot = -1
		ls.changed = true
	}
}

// via is the neighbour nearest to the peer; empty if there is a link to it or no known route.
func (ls *links) via(e *entry) certs.ID {
	if ls.linkTo(e.record.Key) != nil {
		return ""
	}
	var best *link
	for _, l := range ls.list {
		if l.neighbour && l.slot >= 0 && e.hops[l.slot] < noWay && (best == nil || e.hops[l.slot] < e.hops[best.slot]) {
			best = l
		}
	}
	if best == nil {
		return ""
	}
	return best.peer
}

// distance is how far the peer is, in links.
func (ls *links) distance(e *entry) uint8 {
	switch {
	case e == ls.table.self:
		return 0
	case e.buried():
		return noWay
	}
	for _, l := range ls.list {
		if l.entry == e && l.state == linkUp {
			return 1
		}
	}
	best := uint8(noWay)
	for _, h := range e.hops {
		best = min(best, h+1)
	}
	return best
}

// setHops stores how far a neighbour is from a peer.
func (ls *links) setHops(e *entry, from *link, hops uint32) {
	if from == nil || !from.neighbour || from.slot < 0 || e == ls.table.self {
		return
	}
	if h := uint8(min(hops, noWay)); e.hops[from.slot] != h {
		e.hops[from.slot] = h
		ls.reroute(e)
	}
}

// reroute queues the entry for the neighbours if its distance has changed.
func (ls *links) reroute(e *entry) {
	if !e.stale && e != ls.table.self && !e.isGuest() && !e.buried() && ls.distance(e) != e.told {
		e.stale = true
		ls.stale = append(ls.stale, e)
	}
}

// unroute forgets the routes to a peer that is gone.
func (ls *links) unroute(e *entry) { e.forgetRoutes() }

// takeSlot gives a new neighbour a place in the distance vectors, or -1 if there is none: one
// above the usual number leads nowhere.
func (ls *links) takeSlot() int {
	var taken [MaxNeighbours]bool
	for _, l := range ls.list {
		if l.neighbour && l.slot >= 0 {
			taken[l.slot] = true
		}
	}
	for i, t := range taken {
		if !t {
			return i
		}
	}
	return -1
}

// freeSlot forgets the distances of a former neighbour.
func (ls *links) freeSlot(slot int) {
	if slot < 0 {
		return
	}
	for _, e := range ls.table.entries {
		if e.hops[slot] != noWay {
			e.hops[slot] = noWay
			ls.reroute(e)
		}
	}
}

// toldBy is the neighbour that an event names: the nearest one; or, for a newcomer that has the
// table of a door that is not its neighbour yet, that door.
func (ls *links) toldBy(e *entry) certs.ID {
	via := ls.via(e)
	for _, l := range ls.list {
		if via == "" && l.state == linkUp && !l.quiet && ls.linkTo(e.record.Key) == nil {
			via = l.peer
		}
	}
	return via
}

// skip drops an announcement or a broadcast that can't be read: a newer peer has made it, which
// need not be the one that sent it to us. It returns false if the link is closed for it, since
// more came than a network brings together (guesses).
func (ls *links) skip(l *link, why error) bool {
	if l == nil {
		return true
	}
	if !l.foreign.unread.take(ls.now, unreadBurst, unreadEvery) {
		ls.violation(l, "too much that can't be read")
		return false
	}
	if !l.foreign.noted {
		l.foreign.noted = true
		ls.note(Debug, "something that can't be read is dropped, as will be all that follows", "peer", string(l.peer), "address", l.address, "why", why)
	}
	return true
}

// blame logs a fault of the peer of a link, and counts it.
func (ls *links) blame(l *link, kind Kind, text, why string) {
	many, again := ls.offences.note(l.key, why, ls.now)
	level := Warn
	if again {
		level = Debug
	}
	ls.tell(level, kind, text, "peer", string(l.peer), "address", l.address, "key", l.key.String(), "why", why)
	if e := ls.table.get(l.peer, l.key); e != nil {
		e.with().nextDial = ls.now + ls.backoff(many, maxBackoff)
	}
}

// told gives the links the new entry of their peer, and forgets the routes to a peer that is
// gone.
func (ls *links) told(ch change) {
	e := ch.entry
	switch {
	case ch.old == nil:
		ls.attach(e)
	case e.buried():
		ls.unroute(e)
	}
	if ch.from != nil {
		ls.setHops(e, ch.from, ch.news.hops)
	}
	ls.reroute(e)
}

// doorLost: the link to a door that has let us in has ended.
type doorLost struct {
	door *target
	did  string // the door, for people
}
