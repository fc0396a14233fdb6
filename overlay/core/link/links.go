// Package link is the connections to other peers, how they came about, and how far the two ends
// have come over each: handshake, neighbourhood, comparison of tables, rate limits.
package link

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Bounds of the door.
const MaxLinks = 256 // beyond which newcomers are refused with FULL

// HandshakeTimeout is how long a connection may go without a handshake, a guess.
const HandshakeTimeout = 5 * time.Second // then the connection is closed

// Links are the connections to other peers, and the distance of every peer over each.
type Links struct {
	*base.Env
	table    *table.Table
	List     []*Link        // in the order of their numbers
	Changed  bool           // the neighbours differ from those last announced
	Stale    []*table.Entry // entries whose new distance the neighbours don't know
	offences offences

	encodedList []*pb.Announcement // the last that were encoded
	encoded     []byte
}

// NewLinks returns the connections of a peer with this table.
func NewLinks(en *base.Env, t *table.Table) *Links { return &Links{Env: en, table: t} }

// Violation ends a link whose peer has broken the protocol.
func (ls *Links) Violation(l *Link, why string) {
	if l == nil {
		return // it was routed to us, so the culprit is not known
	}
	ls.Counts.Violations++
	ls.Blame(l, base.Violation, "peer breaks the protocol", why)
	ls.Close(l, base.CloseProtocol, why)
}

// attach connects the links to a peer with its new entry; detach ends that.
func (ls *Links) attach(e *table.Entry) {
	for _, l := range ls.List {
		if l.State == LinkUp && l.Key == e.Record.Key && l.Peer == e.Record.ID {
			l.Entry = e
		}
	}
}

func (ls *Links) Detach(e *table.Entry) {
	for _, l := range ls.List {
		if l.Entry == e {
			l.Entry = nil
		}
	}
}

// Close asks the driver to close the link, and ends all that it was used for.
func (ls *Links) Close(l *Link, reason base.CloseReason, text string) {
	if l.State == LinkClosing {
		return
	}
	ls.EndNeighbour(l)
	switch reason {
	case base.CloseDuplicate:
		l.Door = nil // another link serves it
	case base.CloseProtocol:
		ls.LeaveDoor(l, "broke the protocol: "+text)
	default:
		ls.LeaveDoor(l, text)
	}
	l.State, l.Asked = LinkClosing, false
	ls.Wake(ls.Now)
	ls.Out.Closes = append(ls.Out.Closes, base.Close{Link: l.ID, Reason: reason, Text: text})
}

// Send queues a frame on the link, behind the announcements that wait for it.
func (ls *Links) Send(l *Link, content proto.Message) { ls.SendEncoded(l, base.Encode(content)) }

// SendEncoded is Send for frames that go over several links.
func (ls *Links) SendEncoded(l *Link, frames ...[]byte) {
	ls.FlushLink(l)
	for _, data := range frames {
		ls.Out.Frames = append(ls.Out.Frames, base.Frame{Link: l.ID, Data: data})
	}
}

// Link finds a link by its number. There are few, and looking at one after the other does not wait
// for the processor's cache as halving does.
func (ls *Links) Link(id base.LinkID) *Link {
	for _, l := range ls.List {
		if l.ID == id {
			return l
		}
	}
	return nil
}

// LinkTo returns the newest link to the key that is up, nil if there is none.
func (ls *Links) LinkTo(key certs.PublicKey) *Link {
	for _, l := range slices.Backward(ls.List) {
		if l.Key == key && l.State == LinkUp {
			return l
		}
	}
	return nil
}

func (ls *Links) LinksUp() int {
	n := 0
	for _, l := range ls.List {
		if l.State == LinkUp {
			n++
		}
	}
	return n
}

// LeaveDoor reports that the link to a door that has let us in has ended.
func (ls *Links) LeaveDoor(l *Link, did string) {
	if t := l.Door; t != nil {
		l.Door = nil
		ls.Happen(DoorLost{t, did})
	}
}

// CheckHandshakes closes links whose handshake takes too long.
func (ls *Links) CheckHandshakes() {
	for _, l := range ls.List {
		if l.State == LinkOpening && ls.Now >= l.Opened+HandshakeTimeout+l.Patience {
			level := base.Warn
			if l.Dial != nil {
				level = base.Debug // whoever asked for the dial reports the failure
			}
			ls.Note(level, "handshake did not come", "address", l.Address)
			ls.Close(l, base.CloseTimeout, "handshake did not come in time")
		}
	}
}

// CarriedTo returns the newest carried link to the key that is up, nil if there is none.
func (ls *Links) CarriedTo(key certs.PublicKey) *Link {
	for _, l := range slices.Backward(ls.List) {
		if l.Key == key && l.State == LinkCarried {
			return l
		}
	}
	return nil
}

// LinkToID returns a usable link to the peer of that ID.
func (ls *Links) LinkToID(id certs.ID) *Link {
	for _, l := range ls.List {
		if l.State == LinkUp && l.Peer == id {
			return l
		}
	}
	return nil
}

// NameOf is what the peer at the other end is called here.
func (ls *Links) NameOf(l *Link) certs.ID {
	if l.Entry == nil {
		return l.Peer
	}
	return ls.table.NameOf(l.Entry, ls.Now)
}

// FlushAnnouncements turns what is pending into frames.
func (ls *Links) FlushAnnouncements() {
	for _, l := range ls.List {
		ls.FlushLink(l)
	}
}

func (ls *Links) FlushLink(l *Link) {
	for len(l.Pending) > 0 {
		n := ls.encodeBatch(l.Pending)
		ls.Out.Frames = append(ls.Out.Frames, base.Frame{Link: l.ID, Data: ls.encoded})
		l.Pending = l.Pending[n:]
	}
	l.Pending = nil
}

// encodeBatch encodes the first of some announcements, as many as fit into a frame, and returns how
// many these are: once for all links that get the same.
func (ls *Links) encodeBatch(list []*pb.Announcement) (n int) {
	if !slices.Equal(list, ls.encodedList) {
		ls.encodedList = slices.Clone(list[:base.TakeBatch(list)])
		ls.encoded = base.Encode(&pb.PropagationMessage{Announcements: ls.encodedList})
	}
	return len(ls.encodedList)
}

// Neighbours counts the links over which announcements flow.
func (ls *Links) Neighbours() int {
	n := 0
	for _, l := range ls.List {
		if l.Neighbour {
			n++
		}
	}
	return n
}

// Degree counts the neighbours and the requests under way. A peer with two links counts once.
func (ls *Links) Degree() int {
	keys := make([]certs.PublicKey, 0, 2*table.MaxNeighbours)
	for _, l := range ls.List {
		if (l.Neighbour || l.Asked) && !slices.Contains(keys, l.Key) {
			keys = append(keys, l.Key)
		}
	}
	return len(keys)
}

// EndNeighbour ends the exchange of announcements over the link.
func (ls *Links) EndNeighbour(l *Link) {
	if l.Neighbour {
		l.Neighbour = false
		ls.freeSlot(l.Slot)
		l.Slot = -1
		ls.Changed = true
	}
}

// Via is the neighbour nearest to the peer; empty if there is a link to it or no known route.
func (ls *Links) Via(e *table.Entry) certs.ID {
	if ls.LinkTo(e.Record.Key) != nil {
		return ""
	}
	var best *Link
	for _, l := range ls.List {
		if l.Neighbour && l.Slot >= 0 && e.Hops[l.Slot] < table.NoWay && (best == nil || e.Hops[l.Slot] < e.Hops[best.Slot]) {
			best = l
		}
	}
	if best == nil {
		return ""
	}
	return best.Peer
}

// Distance is how far the peer is, in links.
func (ls *Links) Distance(e *table.Entry) uint8 {
	switch {
	case e == ls.table.Self:
		return 0
	case e.Buried():
		return table.NoWay
	}
	for _, l := range ls.List {
		if l.Entry == e && l.State == LinkUp {
			return 1
		}
	}
	best := uint8(table.NoWay)
	for _, h := range e.Hops {
		best = min(best, h+1)
	}
	return best
}

// SetHops stores how far a neighbour is from a peer: from another than itself one link at least, whatever
// it says.
func (ls *Links) SetHops(e *table.Entry, from *Link, hops uint32) {
	if from == nil || !from.Neighbour || from.Slot < 0 || e == ls.table.Self {
		return
	}
	if from.Key != e.Record.Key {
		hops = max(hops, 1)
	}
	old, h := e.Hops[from.Slot], uint8(min(hops, table.NoWay))
	if h == old {
		return
	}
	e.Hops[from.Slot] = h
	if min(old, h) < e.Told() || e.Told() == 1 { // else this neighbour neither was nor is the nearest
		ls.Reroute(e)
	}
}

// Reroute queues the entry for the neighbours if its distance has changed.
func (ls *Links) Reroute(e *table.Entry) {
	if !e.Stale() && e != ls.table.Self && !e.Buried() && ls.Distance(e) != e.Told() && !e.IsGuest() {
		e.SetStale()
		ls.Stale = append(ls.Stale, e)
	}
}

// unroute forgets the routes to a peer that is gone.
func (ls *Links) unroute(e *table.Entry) { e.ForgetRoutes() }

// TakeSlot gives a new neighbour a place in the distance vectors, or -1 if there is none: one
// above the usual number leads nowhere.
func (ls *Links) TakeSlot() int {
	var taken [table.MaxNeighbours]bool
	for _, l := range ls.List {
		if l.Neighbour && l.Slot >= 0 {
			taken[l.Slot] = true
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
func (ls *Links) freeSlot(slot int) {
	if slot < 0 {
		return
	}
	for _, e := range ls.table.Entries {
		if e.Hops[slot] != table.NoWay {
			e.Hops[slot] = table.NoWay
			ls.Reroute(e)
		}
	}
}

// ToldBy is the neighbour that an event names: the nearest one; or, for a newcomer that has the
// table of a door that is not its neighbour yet, that door.
func (ls *Links) ToldBy(e *table.Entry) certs.ID {
	via := ls.Via(e)
	for _, l := range ls.List {
		if via == "" && l.State == LinkUp && !l.Quiet && ls.LinkTo(e.Record.Key) == nil {
			via = l.Peer
		}
	}
	return via
}

// Skip drops an announcement or a broadcast that can't be read: a newer peer has made it, which
// need not be the one that sent it to us. It returns false if the link is closed for it, since
// more came than a network brings together (guesses).
func (ls *Links) Skip(l *Link, why error) bool {
	if l == nil {
		return true
	}
	if !l.Foreign.unread.Take(ls.Now, unreadBurst, unreadEvery) {
		ls.Violation(l, "too much that can't be read")
		return false
	}
	if !l.Foreign.noted {
		l.Foreign.noted = true
		ls.Note(base.Debug, "something that can't be read is dropped, as will be all that follows", "peer", string(l.Peer), "address", l.Address, "why", why)
	}
	return true
}

// Blame logs a fault of the peer of a link, and counts it.
func (ls *Links) Blame(l *Link, kind base.Kind, text, why string) {
	many, again := ls.offences.note(l.Key, why, ls.Now)
	level := base.Warn
	if again {
		level = base.Debug
	}
	ls.Tell(level, kind, text, "peer", string(l.Peer), "address", l.Address, "key", l.Key.String(), "why", why)
	if e := ls.table.Get(l.Peer, l.Key); e != nil {
		e.With().NextDial = ls.Now + ls.Backoff(many, base.MaxBackoff)
	}
}

// Told gives the links the new entry of their peer, and forgets the routes to a peer that is
// gone.
func (ls *Links) Told(ch Change) {
	e := ch.Entry
	switch {
	case ch.Old == nil:
		ls.attach(e)
	case e.Buried():
		ls.unroute(e)
	}
	if ch.From != nil {
		ls.SetHops(e, ch.From, ch.News.Hops)
	}
	ls.Reroute(e)
}

// DoorLost: the link to a door that has let us in has ended.
type DoorLost struct {
	Door *Target
	Did  string // the door, for people
}
