package delivery

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Gap is a range of positions that were passed over: behind From, and up to To. They
// are refused when they come late. There is one before each run of a sender: who starts
// anew sends what is left of earlier runs first, so what comes of them later is from a
// process that should not be there any more, or from a peer whose epochs went back. It
// is not shown, and must not pass for a repeat of something that was.
type Gap struct{ From, To Position }

// Bounds of what one sender can make us remember (guesses).
const (
	MaxGaps      = 64
	maxHeld      = 64      // parcels that wait for an earlier one
	maxHeldBytes = 2 << 20 // of these
	maxOwed      = 1024    // messages in parcels whose receipts wait for them to be shown
	messageCost  = 300     // about what a message takes beside its text
)

// Parcel is a letter of messages as it has come over others, opened.
type Parcel struct {
	Messages []*pb.Message // by position, at least one
	After    Position      // to be shown before
	// Answer is to whom the receipts go: the sender, or who has handed it over.
	Answer  certs.ID
	Deposit []byte // the deposit's ID where it was handed over; nil from the sender itself
	since   time.Duration
}

// PositionOf is a message's position.
func PositionOf(m *pb.Message) Position {
	return Position{m.GetEpoch(), counterOf(m.GetId())}
}

func (p *Parcel) last() Position { return PositionOf(p.Messages[len(p.Messages)-1]) }

// Size is about what it takes in memory.
func (p *Parcel) Size() (n int) {
	for _, m := range p.Messages {
		n += len(m.GetContent()) + messageCost
	}
	return n
}

// Inbox is what a receiver remembers of one sender. Its zero value is that of a
// sender who has not been heard of.
type Inbox struct {
	taken Position // the program has been given all up to here
	shown Position // it has shown them, and that is safe from a crash
	gaps  []Gap
	held  []*Parcel // they wait for a message before them
	owed  []*Parcel // their receipts wait for their messages to be safe
	bytes int       // of held
	owing int       // messages in owed
}

// NewInbox is that of a sender of whom so much had been shown when the last run ended.
func NewInbox(shown Position, gaps []Gap) Inbox {
	in := Inbox{shown: shown, gaps: gaps}
	in.settle(shown)
	return in
}

// Fresh says that a message has not been given to the program, and may be.
func (in *Inbox) Fresh(p Position) bool { return in.taken.Before(p) && !in.Refused(p) }

// Take notes that the program is given the message, and with it that everything
// before has been settled. A direct message is taken if it is fresh. True says that the
// gaps have changed and are to be stored.
func (in *Inbox) Take(p Position) (changed bool) {
	if changed = in.taken.Epoch < p.Epoch; changed {
		in.gaps = in.WithGap(Gap{in.taken, Position{Epoch: p.Epoch}})
	}
	in.settle(p)
	return changed
}

// Taken is how far the program has been given messages.
func (in *Inbox) Taken() Position { return in.taken }

// HeldBytes is what the parcels that wait take in memory.
func (in *Inbox) HeldBytes() int { return in.bytes }

// settle notes that everything up to p is settled, gaps that begin there included.
func (in *Inbox) settle(p Position) {
	in.taken = later(in.taken, p)
	for _, g := range in.gaps { // they rise
		if g.From.Compare(in.taken) <= 0 {
			in.taken = later(in.taken, g.To)
		}
	}
}

func later(p, q Position) Position {
	if p.Before(q) {
		return q
	}
	return p
}

// Settled says that a message has been shown, which is safe from a crash, or is
// refused: its receipt is due.
func (in *Inbox) Settled(p Position) bool { return p.Compare(in.shown) <= 0 || in.Refused(p) }

// Idle says that nothing waits.
func (in *Inbox) Idle() bool { return in.taken == in.shown && len(in.held)+len(in.owed) == 0 }

func (in *Inbox) settled(p *Parcel) bool {
	return !slices.ContainsFunc(p.Messages, func(m *pb.Message) bool { return !in.Settled(PositionOf(m)) })
}

// Shown is how far messages have been shown, safe from a crash.
func (in *Inbox) Shown() Position { return in.shown }

// Refused says that a message was passed over, or stands where none can.
func (in *Inbox) Refused(p Position) bool {
	return !p.possible() || slices.ContainsFunc(in.gaps, func(g Gap) bool { return g.From.Before(p) && p.Compare(g.To) <= 0 })
}

// Offer takes a parcel: true says that the messages in it that are fresh are to be
// taken now, in order, and then Owe is to be called. Otherwise it is kept until Next
// gives it, or, where too much waits or there is no room, forgotten; its sender repeats
// it.
func (in *Inbox) Offer(p *Parcel, now time.Duration, room bool) bool {
	if in.ready(p) {
		return true
	}
	if room && len(in.held) < maxHeld && in.bytes+p.Size() <= maxHeldBytes && !in.holds(p) {
		p.since = now
		in.held = append(in.held, p)
		in.bytes += p.Size()
	}
	return false
}

func (in *Inbox) ready(p *Parcel) bool {
	return p.After.Compare(in.taken) <= 0 || !in.taken.Before(p.last())
}

func (in *Inbox) holds(p *Parcel) bool {
	return slices.ContainsFunc(in.held, func(h *Parcel) bool {
		return h.last() == p.last() && len(h.Messages) == len(p.Messages) && h.Answer == p.Answer
	})
}

// Next gives a parcel that need wait no more, nil if there is none.
func (in *Inbox) Next() *Parcel {
	for i, p := range in.held {
		if in.ready(p) {
			in.held = slices.Delete(in.held, i, i+1)
			in.bytes -= p.Size()
			return p
		}
	}
	return nil
}

// Postpone has everything that waits wait anew: what it waits for is here, and only
// lacks room.
func (in *Inbox) Postpone(now time.Duration) {
	for _, p := range in.held {
		p.since = now
	}
}

// Overdue is the gap before the first parcel, if any has waited since before the given
// time; false if none has. It is to be stored (WithGap), and then passed over; until
// then nothing may be taken.
func (in *Inbox) Overdue(before time.Duration) (Gap, bool) {
	var first *Parcel
	overdue := false
	for _, p := range in.held {
		overdue = overdue || p.since < before
		if first == nil || p.After.Before(first.After) {
			first = p
		}
	}
	if !overdue || !in.taken.Before(first.After) {
		return Gap{}, false
	}
	return Gap{in.taken, first.After}, true
}

// PassOver gives up waiting for the messages of a gap that is stored: Next gives the
// parcel that waited for them.
func (in *Inbox) PassOver(g Gap) {
	in.gaps = in.WithGap(g)
	in.taken = g.To
}

// Gaps lists the gaps, for the disk.
func (in *Inbox) Gaps() []Gap { return slices.Clone(in.gaps) }

// WithGap is the list of gaps with another one.
func (in *Inbox) WithGap(g Gap) []Gap {
	list := append(slices.Clone(in.gaps), g)
	return list[max(0, len(list)-MaxGaps):]
}

// Owe notes that receipts are due for a parcel once its messages are safe; true says
// that they are, and that the receipts are due now.
func (in *Inbox) Owe(p *Parcel) bool {
	if in.settled(p) {
		return true
	}
	if in.owing+len(p.Messages) <= maxOwed && !slices.ContainsFunc(in.owed, func(o *Parcel) bool {
		return o.last() == p.last() && o.Answer == p.Answer && len(o.Messages) == len(p.Messages)
	}) {
		in.owed = append(in.owed, p)
		in.owing += len(p.Messages)
	}
	return false
}

// Show notes that all messages up to p have been shown and that this is safe from a
// crash, and returns the parcels whose receipts are due. It may come before Take; changed
// is as there.
func (in *Inbox) Show(p Position) (due []*Parcel, changed bool) {
	if !in.shown.Before(p) {
		return nil, false
	}
	changed = in.Take(p)
	in.shown = p
	in.owed = slices.DeleteFunc(in.owed, func(o *Parcel) bool {
		if in.settled(o) {
			due = append(due, o)
			in.owing -= len(o.Messages)
			return true
		}
		return false
	})
	return due, changed
}

// Receipts are the answers to a parcel whose messages are safe.
func (in *Inbox) Receipts(p *Parcel) []*pb.Receipt {
	list := make([]*pb.Receipt, len(p.Messages))
	for i, m := range p.Messages {
		list[i] = in.Receipt(m)
	}
	return list
}

// Why a message is refused: it was passed over, or stands where none can.
const (
	TooLate    = "a later message was shown before it came"
	Impossible = "the counter of a message is at least 1 and below 2^63"
)

// Receipt is the answer to a message that is not fresh.
func (in *Inbox) Receipt(m *pb.Message) *pb.Receipt {
	switch p := PositionOf(m); {
	case !p.possible():
		return &pb.Receipt{Id: m.GetId(), Code: pb.ReceiptCode_REJECTED, Reason: Impossible}
	case in.Refused(p):
		return &pb.Receipt{Id: m.GetId(), Code: pb.ReceiptCode_REJECTED, Reason: TooLate}
	}
	return &pb.Receipt{Id: m.GetId(), Code: pb.ReceiptCode_DELIVERED}
}
