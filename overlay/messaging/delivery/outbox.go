package delivery

import (
	"slices"
	"time"

	"quicpeer/pb"
)

// Outgoing is a message that has no receipt yet.
type Outgoing struct {
	Position
	Nonce  uint64 // of the run that accepted it
	ID     [16]byte
	Body   string
	Binary bool // the body is data, not text
	Ref    string
	// ReplyTo is the message that it replies to; zero: none. WantsReply says that its sender waits for
	// a reply.
	ReplyTo    [16]byte
	WantsReply bool
	Kind       pb.MessageKind
	About      [16]byte      // the message that it is about; zero: its kind has none
	SentAt     time.Time     // by the wall clock, for the receiver
	Taken      time.Duration // when it was accepted; negative for one of an earlier run
	// Stored says that it is as safe from a crash as it gets.
	Stored bool
	// Waits is the reason for waiting that the program gets, or has got; empty if it has none.
	Waits string
	// Cancelled says that it was withdrawn: it must be taken out as soon as that is safe from
	// a crash.
	Cancelled bool
	// WasLeft says that it was left with others in this run, now or before.
	WasLeft bool
	// Receipt is a receipt that has come before the message was stored.
	Receipt *Receipt
}

// Receipt is the receiver's answer to a message.
type Receipt struct {
	Refused bool
	Reason  string // of the refusal
	Final   bool   // it is not a receipt: the message will never be taken
	Relayed bool   // it came over others
}

// Restore gives the message what it has beside a text, as it was stored.
func (m *Outgoing) Restore(from *pb.Message) {
	m.Body, m.Binary = BodyOf(from)
	m.WantsReply = from.GetWantsReply()
	m.Kind, m.About = pb.Reference(from)
	copy(m.ReplyTo[:], from.GetReplyTo()) // all of it, or there is none
}

func (m *Outgoing) size() int { return len(m.Body) + len(m.Ref) }

// Limits bound how much is taken out of an outbox at once.
type Limits struct {
	Messages    int // of one batch
	Bytes       int // of one batch, unless it is one message
	FlightBytes int // on their way, this batch included, unless it is one message
	Flight      int // messages on their way, this batch included
}

// Lane is a way for messages to travel. On each lane they go in order, and each lane is at its
// own message.
type Lane int

// The lanes.
const (
	Direct  Lane = iota // over a connection to the receiver
	Relayed             // over other peers
	Left                // left with others, for when it comes
	lanes
)

// Outbox holds the unsettled messages to one receiver, by position. Its zero value is empty.
type Outbox struct {
	queue  []*Outgoing
	flight [lanes]int // so many of the first are on this lane
	flown  [lanes]int // bytes of their bodies
	bytes  int        // of all
}

// Len is how many messages are not settled.
func (o *Outbox) Len() int { return len(o.queue) }

// Bytes is the size of their bodies and refs.
func (o *Outbox) Bytes() int { return o.bytes }

// Flying is how many are on a lane.
func (o *Outbox) Flying(w Lane) int { return o.flight[w] }

// FlyingBytes is the size of their bodies.
func (o *Outbox) FlyingBytes(w Lane) int { return o.flown[w] }

// Next is the next message on a lane, nil if there are none.
func (o *Outbox) Next(w Lane) *Outgoing {
	if o.flight[w] == len(o.queue) {
		return nil
	}
	return o.queue[o.flight[w]]
}

// Oldest is the first message, nil if there are none.
func (o *Outbox) Oldest() *Outgoing {
	if len(o.queue) == 0 {
		return nil
	}
	return o.queue[0]
}

// At is the message at a position, nil if there is none.
func (o *Outbox) At(p Position) *Outgoing {
	if i, found := o.find(p); found {
		return o.queue[i]
	}
	return nil
}

// All lists the messages in order. The caller must not change the list.
func (o *Outbox) All() []*Outgoing { return o.queue }

// Add puts a message behind all others. Its position must be the greatest.
func (o *Outbox) Add(m *Outgoing) {
	o.queue = append(o.queue, m)
	o.bytes += m.size()
}

// Fits says whether Take would give anything.
func (o *Outbox) Fits(w Lane, l Limits) bool {
	m := o.Next(w)
	return m != nil && (o.flight[w] == 0 || o.flight[w] < l.Flight && o.flown[w]+len(m.Body) <= l.FlightBytes)
}

// Take sends the next messages on a lane, and returns them with the position of the
// unsettled message before them.
func (o *Outbox) Take(w Lane, l Limits) (batch []*Outgoing, after Position) {
	if !o.Fits(w, l) {
		return nil, Position{}
	}
	first, n, size := o.flight[w], 0, 0
	for _, m := range o.queue[first:] {
		more := size + len(m.Body)
		if n > 0 && (n >= l.Messages || first+n >= l.Flight || more > l.Bytes || o.flown[w]+more > l.FlightBytes) {
			break
		}
		size = more
		n++
	}
	if first > 0 {
		after = o.queue[first-1].Position
	}
	o.flight[w] += n
	o.flown[w] += size
	return slices.Clone(o.queue[first : first+n]), after
}

// Untake takes back the last message that Take has given.
func (o *Outbox) Untake(w Lane, rest []*Outgoing) {
	o.flight[w] -= len(rest)
	for _, m := range rest {
		o.flown[w] -= len(m.Body)
	}
}

// Rewind ends the use of a lane for now: its messages go again.
func (o *Outbox) Rewind(w Lane) { o.flight[w], o.flown[w] = 0, 0 }

// Settle takes a message out that has its receipt; nil if there is none at that
// position, as for a second receipt.
func (o *Outbox) Settle(p Position) *Outgoing {
	i, found := o.find(p)
	if !found {
		return nil
	}
	m := o.queue[i]
	for w := range lanes {
		if i < o.flight[w] {
			o.flight[w]--
			o.flown[w] -= len(m.Body)
		}
	}
	o.bytes -= m.size()
	if i == 0 {
		o.queue[0] = nil // the slice goes on to hold its beginning
		o.queue = o.queue[1:]
	} else {
		o.queue = slices.Delete(o.queue, i, i+1)
	}
	return m
}

// Expire takes out the messages accepted before the given time, except those being written to
// a connection.
func (o *Outbox) Expire(before time.Duration) []*Outgoing {
	var list []*Outgoing
	for o.flight[Direct] == 0 && len(o.queue) > 0 && o.queue[0].Taken < before {
		list = append(list, o.Settle(o.queue[0].Position))
	}
	return list
}

// PositionOf finds the message of that ID: it knows the counter, and looks at each run.
func (o *Outbox) PositionOf(id [16]byte) (Position, bool) {
	counter := counterOf(id[:])
	for i := 0; i < len(o.queue); {
		epoch := o.queue[i].Epoch
		if j, found := o.find(Position{epoch, counter}); found && o.queue[j].ID == id {
			return o.queue[j].Position, true
		}
		i, _ = slices.BinarySearchFunc(o.queue, epoch, func(m *Outgoing, epoch uint64) int {
			if m.Epoch <= epoch {
				return -1
			}
			return 1
		})
	}
	return Position{}, false
}

// find returns where the position is, or would be. Receipts come in order, so it
// looks at the first one first.
func (o *Outbox) find(p Position) (int, bool) {
	if len(o.queue) > 0 && o.queue[0].Position == p {
		return 0, true
	}
	return slices.BinarySearchFunc(o.queue, p, func(m *Outgoing, p Position) int { return m.Compare(p) })
}
