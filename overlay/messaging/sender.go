package messaging

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// sender is a receiver's memory of a peer that writes to it, over any path and in any run.
// delivery.Inbox decides which messages are new.
type sender struct {
	engine *Engine
	key    certs.PublicKey
	// taking holds a token while messages are put into the queue: the paths from one sender
	// take turns.
	taking chan struct{}

	mu      sync.Mutex
	inbox   delivery.Inbox
	counted int                // bytes that wait in the inbox, as counted in senders.early
	author  delivery.Addressee // for receipts over others
	repeats int                // the turn of receipts, drawn anew when a parcel comes though it had its receipts
	forget  time.Duration      // when that begins anew
	keeping chan struct{}      // closed when the gaps that are being stored are safe; nil: none are
	wakes   map[*reader]struct{}
}

// Bounds of the memory of peers that write to us (guesses).
const (
	maxSenders  = 1 << 16         // busy senders; of as many others a mark is kept
	MaxEarly    = 16 << 20        // bytes of letters of all senders that wait for earlier ones
	sendersSeen = 64              // looked at to find one that can be forgotten
	lostFor     = 5 * time.Minute // receipts that were lost have the next ones go by another way
	maxTurn     = 15              // ways that receipts take behind the first peer, a guess
)

// senders holds the senders that are remembered.
type senders struct {
	engine *Engine

	mu    sync.Mutex
	byKey map[certs.PublicKey]*sender
	marks map[certs.PublicKey]delivery.Mark // of others, from this run and earlier ones
	early atomic.Int64                      // bytes of letters that wait for earlier ones
}

func (list *senders) init(e *Engine, marks map[certs.PublicKey]delivery.Mark) {
	list.engine = e
	list.byKey = make(map[certs.PublicKey]*sender)
	list.marks = marks
	if marks == nil {
		list.marks = make(map[certs.PublicKey]delivery.Mark)
	}
}

// of returns the sender of a peer; in, if not nil, is woken when more of its messages are
// safe. Nil: too many other senders are busy.
func (list *senders) of(key certs.PublicKey, in *reader) *sender {
	list.mu.Lock()
	defer list.mu.Unlock()
	s := list.byKey[key]
	if s == nil {
		if len(list.byKey) >= maxSenders && !list.forgetOne() {
			return nil
		}
		s = newSender(list.engine, key, list.marks[key])
		list.byKey[key] = s
	}
	if in != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wakes[in] = struct{}{}
	}
	return s
}

func newSender(e *Engine, key certs.PublicKey, mark delivery.Mark) *sender {
	return &sender{
		engine: e, key: key, taking: make(chan struct{}, 1), wakes: make(map[*reader]struct{}), inbox: delivery.NewInbox(mark),
	}
}

// all lists them.
func (list *senders) all() (all []*sender) {
	list.mu.Lock()
	defer list.mu.Unlock()
	for _, s := range list.byKey {
		all = append(all, s)
	}
	return all
}

// forgetOne makes room for another one. list.mu is held.
func (list *senders) forgetOne() bool {
	seen := 0
	for key, s := range list.byKey {
		if mark, ok := s.forgettable(); ok {
			delete(list.byKey, key)
			list.keepMark(key, mark)
			return true
		}
		if seen++; seen == sendersSeen {
			break
		}
	}
	return false
}

// keepMark remembers how far the messages of a sender were shown. list.mu is held.
func (list *senders) keepMark(key certs.PublicKey, mark delivery.Mark) {
	if len(mark.Runs)+len(mark.Gaps) == 0 {
		return
	}
	for old := range list.marks {
		if len(list.marks) < maxSenders {
			break
		}
		delete(list.marks, old)
	}
	list.marks[key] = mark
}

// forgettable returns the mark of a sender that is not busy.
func (s *sender) forgettable() (delivery.Mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.Mark(), len(s.wakes) == 0 && s.inbox.Idle()
}

// busy says that messages of this sender wait, or their receipts do.
func (s *sender) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.inbox.Idle()
}

// early adds the waiting bytes of this sender to those of all. s.mu is held.
func (s *sender) early() {
	held := s.inbox.HeldBytes()
	s.engine.senders.early.Add(int64(held - s.counted))
	s.counted = held
}

// take puts the fresh ones of some messages that have come over a link into the queue; it waits for
// room. It notes which are refused. False is the end of the link.
func (s *sender) take(l *Link, batch []arrival) bool {
	select {
	case s.taking <- struct{}{}:
	case <-l.ctx.Done():
		return false
	}
	defer func() { <-s.taking }()
	for {
		n, held := s.takeSome(l, batch)
		if held {
			s.takeHeld()
		}
		if batch = batch[n:]; len(batch) == 0 {
			return true
		}
		if !s.awaitKept(l.ctx) || !s.engine.events.awaitRoom(l.ctx, l.peer, s.key, delivery.SizeOf(batch[0].message)) {
			return false
		}
	}
}

// takeSome is take for those that have room, and says how many that were; and whether others
// wait that have come over other peers.
func (s *sender) takeSome(l *Link, batch []arrival) (n int, held bool) {
	strange := s.engine.directory.IsNewKey(l.peer, s.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		a := &batch[i]
		var ok bool
		if a.refused, ok = s.letIn(s.message(a.message, strange, l.path()), a.stamp, false); !ok {
			break
		}
		delivery.Empty(a.message) // it may have to wait for long
		n++
	}
	return n, s.inbox.HeldBytes() > 0
}

func (s *sender) message(m *pb.Message, strange bool, path Path) Message {
	out := Message{
		ID: MessageID(m.GetId()), From: s.engine.directory.NameOf(certs.ID(m.GetSender()), s.key), Key: s.key, NewKey: strange, To: s.engine.cfg.ID, WantsReply: m.GetWantsReply(),
		SentAt: time.Unix(0, m.GetSentAt()), Path: path,
	}
	out.Body, out.Binary = delivery.BodyOf(m)
	copy(out.ReplyTo[:], m.GetReplyTo()) // all of it, or there is none
	out.Kind, out.About = Reference(m)
	if out.WantsReply {
		out.asked = s.engine
	}
	return out
}

// letIn decides about a message that has come over any path: if it is fresh, it goes into the
// queue for the program, unless its sender is ignored. False says that it has to wait, for room or
// for the disk. s.mu is held.
func (s *sender) letIn(m Message, stamp delivery.Stamp, kept bool) (refused string, ok bool) {
	fresh, refused := s.inbox.Judge(stamp)
	switch {
	case !fresh:
	case s.engine.Ignored.Has(s.key):
		refused = delivery.Ignored
		s.inbox.Ignore(stamp.Position)
		s.keepGaps()
	case s.keeping != nil || !s.engine.requests.handOver(m, func(asked bool) bool { return s.engine.events.tryMessage(m, s, stamp, kept, asked) }):
		return "", false
	default:
		s.inbox.Take(stamp)
	}
	if refused != "" {
		s.engine.events.countRefused(m.Path)
		s.engine.log.Debug("a message is refused", "from key", s.key.String(), "why", refused)
	}
	return refused, true
}

// keepGaps stores which messages were refused because their sender is ignored: all that are so
// far in one write. Until that is safe they get no receipts, and nothing is taken behind them:
// they must not pass for repeats of what was shown. s.mu is held.
func (s *sender) keepGaps() {
	gaps, upTo, ok := s.inbox.ToKeep()
	switch {
	case !ok || s.keeping != nil:
		return
	case !s.engine.disk.Keeps():
		s.kept(upTo)
		return
	}
	s.keeping = make(chan struct{})
	s.engine.disk.noteGaps(s.key, gaps, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.keeping)
		s.keeping = nil
		s.kept(upTo)
		s.keepGaps()
	})
}

// kept gives the receipts for refused messages, now that no crash makes us forget that. s.mu is
// held.
func (s *sender) kept(upTo delivery.Position) { s.answerAll(s.inbox.Keep(upTo)) }

// awaitKept waits while gaps are being stored; false is the end of ctx.
func (s *sender) awaitKept(ctx context.Context) bool {
	s.mu.Lock()
	keeping := s.keeping
	s.mu.Unlock()
	if keeping == nil {
		return true
	}
	select {
	case <-keeping:
		return true
	case <-ctx.Done():
		return false
	}
}

// taken is the position up to which messages have been taken.
func (s *sender) taken() delivery.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.Taken()
}

// offer takes a parcel that has come over others, if it can be taken without waiting;
// else its sender repeats it.
func (s *sender) offer(p *delivery.Parcel, author delivery.Addressee) {
	select {
	case s.taking <- struct{}{}:
	default:
		return
	}
	defer func() { <-s.taking }()
	s.mu.Lock()
	s.author = author
	room := s.engine.senders.early.Load()+int64(p.Size()) <= MaxEarly
	ready := s.inbox.Offer(p, s.engine.now(), room)
	s.early()
	s.mu.Unlock()
	if ready {
		s.takeParcel(p)
		s.takeHeld()
	}
}

// takeHeld takes parcels whose missing messages have come now. The caller holds the token.
func (s *sender) takeHeld() {
	for {
		s.mu.Lock()
		p := s.inbox.Next()
		s.early()
		s.mu.Unlock()
		if p == nil {
			return
		}
		s.takeParcel(p)
	}
}

// takeParcel puts the messages of a parcel into the queue, and has receipts sent
// when they are due.
func (s *sender) takeParcel(p *delivery.Parcel) {
	strange := s.engine.directory.IsNewKey(certs.ID(p.Messages[0].GetSender()), s.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range p.Messages {
		refused, ok := s.letIn(s.message(m, strange, PathRelayed), delivery.StampOf(m), p.Deposit != nil)
		if !ok {
			s.inbox.Postpone(s.engine.now())
			return // the rest comes again
		}
		p.Refuse(i, refused)
	}
	for _, m := range p.Messages {
		delivery.Empty(m) // it may have to wait for long
	}
	if s.inbox.Owe(p) { // all have been shown before, so that it has missed the receipts
		s.repeated()
		s.answer(p)
	}
}

// repeated notes that receipts were lost on their way. The turn of the next ones is drawn: one that is
// counted could stay in step with the turns of the letters that they answer, and miss a way for ever. s.mu
// is held.
func (s *sender) repeated() {
	s.repeats, s.forget = 1+rand.IntN(maxTurn), s.engine.now()+lostFor
}

// missed is the turn of the next receipt, 0 if none was lost lately. s.mu is held.
func (s *sender) missed() int {
	if s.engine.now() >= s.forget {
		return 0
	}
	return s.repeats
}

// answer sends the receipts of a parcel. s.mu is held.
func (s *sender) answer(p *delivery.Parcel) {
	s.engine.answers.due(answer{to: s.author, holder: p.Answer, deposit: p.Deposit, over: p.Over, lost: s.missed(), receipts: p.Receipts()})
}

// handle notes that the program has handled the messages up to one: first in the state
// directory, if there is one.
func (s *sender) handle(it item) {
	e := s.engine
	if !e.disk.Keeps() {
		s.safe(it.stamp)
		return
	}
	e.unanswered.change(1)
	began, stamp := e.commits.begin(), it.stamp
	e.disk.noteShown(s.key, it, func(err error) {
		e.commits.safeSince(began)
		if e.disk.isSafe(err) {
			s.safe(stamp)
		}
		e.unanswered.change(-1)
	})
}

// safe gives the receipts for messages that have been shown, now that no crash makes
// us forget that.
func (s *sender) safe(stamp delivery.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerAll(s.inbox.Show(stamp))
}

// answerAll sends the receipts of parcels, and has those written that are due on links. s.mu is
// held.
func (s *sender) answerAll(due []*delivery.Parcel) {
	for _, parcel := range due {
		s.answer(parcel)
	}
	for in := range s.wakes {
		signal(in.wake)
	}
}

// passOver gives up on messages that have been missing since before the given time. No message
// is taken until that is stored.
func (s *sender) passOver(before time.Duration) {
	select {
	case s.taking <- struct{}{}:
	default:
		return
	}
	s.mu.Lock()
	g, ok := s.inbox.Overdue(before)
	gaps := s.inbox.WithGap(g)
	ok = ok && s.keeping == nil // else the next write could undo this one
	s.mu.Unlock()
	if !ok {
		<-s.taking
		return
	}
	s.engine.log.Warn("messages that should have come before others are given up", "from key", s.key.String())
	s.engine.disk.noteGaps(s.key, gaps, func() {
		s.mu.Lock()
		s.inbox.PassOver(g)
		s.mu.Unlock()
		s.takeHeld()
		<-s.taking
	})
}
