package messaging

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/transport"
)

// Inputs of the engine from its owner's loop: who is here, which links are up, how a dial
// ended, and the time. Only the loop calls these methods.

// ExpireEvery is how often to look for messages that have waited too long.
const ExpireEvery = time.Minute

// relayAfter is how long messages wait for a connection to be made before they go over others:
// that takes 5 ms on a LAN, two round trips elsewhere.
const relayAfter = 150 * time.Millisecond

// Joined notes that a peer is in the table, and tells the program; Match is then due.
func (e *Engine) Joined(p PeerJoined) {
	d := &e.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	_, was := d.present[p.ID]
	d.present[p.ID] = presence{p.Key, time.Now()}
	if d.receivers[p.ID] != nil && !was {
		d.absent--
	}
	e.events.pushAll(append([]item{{event: p}}, d.changed(p.ID)...))
	d.address(p.ID)
	d.noteIdle() // leaving need not wait for a receiver whose ID another peer has now
}

// Left notes that a peer is not in the table any more; Match is then due.
func (e *Engine) Left(id certs.ID) {
	d := &e.directory
	d.mu.Lock()
	r := d.receivers[id]
	if _, was := d.present[id]; r != nil && was {
		d.absent++
	}
	delete(d.present, id)
	d.address(id)
	if d.met[id].Visitor {
		delete(d.met, id)
	}
	d.mu.Unlock()
	if r != nil {
		d.forget(r)
		d.noteIdle() // leaving need not wait for a receiver that has gone
	}
}

// LinkUp opens a link to a peer, in its run of that epoch, for direct messages; Match is
// then due.
func (e *Engine) LinkUp(l *Link, peer certs.ID, epoch uint64) {
	if !l.ours { // else it is in use
		l.peer = peer
	}
	l.epoch = epoch
	e.links[l.number] = l
	e.wg.Go(func() { receive(e, l) })
}

// CarriedUp opens a link over others, which we have dialled, for messages to its peer before the peer
// has said who it is, which LinkUp reports then; Match is due.
func (e *Engine) CarriedUp(l *Link, peer certs.ID) {
	l.peer, l.ours = peer, true
	e.links[l.number] = l
	if r := e.directory.existing(peer); r != nil {
		r.relayed.made()
	}
}

// LinkDown is the end of a link that was up; Match is then due.
func (e *Engine) LinkDown(l *Link) { delete(e.links, l.number) }

// Match gives the receiver of an ID its best link if it has none, or one that does not work while
// the best does. Links over others end when another works, each by the side that has dialled it: the
// other side may hear nothing on that one. True says that a link is wanted and missing: then
// Dialling is due.
func (e *Engine) Match(id certs.ID) (wanted bool) {
	e.directory.mu.Lock()
	c, here := e.directory.forWhom(id)
	r := e.directory.receivers[id]
	e.directory.mu.Unlock()
	if r == nil || !here {
		return false
	}
	var best *Link
	for _, l := range e.links {
		if l.peer == id && l.key == c.Key && l.usable() && (best == nil || l.betterThan(best)) {
			best = l
		}
	}
	if best == nil {
		return r.wanting()
	}
	for _, l := range e.links {
		if !best.carried && best.Works() && l.peer == id && l.ours && l.usable() {
			e.Retire(l, transport.CodeDuplicateLink, "there is a connection")
		}
	}
	r.direct.moveTo(best)
	if r.attach(best) {
		e.wg.Go(func() { r.direct.send(best) })
	}
	e.Bypass(best)
	return false
}

// wanting says that messages wait and the peer is not heard over any link.
func (r *receiver) wanting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.direct.works() && r.box.Len() > 0
}

// attach gives the receiver a link if it has none; true says that it was taken and that the
// caller must run send on it. Messages on their way over others go again.
func (r *receiver) attach(l *Link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.direct.link != nil || r.closed || l.key != r.key {
		return false
	}
	r.direct.attach(l)
	r.relayed.linked(l)
	r.notify()
	return true
}

// Dialling says whether the wanted peer is being dialled. Until there is a link, messages
// go over others.
func (e *Engine) Dialling(id certs.ID, dialling bool) {
	r := e.directory.existing(id)
	switch {
	case r == nil:
	case dialling:
		r.relayed.start(relayAfter)
	default:
		r.relayed.start(0)
	}
}

// Unreachable notes that the dial of a peer has failed.
func (e *Engine) Unreachable(id certs.ID) {
	if r := e.directory.existing(id); r != nil {
		r.relayed.unreachable()
	}
}

// Bypass makes messages for the peer of a silent or stuck link go over others as well.
func (e *Engine) Bypass(l *Link) {
	if l.peer == "" || l.Works() {
		return
	}
	if r := e.directory.existing(l.peer); r != nil && r.wanting() {
		r.relayed.start(0)
	}
}

// retireTime is how long a link that is used no more waits for receipts: less than the 500 ms
// in which the other side wants its goodbye answered.
const retireTime = 300 * time.Millisecond

// Retire ends a link once the messages on their way on it have been answered.
func (e *Engine) Retire(l *Link, code transport.Code, why string) {
	if r := e.directory.existing(l.peer); r == nil || !r.direct.retire(l) {
		l.Shut(code, why)
		return
	}
	e.wg.Go(func() {
		late := time.NewTimer(retireTime)
		defer late.Stop()
		select {
		case <-late.C:
			l.Shut(code, why)
		case <-l.Done():
		}
	})
}

// LeaveAnew has all messages for these peers left with others again.
func (e *Engine) LeaveAnew(to ...certs.ID) {
	for _, id := range to {
		if r := e.directory.existing(id); r != nil {
			r.left.anew()
		}
	}
}

// LeaveLater stops leaving messages for a peer with others until LeaveAnew; false says that
// none are waiting for it.
func (e *Engine) LeaveLater(to certs.ID) bool {
	r := e.directory.existing(to)
	return r != nil && r.left.later()
}

// Tick is called about each 100 ms. Once the engine has begun it gives up on messages that
// have waited too long: ours for their receivers, and those of others for earlier ones.
func (e *Engine) Tick(now time.Duration) {
	e.events.watchReader(now)
	receivers := e.directory.all()
	for _, r := range receivers {
		r.direct.keepLink(now)
	}
	if !e.hasBegun() || now < e.nextExpire {
		return
	}
	e.nextExpire = now + ExpireEvery
	e.disk.noteUptime(now)
	for _, r := range receivers {
		r.expire(now - delivery.Lifetime)
	}
	for _, s := range e.senders.all() {
		s.passOver(now - delivery.Patience)
	}
}
