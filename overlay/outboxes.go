package overlay

import (
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// outbox returns the outbox for a receiver, new if there is none. There is always room
// for one who is here: of these there are no more than the table holds.
func (n *Node) outbox(to certs.ID) (*outbox, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leaving {
		return nil, ErrClosed
	}
	o := n.outboxes[to]
	if o == nil {
		_, present := n.present[to]
		if !present && n.absent >= maxOutboxes {
			return nil, ErrOutboxFull
		}
		o = n.addOutbox(to, present)
	}
	return o, nil
}

// addOutbox makes an outbox. n.mu is held, or nobody else knows the node yet.
func (n *Node) addOutbox(to certs.ID, present bool) *outbox {
	o := newOutbox(n, to, n.known[to], present)
	n.outboxes[to] = o
	if !present {
		n.absent++
	}
	return o
}

// forgetOutbox makes room for another one if nothing waits any more for a receiver that
// is not here.
func (n *Node) forgetOutbox(o *outbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, present := n.present[o.to]; present || n.outboxes[o.to] != o || !o.discard() {
		return
	}
	delete(n.outboxes, o.to)
	n.absent--
}

// newMessage gives a message its ID and position.
func (n *Node) newMessage(body, ref string) *delivery.Outgoing {
	m := n.ids.next()
	m.Body, m.Ref, m.SentAt, m.Taken = body, ref, time.Now(), n.now()
	return m
}

func (n *Node) existingOutbox(to certs.ID) *outbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.outboxes[to]
}

func (n *Node) allOutboxes() []*outbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*outbox, 0, len(n.outboxes))
	for _, o := range n.outboxes {
		list = append(list, o)
	}
	return list
}

// expireEvery is how often messages are looked at that have waited too long.
const expireEvery = time.Minute

// expire gives up what has waited too long: messages of ours for their receivers, and
// of others for those that should have come before them.
func (n *Node) expire(now time.Duration) {
	if now < n.nextExpire {
		return
	}
	n.nextExpire = now + expireEvery
	n.noteUptime(now)
	for _, o := range n.allOutboxes() {
		o.expire(now - delivery.Lifetime)
	}
	n.mu.Lock()
	var senders []*sender
	for _, s := range n.senders {
		senders = append(senders, s)
	}
	n.mu.Unlock()
	for _, s := range senders {
		s.passOver(now - delivery.Patience)
	}
}

// stop ends everything and waits for it. What is undelivered stays in the state
// directory, or is reported. What earlier runs had left is not counted.
func (n *Node) stop() {
	n.cancel()
	n.reach.stop()
	n.endpoint.Close()
	for _, o := range n.allOutboxes() {
		o.close()
	}
	n.wg.Wait()
	n.write(nil, uptimeOp(n.uptime.before+n.now()))
	n.flushStore()
	for _, o := range n.allOutboxes() {
		for _, m := range o.close() {
			if m.Nonce == n.ids.nonce {
				n.undelivered++
			}
			if n.store == nil {
				n.queue.push(Failed{m.ID, o.to, m.Ref, "this peer has left before a receipt came"})
			}
		}
	}
	n.queue.close()
	if n.reading.stop() {
		if err := n.closeStore(); err != nil {
			n.log.Warn("closing the state directory", "error", err)
		}
	}
}

// diskPatience is how long who leaves waits for a disk that does not answer (a guess).
const diskPatience = 5 * time.Second

// flushStore waits until everything that was written is safe, or has failed. It fails,
// too, if the state directory is not there any more, though nothing was to be written.
func (n *Node) flushStore() {
	if n.store == nil {
		return
	}
	done := make(chan struct{})
	n.store.Write(func(err error) {
		if err != nil {
			n.fail(err)
		}
		close(done)
	})
	late := time.NewTimer(diskPatience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		n.log.Warn("leaving although the disk has not taken everything", "after", diskPatience)
	}
}

func (n *Node) closeStore() error {
	if n.store == nil {
		return nil
	}
	return n.store.Close()
}

// reading is about who reads Events, which may go on after the node has ended: what is
// shown then is noted as well. So the store is closed by whichever of the two ends last.
type reading struct {
	mu      sync.Mutex
	loops   int
	stopped bool
}

// begin begins a loop; false says that the store is closed.
func (r *reading) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped && r.loops == 0 {
		return false
	}
	r.loops++
	return true
}

// end says whether the store is to be closed.
func (r *reading) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loops--
	return r.stopped && r.loops == 0
}

// stop says whether the store is to be closed.
func (r *reading) stop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	return r.loops == 0
}
