package messaging

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// How events of the history are read.

// sentID is the ID in a Sent as it is stored, read without the rest; false: it is another event.
func sentID(data []byte) (id MessageID, ok bool) {
	for len(data) > 0 {
		field, _, n := protowire.ConsumeField(data)
		if n < 0 {
			return id, false
		}
		switch field { // whose tags are a byte each
		case kindField:
			if kind, _ := protowire.ConsumeVarint(data[1:]); kind != uint64(pb.StoredEventKind_SENT) {
				return id, false
			}
		case idField:
			b, _ := protowire.ConsumeBytes(data[1:])
			return id, len(b) == len(id) && copy(id[:], b) > 0
		}
		data = data[n:]
	}
	return id, false
}

// withPos is an event at its position.
func withPos(event Event, pos uint64) Event {
	switch e := event.(type) {
	case Message:
		e.Pos, e.signed = pos, nil // which only the history needs
		return e
	case Sent:
		e.Pos, e.signed = pos, nil
		return e
	case Delivered:
		e.Pos = pos
		return e
	case Buffered:
		e.Pos = pos
		return e
	case Failed:
		e.Pos = pos
		return e
	}
	return event
}

// recorded is an event that was read from the history.
type recorded struct {
	Past
	stored *pb.StoredEvent
}

// decodeEntry reads what a recording has written. self is this peer.
func decodeEntry(e store.Entry, self certs.ID) (r recorded, err error) {
	s := new(pb.StoredEvent)
	if err := proto.Unmarshal(e.Data, s); err != nil {
		return r, damaged("event", err)
	}
	if len(s.GetId()) != len(MessageID{}) {
		return r, damaged("event", fmt.Errorf("a message ID of %d bytes", len(s.GetId())))
	}
	id, to, ref := MessageID(s.GetId()), certs.ID(s.GetTo()), string(s.GetRef())
	r.At, r.stored = time.Unix(0, s.GetAt()), s
	if s.GetBroadcast() != nil {
		c, err := pb.ParseBroadcast(s.GetBroadcast())
		if err != nil {
			return r, damaged("event", err)
		}
		s.Body, s.SentAt = []byte(c.GetContent()), c.GetSentAt()
		s.MessageKind, s.About, s.ReplyTo = c.GetKind(), c.GetAbout(), c.GetReplyTo()
	}
	kind, about := Reference(storedReference{s})
	var replyTo MessageID
	copy(replyTo[:], s.GetReplyTo())
	path := PathDirect
	if s.GetRelayed() {
		path = PathRelayed
	}
	switch s.GetKind() {
	case pb.StoredEventKind_RECEIVED:
		key := e.Author
		if len(s.GetKey()) == len(key) {
			key = certs.PublicKey(s.GetKey())
		} else if len(s.GetKey()) > 0 || to != "" {
			return r, damaged("event", fmt.Errorf("a key of %d bytes", len(s.GetKey())))
		}
		m := Message{
			ID: id, From: certs.ID(s.GetFrom()), Key: key, NewKey: s.GetNewKey(), To: to, Body: string(s.GetBody()),
			SentAt: time.Unix(0, s.GetSentAt()), Path: path, Before: s.GetBefore(), Pos: e.Pos,
			Unproved: s.GetUnproved(), Binary: s.GetBinary(), WantsReply: s.GetWantsReply(),
			ReplyTo: replyTo, Kind: kind, About: about,
		}
		if to == "" {
			m.To = self
		}
		r.Event = m
	case pb.StoredEventKind_SENT:
		r.Event = Sent{
			Message: id, To: to, Ref: ref, Pos: e.Pos, Body: string(s.GetBody()), Binary: s.GetBinary(), SentAt: time.Unix(0, s.GetSentAt()),
			ReplyTo: replyTo, Kind: kind, About: about,
		}
	case pb.StoredEventKind_RECEIPT_CAME:
		r.Event = Delivered{Message: id, To: to, Ref: ref, Path: path, RTT: time.Duration(s.GetRtt()), Pos: e.Pos}
	case pb.StoredEventKind_WAITS:
		r.Event = Buffered{Message: id, To: to, Ref: ref, Reason: s.GetReason(), Pos: e.Pos}
	case pb.StoredEventKind_FAILED:
		r.Event = Failed{Message: id, To: to, Ref: ref, Error: s.GetReason(), Pos: e.Pos}
	default:
		return r, damaged("event", fmt.Errorf("of an unknown kind %d", s.GetKind()))
	}
	return r, nil
}

// storedReference is a StoredEvent, whose own kind is another.
type storedReference struct{ *pb.StoredEvent }

func (s storedReference) GetKind() pb.MessageKind { return s.GetMessageKind() }

// outgoing is the message of ours that an event of the history is about, as far as the store's key of
// it goes.
func (r recorded) outgoing() *delivery.Outgoing {
	id := r.stored.GetId()
	return &delivery.Outgoing{
		ID: MessageID(id), Position: delivery.PositionOf(&pb.Message{Id: id, Epoch: r.stored.GetEpoch()}), Cancelled: r.stored.GetCancelled(),
	}
}

// unsaid knows from where on the history may lack that messages of ours were sent: they are on the disk,
// and the event Sent has not been written yet, or is not safe. The next Open looks there.
type unsaid struct {
	mu     sync.Mutex
	loaded bool // those of earlier runs are known
	list   map[MessageID]saidAt
	purge  int // at so many those that are safe are looked for
}

// saidAt is where a Sent may be.
type saidAt struct {
	from uint64
	pos  uint64 // where it is; 0: it has not been written
}

// purgeAbove is how many may be there before they are looked through.
const purgeAbove = 4096

func (u *unsaid) expect(id MessageID, from uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.list == nil {
		u.list = make(map[MessageID]saidAt)
	}
	u.list[id] = saidAt{from: from}
}

// of is from where on one may be lacking; 0: the history has that it was sent, or is not kept.
func (u *unsaid) of(id MessageID) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.list[id].from
}

// load says that those of earlier runs are known.
func (u *unsaid) load() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loaded = true
}

// written notes where the Sent of one was written, when all up to a position is safe.
func (u *unsaid) written(id MessageID, pos, safe uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, ok := u.list[id]; ok {
		u.list[id] = saidAt{at.from, pos}
	}
	if len(u.list) > u.purge+purgeAbove {
		u.drop(safe)
		u.purge = len(u.list)
	}
}

// drop forgets those that are safe. u.mu is held.
func (u *unsaid) drop(safe uint64) {
	maps.DeleteFunc(u.list, func(_ MessageID, at saidAt) bool { return at.pos != 0 && at.pos <= safe })
}

// floor is the lowest of these positions, when all up to one is safe; 0: there are none. Until they are known it
// may be any.
func (u *unsaid) floor(safe uint64) (lowest uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.loaded {
		return 1
	}
	u.drop(safe)
	for _, at := range u.list {
		if lowest == 0 || at.from < lowest {
			lowest = at.from
		}
	}
	return lowest
}

// said is the message that an event of the history begins; false: it is about an earlier one.
func (r recorded) said(self certs.ID, key certs.PublicKey) (s Said, ok bool) {
	switch e := r.Event.(type) {
	case Message:
		return e.Said(), true
	case Sent:
		return e.Said(self, key), true
	}
	return s, false
}

// selects says that a query is about a message.
func (q Query) selects(s *Said, at time.Time, self certs.ID) bool {
	switch {
	case q.Before != 0 && s.Pos >= q.Before, at.Before(q.Since):
		return false
	case q.With != "" && s.To != q.With && (s.From != q.With || s.To != self):
		return false
	}
	return q.Search == "" || strings.Contains(strings.ToLower(s.Body), q.Search)
}
