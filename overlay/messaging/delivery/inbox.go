package delivery

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Gap is a range of positions of which nothing was shown: after From, and up to To. They were
// passed over, and messages there are refused when they come late; or those that came were
// refused, as their sender was ignored, and are refused for that reason when they come again.
type Gap struct {
	From, To Position
	Ignored  bool
}

// Run says how far the messages of one run of a sender have come. The nonce tells two runs of
// one epoch apart, which exist when a sender's state was restored from a backup.
type Run struct {
	Position
	Nonce uint64
}

// Stamp is the memory of a message: its position, its run, and a hash of its content and time,
// 0 if that is not known.
type Stamp struct {
	Run
	Hash uint32
}

// StampOf is a message's stamp.
func StampOf(m *pb.Message) Stamp {
	h := uint32(2166136261) // FNV-1a
	for i := range 64 / 8 {
		h = (h ^ uint32(uint8(m.GetSentAt()>>(8*i)))) * 16777619
	}
	for i := range len(m.GetContent()) {
		h = (h ^ uint32(m.GetContent()[i])) * 16777619
	}
	for _, b := range m.GetData() {
		h = (h ^ uint32(b)) * 16777619
	}
	return Stamp{Run{PositionOf(m), m.GetNonce()}, max(h, 1)}
}

// lately is a message of the present run that was taken lately.
type lately struct {
	counter uint64
	hash    uint32
}

// Bounds of the memory that one sender can take (guesses).
const (
	MaxGaps      = 64 // in a mark
	MaxRuns      = 64
	maxLately    = 32
	maxHeld      = 64      // parcels that wait for an earlier message
	maxHeldBytes = 2 << 20 // of these
	maxOwed      = 1024    // messages in parcels whose receipts wait for them to be shown
	messageCost  = 300     // about what a message takes beside its text
)

// Parcel is a letter of messages as it has come over others, opened.
type Parcel struct {
	Messages []*pb.Message // by position, at least one
	After    Position      // to be shown before
	// Answer is the peer that gets the receipts: the sender, or the holder that has handed it
	// over.
	Answer  certs.ID
	Deposit []byte // the deposit's ID where it was handed over; nil from the sender itself
	Over    uint64 // the connection over which it has come, for the owner of the engine
	since   time.Duration
	refused []string // for each message why, where it is refused; nil: none is
}

// PositionOf is a message's position.
func PositionOf(m *pb.Message) Position {
	return Position{m.GetEpoch(), counterOf(m.GetId())}
}

func (p *Parcel) last() Run {
	m := p.Messages[len(p.Messages)-1]
	return Run{PositionOf(m), m.GetNonce()}
}

// Refuse notes why the message at a place in the parcel is refused, if it is.
func (p *Parcel) Refuse(i int, why string) {
	if why == "" {
		return
	}
	if p.refused == nil {
		p.refused = make([]string, len(p.Messages))
	}
	p.refused[i] = why
}

func (p *Parcel) refusal(i int) string {
	if p.refused == nil {
		return ""
	}
	return p.refused[i]
}

// Size is about what it takes in memory.
func (p *Parcel) Size() (n int) {
	for _, m := range p.Messages {
		n += SizeOf(m) + messageCost
	}
	return n
}

// Inbox is a receiver's memory of one sender. Its zero value is that of a sender who has not
// been heard of.
type Inbox struct {
	taken Position // the program has been given all up to here
	shown Position // it has shown them, and that is safe from a crash
	// kept is up to where the gaps of an ignored sender are safe from a crash.
	kept Position
	// runs says how far each run was taken, in the order in which they began. The last is the
	// present one; of earlier ones no message is taken any more. A sender first sends the
	// messages left over from earlier runs, so one that comes later is from a process that
	// should be gone. It is not shown, and must not pass for a repeat of a message that was.
	runs   []Run
	lately []lately // the last of the present run
	gaps   []Gap
	held   []*Parcel // they wait for a message before them
	owed   []*Parcel // their receipts wait for their messages to be safe
	bytes  int       // of held
	owing  int       // messages in owed
}

// NewInbox makes the inbox of a sender that was shown this far when the last run ended.
func NewInbox(m Mark) Inbox {
	in := Inbox{runs: slices.Clone(m.Runs), gaps: slices.Clone(m.Gaps), shown: m.Position()}
	if len(m.Runs) > 0 && m.Hash != 0 {
		in.lately = []lately{{in.shown.Counter, m.Hash}}
	}
	in.settle(in.shown)
	in.kept = in.ignoredTo()
	in.showGaps()
	return in
}

// The reasons for refusing a message, for its sender.
const (
	// TooLate: the message was passed over, or is of a run that was over.
	TooLate = "a later message was shown before it came"
	// Impossible: the message has a position that none can have.
	Impossible = "the counter of a message is at least 1 and below 2^63"
	// Ignored: the receiver ignores the sender.
	Ignored = "does not take messages from you"
	// Reused: the position was another message's.
	Reused = "another message was shown under its number, as happens when the sender's state was put back from a backup; send it again"
)

// Judge decides about a message: it is fresh and is to be taken, or is refused for a reason,
// or else is a repeat of one that was taken. A message counts as a repeat only if nothing
// shows that it differs.
func (in *Inbox) Judge(s Stamp) (fresh bool, refused string) {
	if !s.possible() {
		return false, Impossible
	}
	for _, g := range in.gaps {
		switch within := g.From.Before(s.Position) && s.Position.Compare(g.To) <= 0; {
		case within && g.Ignored:
			return false, Ignored
		case within:
			return false, TooLate
		}
	}
	i := slices.IndexFunc(in.runs, func(r Run) bool { return r.Epoch == s.Epoch && r.Nonce == s.Nonce })
	over := i >= 0 && i < len(in.runs)-1
	switch {
	case in.taken.Before(s.Position) && !over:
		return true, ""
	case i < 0 || in.runs[i].Before(s.Position) || i > 0 && s.Position.Compare(in.runs[i-1].Position) <= 0:
		if slices.ContainsFunc(in.runs, func(r Run) bool { return r.Epoch == s.Epoch && r.Nonce != s.Nonce }) {
			return false, Reused
		}
		return false, TooLate
	case over:
		return false, ""
	}
	return false, in.judgeLately(s)
}

// judgeLately is Judge for one that would be a repeat of the present run.
func (in *Inbox) judgeLately(s Stamp) (refused string) {
	i, found := slices.BinarySearchFunc(in.lately, s.Counter, func(l lately, c uint64) int { return cmp.Compare(l.counter, c) })
	switch {
	case found && in.lately[i].hash != s.Hash:
		return Reused
	case !found && i > 0:
		return TooLate // a message behind it came before it
	}
	return ""
}

// Take notes that the program gets a message, and that with it all earlier ones are settled. A
// direct message is taken if it is fresh.
func (in *Inbox) Take(s Stamp) {
	if !in.taken.Before(s.Position) {
		return
	}
	if n := len(in.runs); n > 0 && in.runs[n-1].Epoch == s.Epoch && in.runs[n-1].Nonce == s.Nonce {
		in.runs[n-1] = s.Run
	} else {
		in.runs = append(in.runs, s.Run)
		in.runs = slices.Delete(in.runs, 0, max(0, len(in.runs)-MaxRuns))
		in.lately = nil
	}
	in.lately = append(in.lately, lately{s.Counter, s.Hash})
	in.lately = slices.Delete(in.lately, 0, max(0, len(in.lately)-maxLately))
	in.settle(s.Position)
}

// Taken is the position up to which the program has had messages.
func (in *Inbox) Taken() Position { return in.taken }

// HeldBytes is the memory of the waiting parcels.
func (in *Inbox) HeldBytes() int { return in.bytes }

// settle notes that all messages up to p are settled, including gaps that begin there.
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

// Ignore notes that a fresh message is refused, as its sender is ignored, and that with it all
// earlier ones are settled. The caller must store the gap (ToKeep) before a later message is
// taken; until then its receipt is not due.
func (in *Inbox) Ignore(p Position) {
	if n := len(in.gaps); n > 0 && in.gaps[n-1].Ignored && in.gaps[n-1].To == in.taken {
		in.gaps[n-1].To = p
	} else {
		in.gaps = in.WithGap(Gap{in.taken, p, true})
	}
	in.taken = p
}

// ignoredTo is the end of the last gap of an ignored sender.
func (in *Inbox) ignoredTo() (p Position) {
	for _, g := range in.gaps { // they rise
		if g.Ignored {
			p = g.To
		}
	}
	return p
}

// ToKeep returns the gaps to be stored, and up to where those of an ignored sender are safe
// then; false says that they are already.
func (in *Inbox) ToKeep() (gaps []Gap, upTo Position, ok bool) {
	upTo = in.ignoredTo()
	return slices.Clone(in.gaps), upTo, in.kept.Before(upTo)
}

// Keep notes that the gaps of an ignored sender are stored up to a position, and returns the
// parcels whose receipts are due.
func (in *Inbox) Keep(upTo Position) (due []*Parcel) {
	in.kept = later(in.kept, upTo)
	in.showGaps()
	return in.due()
}

// showGaps counts gaps right behind what was shown as shown, as far as they are stored.
func (in *Inbox) showGaps() {
	for _, g := range in.gaps {
		switch {
		case in.shown.Before(g.From):
			return
		case g.Ignored && in.kept.Before(g.To):
			in.shown = later(in.shown, in.kept)
		default:
			in.shown = later(in.shown, g.To)
		}
	}
}

// Due says that the receipt of a message is due. One that was taken, or is a repeat, has been
// shown, and that is safe from a crash; so is that it was refused because its sender is ignored.
// Other refusals follow from what is known already.
func (in *Inbox) Due(p Position, refused string) bool {
	switch refused {
	case "":
		return p.Compare(in.shown) <= 0
	case Ignored:
		return p.Compare(in.kept) <= 0
	}
	return true
}

// Idle says that nothing waits.
func (in *Inbox) Idle() bool { return in.taken == in.shown && len(in.held)+len(in.owed) == 0 }

func (in *Inbox) settled(p *Parcel) bool {
	for i, m := range p.Messages {
		if !in.Due(PositionOf(m), p.refusal(i)) {
			return false
		}
	}
	return true
}

// Mark is how far the messages were taken: of an idle inbox, for the disk.
func (in *Inbox) Mark() Mark {
	m := Mark{Runs: slices.Clone(in.runs), Gaps: slices.Clone(in.gaps)}
	if n := len(in.lately); n > 0 {
		m.Hash = in.lately[n-1].hash
	}
	return m
}

// Offer takes a parcel: true says that its fresh messages are to be taken now, in order, and
// then Owe is to be called. Otherwise it is kept until Next gives it, or, if too much waits
// already, forgotten; its sender repeats it.
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
	return p.After.Compare(in.taken) <= 0 || !in.taken.Before(p.last().Position)
}

func (in *Inbox) holds(p *Parcel) bool {
	return slices.ContainsFunc(in.held, func(h *Parcel) bool {
		return h.last() == p.last() && len(h.Messages) == len(p.Messages) && h.Answer == p.Answer
	})
}

// Next gives a parcel that need not wait any more, nil if there are none.
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

// Postpone makes all waiting parcels wait anew: the messages they wait for are here, and only
// lack room.
func (in *Inbox) Postpone(now time.Duration) {
	for _, p := range in.held {
		p.since = now
	}
}

// Overdue is the gap before the first parcel, if any has waited since before the given time;
// false if none has. The caller must store it (WithGap), and then pass it over; until then no
// message may be taken.
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
	return Gap{From: in.taken, To: first.After}, true
}

// PassOver gives up waiting for the messages of a gap that is stored: Next gives the
// parcel that waited for them.
func (in *Inbox) PassOver(g Gap) {
	in.gaps = in.WithGap(g)
	in.taken = g.To
}

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

// Show notes that all messages up to one have been shown and that this is safe from a
// crash, and returns the parcels whose receipts are due. It may come before Take.
func (in *Inbox) Show(s Stamp) (due []*Parcel) {
	if !in.shown.Before(s.Position) {
		return nil
	}
	in.Take(s)
	in.shown = s.Position
	in.showGaps()
	return in.due()
}

// due takes out the parcels whose receipts are due.
func (in *Inbox) due() (due []*Parcel) {
	in.owed = slices.DeleteFunc(in.owed, func(o *Parcel) bool {
		if in.settled(o) {
			due = append(due, o)
			in.owing -= len(o.Messages)
			return true
		}
		return false
	})
	return due
}

// Receipts are the answers to a parcel whose messages are safe.
func (p *Parcel) Receipts() []*pb.Receipt {
	list := make([]*pb.Receipt, len(p.Messages))
	for i, m := range p.Messages {
		list[i] = new(pb.Receipt)
		Answer(list[i], m.GetId(), p.refusal(i))
	}
	return list
}

// Answer makes r the receipt of the message of that ID, which was refused for this reason, or
// shown if it is empty.
func Answer(r *pb.Receipt, id []byte, refused string) {
	r.Id, r.Code, r.Reason = id, pb.ReceiptCode_DELIVERED, refused
	if refused != "" {
		r.Code = pb.ReceiptCode_REJECTED
	}
}
