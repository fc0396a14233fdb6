package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// Handle takes an event of the node before it counts as handled: offers come as messages. It returns what is to be told
// behind it. It writes to the disk, and waits until a transfer that its sender withdraws has stopped.
func (f *Files) Handle(e overlay.Event) []overlay.Event {
	switch e := e.(type) {
	case overlay.Message:
		switch e.Kind {
		case overlay.KindFile:
			return f.offered(e)
		case overlay.KindDelete:
			if t := f.offerOf(e.Key, e.About); t != nil && !t.Ours {
				f.drop(t, "the sender has withdrawn it")
			}
		}
	case overlay.Failed:
		if t := f.offerOf(f.key, e.Message); t != nil && t.Ours {
			t.fail(e.Error)
		}
	case overlay.PeerJoined:
		f.awake(e.ID)
	case overlay.PeerLeft:
		f.depart(e.ID)
	}
	return nil
}

// depart ends what is asked of a peer that has left or crashed: its connection would be waited for until it is silent for
// pb.IdleTimeout, and meanwhile the peer may be back.
func (f *Files) depart(id certs.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transfers {
		if !t.Ours && t.From == id && t.leave != nil {
			t.leave(overlay.ErrUnknownPeer)
		}
	}
}

// awake lets the pulls from a peer try again.
func (f *Files) awake(id certs.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transfers {
		if !t.Ours && t.From == id {
			signal(t.wake)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// offered takes an offer of another peer. One that comes again, after a crash, is known.
func (f *Files) offered(m overlay.Message) []overlay.Event {
	o, err := ParseOffer(m.Body)
	if err != nil {
		f.log.Info("an offer of files can't be read", "from", string(m.From), "error", err)
		return nil
	}
	if known := f.offerOf(m.Key, m.ID); known != nil {
		return f.offerEvent(known)
	}
	t := newTransfer(f.book)
	t.record = record{Message: m.ID, From: m.From, Key: m.Key, To: m.To, Offer: o, Since: m.SentAt, State: StateOffered, Relayed: !f.node.IsDirect(m.From, m.Key)}
	rule := f.cfg.Accept
	auto := !m.NewKey && !m.Unproved && !rule.Never && rule.accepts(m.From, o.Size) && f.mayTake(m.Key)
	if auto {
		t.State, t.Dir = StateWaiting, f.into(rule.Dir)
	}
	if rule.Never {
		t.State, t.Error, t.Ended = StateCancelled, "this peer takes no files", time.Now()
	}
	if old := f.greediest(m.Key); old != nil {
		old.expire(StateCancelled, "newer offers have taken its place")
	}
	if err := f.add(t); err != nil {
		return nil
	}
	if err := t.save(); err != nil {
		f.log.Warn("an offer can't be remembered", "error", err)
	}
	if auto {
		f.mu.Lock()
		f.puller.start(t)
		f.mu.Unlock()
	}
	if rule.Never {
		f.decline(t)
	}
	return f.offerEvent(t)
}

func (f *Files) offerEvent(t *transfer) []overlay.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []overlay.Event{Offered{
		File: t.File, Message: t.Message, From: t.From, To: t.To, Name: t.Offer.Name, Size: t.Offer.Size, Files: t.Offer.Files, Names: t.Offer.Names,
		Note: t.Offer.Note, Path: t.how(), Accepted: t.State == StateWaiting || t.State == StateActive, Declined: t.State == StateCancelled, Dir: t.Dir,
	}}
}

// into is the directory for files.
func (f *Files) into(dir string) string {
	if dir == "" {
		return f.cfg.Into
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(f.cfg.Into, dir)
	}
	return filepath.Clean(dir)
}

// Accept takes an offer: its files come into the directory dir, which exists, or if that is empty, where Config says; a
// relative one is meant from there. ref comes back in its events. Errors: ErrUnknownFile, ErrOurs, ErrOver, ErrAccepted,
// ErrNoRoom, overlay.ErrClosed, and those of the directory and of storing it, after which the offer still stands.
func (f *Files) Accept(file int, dir, ref string) (Transfer, error) {
	t, err := f.find(file)
	if err != nil {
		return Transfer{}, err
	}
	dir = f.into(dir)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return Transfer{}, err
	case !info.IsDir():
		return Transfer{}, fmt.Errorf("%s is not a directory", dir)
	}
	if err := hasRoom(dir, t.Offer.Size); err != nil {
		return Transfer{}, err
	}
	f.mu.Lock()
	switch {
	case t.Ours:
		err = ErrOurs
	case t.State.Over():
		err = ErrOver
	case t.State != StateOffered:
		err = ErrAccepted
	case f.closed:
		err = overlay.ErrClosed
	default:
		t.State, t.Dir, t.Ref = StateWaiting, dir, ref
	}
	f.mu.Unlock()
	if err != nil {
		return Transfer{}, err
	}
	if err := t.save(); err != nil {
		f.mu.Lock()
		if !t.State.Over() {
			t.State, t.Dir, t.Ref = StateOffered, "", ""
		}
		f.mu.Unlock()
		return Transfer{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.State.Over() { // meanwhile
		return Transfer{}, ErrOver
	}
	f.puller.start(t)
	return t.now(time.Now()), nil
}

// drop ends another's transfer, and removes what has come of it. False: it was over, or came to its end before the pull
// could be stopped.
func (f *Files) drop(t *transfer, why string) bool {
	for {
		f.mu.Lock()
		if t.State.Over() {
			f.puller.start(t) // to tell the sender that all has come, if the pull that would have was stopped here
			f.mu.Unlock()
			return false
		}
		cancel, ended := t.cancel, t.ended
		if cancel == nil { // and none starts any more
			e, _ := t.end(StateCancelled, why)
			f.mu.Unlock()
			t.clear()
			t.over()
			t.tell(e)
			return true
		}
		f.mu.Unlock()
		cancel(errWithdrawn)
		<-ended
	}
}

// declinePatience is how long a sender is looked for that is to be told that its offer is not wanted (a guess).
const declinePatience = 30 * time.Second

// maxDeclining is how many senders are told that at once; further ones are not (a guess).
const maxDeclining = 16

// decline has the sender told that its offer is not wanted.
func (f *Files) decline(t *transfer) {
	select {
	case f.declining <- struct{}{}:
		f.background(func() {
			defer func() { <-f.declining }()
			f.tellDeclined(t)
		})
	default:
		f.log.Info("a sender is not told that its offer is declined: there are too many", "file", t.File, "from", string(t.From))
	}
}

// tellDeclined tells the sender that its offer is not wanted, if it is here. It takes only so many connections at once, so
// it may need several attempts.
func (f *Files) tellDeclined(t *transfer) {
	ctx, cancel := context.WithTimeout(f.ctx, declinePatience)
	defer cancel()
	again := time.NewTicker(firstWait)
	defer again.Stop()
	for {
		err := f.declines(ctx, t)
		if _, answered := errors.AsType[*fatal](err); err == nil || answered || errors.Is(err, overlay.ErrUnknownPeer) {
			return
		}
		f.log.Debug("a sender can't be told that its offer is not wanted", "file", t.File, "to", string(t.From), "error", err)
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Files) declines(ctx context.Context, t *transfer) error {
	b, err := f.node.OpenBulk(ctx, t.From, t.Key)
	if err != nil {
		return err
	}
	defer closeBulk(b)
	_, err = ask(ctx, b, &pb.FileRequest{Offer: t.Message[:], Want: pb.FileWant_DECLINED}, nil)
	return err
}
