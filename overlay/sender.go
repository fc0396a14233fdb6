package overlay

import (
	"context"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// sender is what a receiver remembers of a peer that writes to it, over whatever way
// and in whatever run. delivery.Inbox decides what is new.
type sender struct {
	node *Node
	key  certs.PublicKey
	// taking holds a token while messages are put into the queue: the ways from one
	// sender take turns.
	taking chan struct{}

	mu      sync.Mutex
	inbox   delivery.Inbox
	counted int                // bytes that wait in the inbox, as counted in node.early
	author  delivery.Addressee // for receipts over others
	wakes   map[*inbox]struct{}
}

// Bounds of what is remembered of those who write (guesses).
const (
	maxSenders  = 1 << 16  // with whom something is going on; of as many others a mark is kept
	maxEarly    = 16 << 20 // bytes of letters of all senders that wait for earlier ones
	sendersSeen = 64       // looked at to find one that can be forgotten
)

// senderOf returns what is remembered of a peer; reader, if there is one, is woken when
// more of its messages are safe. Nil: too much is going on with others.
func (n *Node) senderOf(key certs.PublicKey, reader *inbox) *sender {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.senders[key]
	if s == nil {
		if len(n.senders) >= maxSenders && !n.forgetSender() {
			return nil
		}
		s = &sender{node: n, key: key, taking: make(chan struct{}, 1), wakes: make(map[*inbox]struct{})}
		s.inbox = n.shownBefore(key)
		n.senders[key] = s
	}
	if reader != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wakes[reader] = struct{}{}
	}
	return s
}

// forgetSender makes room for another one. n.mu is held.
func (n *Node) forgetSender() bool {
	seen := 0
	for key, s := range n.senders {
		if mark, ok := s.forgettable(); ok {
			delete(n.senders, key)
			n.keepMark(key, mark)
			return true
		}
		if seen++; seen == sendersSeen {
			break
		}
	}
	return false
}

// keepMark remembers how far the messages of a sender were shown. n.mu is held.
func (n *Node) keepMark(key certs.PublicKey, mark store.Mark) {
	if len(mark.Runs)+len(mark.Gaps) == 0 {
		return
	}
	for old := range n.marks {
		if len(n.marks) < maxSenders {
			break
		}
		delete(n.marks, old)
	}
	n.marks[key] = mark
}

// forgettable is the mark of a sender with whom nothing is going on.
func (s *sender) forgettable() (store.Mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return markOf(&s.inbox), len(s.wakes) == 0 && s.inbox.Idle()
}

// early counts what waits of this sender among that of all. s.mu is held.
func (s *sender) early() {
	held := s.inbox.HeldBytes()
	s.node.early.Add(int64(held - s.counted))
	s.counted = held
}

// take puts a direct message into the queue if it is fresh; it waits for room. If it is
// refused it returns why. False is the end of ctx.
func (s *sender) take(ctx context.Context, m *pb.Message, from certs.ID) (refused string, ok bool) {
	stamp := delivery.StampOf(m)
	select {
	case s.taking <- struct{}{}:
	case <-ctx.Done():
		return "", false
	}
	defer func() { <-s.taking }()
	fresh, refused := s.judge(stamp)
	if !fresh {
		return refused, true
	}
	if !s.node.queue.pushMessage(ctx, s.message(m, from, PathDirect), s, stamp) {
		return "", false
	}
	s.took(stamp)
	s.takeHeld()
	return "", true
}

func (s *sender) message(m *pb.Message, from certs.ID, path Path) Message {
	return Message{
		ID: MessageID(m.GetId()), From: from, To: s.node.id, Body: m.GetContent(),
		SentAt: time.Unix(0, m.GetSentAt()), Path: path,
	}
}

// judge is delivery.Inbox.Judge.
func (s *sender) judge(stamp delivery.Stamp) (fresh bool, refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fresh, refused = s.inbox.Judge(stamp); refused != "" {
		s.node.log.Debug("a message is refused", "from key", s.key.String(), "why", refused)
	}
	return fresh, refused
}

// taken is how far messages have been taken.
func (s *sender) taken() delivery.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.Taken()
}

func (s *sender) took(stamp delivery.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox.Take(stamp)
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
	room := s.node.early.Load()+int64(p.Size()) <= maxEarly
	ready := s.inbox.Offer(p, s.node.now(), room)
	s.early()
	s.mu.Unlock()
	if ready {
		s.takeParcel(p)
		s.takeHeld()
	}
}

// takeHeld takes parcels that have waited for what has come now. The caller holds the
// token.
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
	for i, m := range p.Messages {
		stamp := delivery.StampOf(m)
		fresh, refused := s.judge(stamp)
		if !fresh {
			p.Refuse(i, refused)
			continue
		}
		if !s.node.queue.tryMessage(s.message(m, certs.ID(m.GetSender()), PathRelayed), s, stamp, p.Deposit != nil) {
			s.mu.Lock()
			s.inbox.Postpone(s.node.now())
			s.mu.Unlock()
			return // the rest comes again
		}
		s.took(stamp)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range p.Messages {
		m.Content = "" // it may have to wait for long
	}
	if s.inbox.Owe(p) {
		s.answer(p)
	}
}

// answer sends the receipts of a parcel. s.mu is held.
func (s *sender) answer(p *delivery.Parcel) {
	s.node.due(answer{to: s.author, holder: p.Answer, deposit: p.Deposit, receipts: p.Receipts()})
}

// handle notes that the program has handled the messages up to one: in the state
// directory first, where there is one.
func (s *sender) handle(stamp delivery.Stamp) {
	s.node.noteShown(s.key, stamp, func() { s.safe(stamp) })
}

// safe gives the receipts for messages that have been shown, now that no crash makes
// us forget that.
func (s *sender) safe(stamp delivery.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, parcel := range s.inbox.Show(stamp) {
		s.answer(parcel)
	}
	for in := range s.wakes {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// receipt is the answer to a direct message; nil says that it is not due yet.
func (s *sender) receipt(r receipt) *pb.Receipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.refused == "" && !s.inbox.Settled(delivery.PositionOf(r.message)) {
		return nil
	}
	return delivery.AnswerTo(r.message, r.refused)
}

// passOver gives up waiting for what has been missing since before the given time.
// Nothing is taken until that is noted.
func (s *sender) passOver(before time.Duration) {
	select {
	case s.taking <- struct{}{}:
	default:
		return
	}
	s.mu.Lock()
	g, ok := s.inbox.Overdue(before)
	gaps := s.inbox.WithGap(g)
	s.mu.Unlock()
	if !ok {
		<-s.taking
		return
	}
	s.node.log.Warn("messages that should have come before others are given up", "from key", s.key.String())
	s.node.noteGaps(s.key, gaps, func() {
		s.mu.Lock()
		s.inbox.PassOver(g)
		s.mu.Unlock()
		s.takeHeld()
		<-s.taking
	})
}
