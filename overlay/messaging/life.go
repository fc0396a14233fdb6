package messaging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// New makes an engine and loads the messages of earlier runs from its disk. It starts no
// goroutine, so an engine that has not begun need not be stopped.
func New(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg: cfg, log: cfg.Log, begun: make(chan struct{}), events: newEventQueue(), disk: cfg.Disk,
		ids: MessageIDs{nonce: cfg.Nonce}, links: make(map[uint64]*Link),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.letters = letters{engine: e, waiting: make(chan Letter, maxLetters)}
	e.answers = answers{engine: e, waiting: make(chan answer, maxAnswers)}
	e.custodian = custodian{engine: e, wake: make(chan struct{}, 1), asked: make(chan chan struct{})}
	e.directory.init(e, cfg.Met)
	e.senders.init(e, e.disk.marks())
	if err := errors.Join(e.Ignored.open(e), e.disk.Load(store.Pins, e.directory.loadPin)); err != nil {
		return e, err
	}
	if err := e.loadEarly(); err != nil {
		return e, err
	}
	known, err := e.Stream().History().recent()
	if err != nil {
		return e, err
	}
	if err = e.disk.Load(store.Unsettled, func(key, value []byte) error { return e.loadMessage(key, value, &known) }); err != nil {
		return e, err
	}
	e.disk.unsaid.load()
	for _, m := range known.over {
		e.disk.forgetMessage(m)
	}
	return e, nil
}

// loadEarly takes up what an earlier run has written to the history, and not shown. Repeats of these
// messages from their senders get no receipt before they are.
func (e *Engine) loadEarly() error {
	if e.disk.store == nil {
		return nil
	}
	for _, entry := range e.disk.store.Early() {
		r, err := decodeEntry(entry, e.cfg.ID)
		if err != nil {
			return err
		}
		it := item{event: r.Event, pos: entry.Pos, stamp: entry.Stamp}
		switch m := r.Event.(type) {
		case Message:
			if m.To == e.cfg.ID {
				if it.sender = e.senders.of(m.Key, nil); it.sender == nil {
					return fmt.Errorf("%d peers have written messages that wait to be shown", maxSenders)
				}
				it.sender.inbox.Take(entry.Stamp)
			} else if !m.Before {
				it.author = m.Key
				mark := e.senders.marks[entry.Author]
				mark.Raise(entry.Stamp)
				e.senders.marks[entry.Author] = mark
			}
		case Delivered, Failed:
			it.settled = r.outgoing()
		}
		e.early = append(e.early, it)
	}
	return nil
}

// Start starts its goroutines.
func (e *Engine) Start() {
	e.wg.Go(e.letters.run)
	e.wg.Go(e.answers.run)
	if !e.cfg.NoCustody {
		e.wg.Go(e.custodian.run)
	}
}

// loadMessage loads a message of an earlier run. Of a withdrawn message only the last word is
// stored, with what it was if the history may lack that it was sent.
func (e *Engine) loadMessage(key, value []byte, known *recent) error {
	s := new(pb.StoredMessage)
	if err := proto.Unmarshal(value, s); err != nil {
		return damaged("message", err)
	}
	if err := pb.Check(pb.Wrap(s.GetMessage())); err != nil {
		return damaged("message", err)
	}
	m := s.GetMessage()
	to := certs.ID(cmp.Or(s.GetCalled(), m.GetReceiver()))
	if _, err := certs.ParseName(string(to)); err != nil {
		return damaged("message", err)
	}
	out := &delivery.Outgoing{
		Position: delivery.PositionOf(m), Nonce: m.GetNonce(), ID: MessageID(m.GetId()), Body: m.GetContent(), Ref: string(s.GetRef()),
		SentAt: time.Unix(0, m.GetSentAt()), Taken: e.disk.TimeOf(s.GetTaken()), Stored: true, Waits: fromBefore,
	}
	out.Restore(m)
	out.Cancelled = len(key) > keySize
	switch {
	case known.ends[out.ID]: // the program has had its end, or gets it as one of the early ones
		if !slices.ContainsFunc(e.early, func(it item) bool { return it.settled != nil && it.settled.ID == out.ID }) {
			known.over = append(known.over, out)
		}
		return nil
	case e.disk.history && s.GetSaid() >= known.from && !known.sent[out.ID]:
		e.disk.unsaid.expect(out.ID, s.GetSaid())
		e.early = append(e.early, item{event: sentEvent(out, to)})
	}
	if out.Cancelled {
		e.words = append(e.words, lastWord{to, out})
		return nil
	}
	d := &e.directory
	r := d.receivers[to]
	if r == nil {
		r = d.newReceiver(to)
	}
	r.box.Add(out)
	e.held.force(costOf(out))
	return nil
}

// Begin says that the peer is in the network, and reports to the program the events that the
// last run could not. It is called once, on the loop, after Ready.
func (e *Engine) Begin() {
	e.events.pushAll(e.early)
	e.early = nil
	e.tellWords()
	close(e.begun)
}

// Holding describes what an engine holds in memory.
type Holding struct {
	Outboxes int64         // bytes in all outboxes
	Early    int64         // bytes of letters that wait for earlier ones
	Busy     int           // busy senders
	Incoming int           // direct messages that the program has not handled
	Oldest   time.Duration // how long the oldest message of ours has waited
}

// Holding returns what the engine holds now.
func (e *Engine) Holding() Holding {
	h := Holding{Outboxes: e.held.inUse(), Early: e.senders.early.Load(), Incoming: e.events.incomingNow()}
	for _, s := range e.senders.all() {
		if s.busy() {
			h.Busy++
		}
	}
	for _, r := range e.directory.all() {
		h.Oldest = max(h.Oldest, r.waited())
	}
	return h
}

// IDs gives our messages their IDs and positions. Its Begin is called on the loop, before the
// engine's and when a peer that has begun alone raises its epoch.
func (e *Engine) IDs() *MessageIDs { return &e.ids }

// Directory knows the peers that are here and those that were met.
func (e *Engine) Directory() *Directory { return &e.directory }

// Queue is where events wait for the program.
func (e *Engine) Queue() *EventQueue { return e.events }

// ShownBroadcasts says how far the broadcasts of each run of a peer were shown in earlier
// runs. It is called before Start.
func (e *Engine) ShownBroadcasts(author certs.PublicKey) []delivery.Run {
	return e.senders.marks[broadcastMark(author)].Runs
}

// TakeNoMore stops accepting messages.
func (e *Engine) TakeNoMore() {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	e.directory.leaving = true
}

// AwaitReceipts waits until no message is on its way to a peer that is here, or ctx ends.
func (e *Engine) AwaitReceipts(ctx context.Context) {
	for e.directory.onTheirWay() {
		select {
		case <-e.directory.idle:
		case <-ctx.Done():
			return
		}
	}
}

// answerPatience is how long leaving waits until the receipts for messages that came over
// others are on their way (a guess: they take some milliseconds).
const answerPatience = time.Second

// AwaitAnswers waits until all handled messages are noted, and the receipts for those that
// came over others have been sent; at most for a second, or until ctx ends.
func (e *Engine) AwaitAnswers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	e.unanswered.awaitNone(ctx)
}

// Shutdown ends the engine, whose links have ended, and waits for it. Undelivered messages
// stay on the disk, or are reported. It returns how many of this run those are, without those
// that earlier runs had left.
func (e *Engine) Shutdown() (undelivered int) {
	e.TakeNoMore()
	e.cancel()
	for _, r := range e.directory.all() {
		r.end()
	}
	e.wg.Wait()
	e.disk.Write(nil, UptimeOp(e.disk.uptime.before+e.now()))
	e.Rooms.save()
	e.disk.Flush(context.Background())
	for _, r := range e.directory.all() {
		for _, m := range r.end() {
			if m.Nonce == e.ids.nonce {
				undelivered++
			}
			if !e.disk.Keeps() {
				e.events.Push(Failed{Message: m.ID, To: r.to, Ref: m.Ref, Error: "this peer has left before a receipt came"})
			}
		}
	}
	e.events.end()
	if e.disk.users.stop() {
		if err := e.disk.Close(); err != nil {
			e.log.Warn("closing the state directory", "error", err)
		}
	}
	return undelivered
}
