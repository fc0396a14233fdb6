package overlay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
)

// goodbyeTime bounds the wait for the last links at the end: a link closes
// itself 500 ms after its goodbye.
const goodbyeTime = 2 * time.Second

// What may wait to be written to a link, of the 4 MiB at which it is cut off
// (guesses): who broadcasts waits above the first, and what is relayed is dropped
// above the second. queueLook is how often who waits looks again.
const (
	maxQueuedSending  = 256 << 10
	maxQueuedRelaying = 3 << 20
	queueLook         = 2 * time.Millisecond
)

// hearEvery is how old the core's knowledge of what links have heard may be when
// it is asked about it; sleptAbove is a jump of the clock on the wall that is no
// adjustment (guesses).
const (
	// silentAfter is how long a link may be silent before messages go over others as
	// well: keepalives come each 500 ms, as a rule, and what was written at the moment
	// at which the way broke shall not wait for 2 s. The core looks into silence then too.
	silentAfter = 1400 * time.Millisecond

	hearEvery  = 100 * time.Millisecond
	sleptAbove = 2 * time.Second
)

// loop owns the core: it gives it one input after the other and does what it wants.
func (n *Node) loop() {
	defer close(n.ended)
	n.awaken = time.NewTimer(0)
	defer n.awaken.Stop()
	n.settle()
	for n.ctx.Err() == nil {
		select {
		case input := <-n.inputs:
			if n.now() > n.heardAt+hearEvery {
				n.hear()
			}
			input()
			n.inputsWaiting()
		case <-n.awaken.C:
			n.hear()
			n.core.Tick(n.now())
		case <-n.ctx.Done():
			return
		}
		n.settle()
		n.awaken.Reset(n.core.Next() - n.now())
	}
}

// inputsWaiting takes the inputs that have come meanwhile, so that under load what
// the core wants to announce goes out together.
func (n *Node) inputsWaiting() {
	for range cap(n.inputs) {
		select {
		case input := <-n.inputs:
			input()
		default:
			return
		}
	}
}

// settle does what the core wants until it wants nothing more.
func (n *Node) settle() {
	for {
		out := n.core.Drain()
		if out.Empty() {
			return
		}
		n.apply(out)
	}
}

// hear tells the core which links have been heard since the last time.
func (n *Node) hear() {
	now := n.now()
	n.heardAt = now
	n.noticeSleep(now)
	n.noticeMove(now)
	n.mu.Lock()
	for _, o := range n.outboxes {
		o.keepLink()
	}
	n.mu.Unlock()
	n.expire(now)
	for id, l := range n.links {
		stats := l.Stats()
		if stats.Received != l.received {
			l.received, l.heard = stats.Received, now
		}
		if address := l.RemoteAddr(); address != l.address {
			l.address = address
			n.core.Seen(now, id, address.String())
		}
		l.used.silent.Store(now-l.heard > silentAfter+core.Slowness(stats.RTT, stats.Jitter))
		if stuck := l.Stuck(); stuck != l.used.stuck.Swap(stuck) {
			n.core.Stuck(now, id, stuck)
		}
		n.bypass(l)
		n.core.Heard(now, id, l.heard, time.Duration(l.used.last.Load()), stats.RTT)
		n.core.Jitter(now, id, stats.Jitter)
	}
}

// noticeSleep tells the core when the machine was asleep: the clock on the wall has
// run on, the one that measures durations may not have. A clock that is set right
// by hand looks the same, and does no harm.
func (n *Node) noticeSleep(now time.Duration) {
	ahead := time.Now().Round(0).Sub(n.start.Round(0)) - now
	if ahead > n.ahead+sleptAbove {
		n.core.Slept(now, ahead-n.ahead)
	}
	n.ahead = ahead
}

// apply does what the core wants, in the order that it asks for.
func (n *Node) apply(out core.Effects) {
	for _, note := range out.Notes {
		level := [...]slog.Level{core.Debug: slog.LevelDebug, core.Info: slog.LevelInfo, core.Warn: slog.LevelWarn}[note.Level]
		n.log.Log(n.ctx, level, note.Text, note.Args...)
	}
	if out.Epoch != 0 {
		if _, err := n.nextEpoch(out.Epoch); err != nil {
			n.fail(err)
			return
		}
		n.ids.begin(n.Key(), out.Epoch)
	}
	for _, w := range out.Custody {
		n.keep(w)
	}
	for _, event := range out.Events {
		n.happened(event)
	}
	if len(out.Events) > 0 && out.Events[0] == (core.Ready{}) {
		n.tellWords()
		close(n.ready) // behind the joins: whoever sends now finds them
	}
	for _, up := range out.Up {
		n.linkUp(up)
	}
	for _, f := range out.Frames {
		n.sendFrame(f)
	}
	for _, c := range out.Closes {
		n.closeLink(c)
	}
	for _, d := range out.Dials {
		n.dial(d)
	}
	for _, id := range out.Cancels {
		if r := n.races[id]; r != nil {
			r.cancel()
		}
	}
	for _, v := range out.Verify {
		n.wg.Go(func() { n.verify(v) })
	}
	for _, id := range out.Unreachable {
		if o := n.existingOutbox(id); o != nil {
			o.unreachable()
		}
	}
	for _, e := range out.Envelopes {
		n.queueLetter(e)
	}
	if len(out.Releave) > 0 {
		for _, o := range n.allOutboxes() { // there may be room for others as well
			o.leaveAnew()
		}
	}
	for _, j := range out.Joined {
		n.joined(j)
	}
	for _, id := range out.Withdrawn {
		if o := n.existingOutbox(id); o != nil {
			o.leaveAnew()
		}
	}
	for _, r := range out.Refused {
		n.log.Debug("a letter is not carried", "by", string(r.By), "why", r.Reason)
	}
	if out.Err != nil {
		n.fail(n.explain(out.Err))
	}
}

// sendFrame queues a frame on its link. A broadcast that is passed on is dropped
// for a link that is so busy that announcements could not be queued any more.
func (n *Node) sendFrame(f core.Frame) {
	l := n.links[f.Link]
	switch {
	case l == nil:
	case f.Envelope && l.Queued() > maxQueuedRelaying:
		n.log.Debug("a letter is not passed on: the peer reads too slowly", "peer", string(l.peer))
	case f.Relayed && l.Queued() > maxQueuedRelaying:
		n.dropped.warn(n.log, "broadcasts not passed on: the peer reads too slowly", "peer", string(l.peer))
	case f.Envelope:
		_ = l.SendLast(f.Data) // so that what keeps the network together doesn't wait for it
	default:
		_ = l.Send(f.Data) // an error is the end of the link, which its reader reports
	}
}

// happened passes an event of the core on to the program.
func (n *Node) happened(event core.Event) {
	switch e := event.(type) {
	case core.Ready:
		if err := n.cfg.State.EnterNetwork(n.cfg.Network); err != nil {
			n.fail(err)
		}
		n.ids.begin(n.Key(), n.core.Epoch())
		n.queue.push(Ready{n.id, n.Key(), listening(n.endpoint.Addr())})
	case core.Joined:
		n.queue.push(PeerJoined(e))
		n.setPresent(e.ID, e.Key, true)
	case core.Left:
		reason := ReasonLost
		if e.Farewell {
			reason = ReasonLeft
		}
		n.queue.push(PeerLeft{e.ID, reason})
		n.setPresent(e.ID, certs.PublicKey{}, false)
	case core.Broadcasted:
		m := Message{
			ID: MessageID(e.Content.GetId()), From: certs.ID(e.Content.GetSender()), To: Everyone,
			Body: e.Content.GetContent(), SentAt: time.Unix(0, e.Content.GetSentAt()), Path: PathRelayed,
		}
		if e.Direct {
			m.Path = PathDirect
		}
		if !n.queue.pushBroadcast(m, certs.PublicKey(e.Content.GetKey()), stampOfBroadcast(e)) {
			n.dropped.warn(n.log, "broadcasts dropped: too many wait to be read", "from", string(m.From))
		}
	}
}

// setPresent tells the peer's outbox that it has come or gone.
func (n *Node) setPresent(id certs.ID, key certs.PublicKey, present bool) {
	if present {
		n.meet(n.core.Record(id))
	}
	n.mu.Lock()
	_, was := n.present[id]
	if present {
		n.present[id] = key
	} else {
		delete(n.present, id)
	}
	o, k := n.outboxes[id], n.known[id]
	switch {
	case o == nil || was == present:
	case present:
		n.absent--
	default:
		n.absent++
	}
	if k.visitor && !present {
		delete(n.known, id)
	}
	n.mu.Unlock()
	if o == nil {
		return
	}
	if k.key != key {
		k = known{key: key} // it was gone again when its record was looked at
	}
	o.setPresent(k, present)
	n.forgetOutbox(o)
	n.outboxIdle() // who leaves need not wait for a receiver that has gone
	n.match(id)
}

// peers is the table for the user.
func (n *Node) peers() []Peer {
	list := []Peer{}
	for _, p := range n.core.Peers() {
		row := Peer{ID: p.ID, Key: p.Key, State: StateAlive, Via: p.Via, Addresses: p.Addresses}
		if p.Suspect {
			row.State = StateSuspect
		}
		if l := n.links[p.Link]; l != nil {
			row.Direct, row.RTT = true, l.Stats().RTT
		}
		list = append(list, row)
	}
	return list
}

// explain turns an error of the core into one of this package.
func (n *Node) explain(err error) error {
	var (
		duplicate *core.DuplicateIDError
		elsewhere *core.StartedElsewhereError
		join      *core.JoinError
	)
	switch {
	case errors.As(err, &duplicate):
		return &DuplicateIDError{ID: n.id, Own: n.Key(), Holder: duplicate.Holder}
	case errors.As(err, &elsewhere):
		return ErrStartedElsewhere
	case errors.As(err, &join) && join.Refusal != nil:
		return &RefusedError{Address: join.Address, Code: join.Refusal.GetCode(), Reason: join.Refusal.GetReason()}
	case errors.As(err, &join):
		return &UnreachableError{Failures: join.Failures, Obstacles: join.Obstacles}
	}
	return err
}

// fail notes why the node stops, and closes it.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return
	}
	n.err = err
	if n.leaving {
		return // it stops anyway
	}
	go n.Close() // it waits for the loop, which is here; who closes the node waits for it
}

// awaitReceipts waits until no message is on its way to a peer that is here.
func (n *Node) awaitReceipts(ctx context.Context) {
	for n.onTheirWay() {
		select {
		case <-n.idle:
		case <-ctx.Done():
			return
		case <-n.ended:
			return
		}
	}
}

func (n *Node) onTheirWay() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.outboxes {
		if count, present := o.count(); count > 0 && present {
			return true
		}
	}
	return false
}

// outboxIdle wakes awaitReceipts.
func (n *Node) outboxIdle() {
	select {
	case n.idle <- struct{}{}:
	default:
	}
}

// awaitGoodbyes waits until the links have closed.
func (n *Node) awaitGoodbyes() {
	late := time.NewTimer(goodbyeTime)
	defer late.Stop()
	done := make(chan struct{})
	n.post(func() { n.onLastLink(func() { close(done) }) })
	select {
	case <-done:
	case <-late.C:
	case <-n.ended:
	}
}
