package messaging

import (
	"sync"
	"time"

	"quicpeer/certs"
)

// maxMet bounds the peers that are remembered, metSeen how many of them are considered to find
// one that can be forgotten (guesses). The loop does this, and with very many peers here,
// walking over them all for each that joins took seconds.
const (
	maxMet  = 16384
	metSeen = 64
)

// Contact is the memory of a peer that was met.
type Contact struct {
	ID       certs.ID
	Key      certs.PublicKey
	Sealing  certs.SealingKey
	TextOnly bool // its version does not know messages with data
	Visitor  bool // it is remembered while it is here, and not stored: it never comes back
	Reached  Reached
}

// Reached is where a link to a peer last stood.
type Reached struct {
	Epoch   uint64 // of the peer's run
	Address string // IP:PORT; empty: there was none
	At      int64  // nanoseconds since 1970: only the order counts
}

// Directory knows the peers that are here, those that were met, those that we write to, and the
// keys that IDs are held to.
type Directory struct {
	engine    *Engine
	mu        sync.Mutex
	present   map[certs.ID]presence
	met       map[certs.ID]Contact
	pins      map[certs.ID]*pin
	manyPins  bool // the log has said so
	receivers map[certs.ID]*receiver
	out       map[removed]bool // of this private network, for good
	absent    int              // receivers that are not here
	guess     guess            // the last for an ID that was not met
	leaving   bool             // no more messages are accepted

	idle chan struct{} // an outbox has become empty, or its receiver has gone
}

// presence is that of a peer that has an ID now.
type presence struct {
	key   certs.PublicKey
	since time.Time
}

func (d *Directory) init(e *Engine, met []Contact) {
	d.engine = e
	d.present = make(map[certs.ID]presence)
	d.met = make(map[certs.ID]Contact)
	d.pins = make(map[certs.ID]*pin)
	d.receivers = make(map[certs.ID]*receiver)
	d.idle = make(chan struct{}, 1)
	for _, c := range met {
		d.met[c.ID] = c
	}
}

// put enters a receiver. d.mu is held.
func (d *Directory) put(r *receiver, present bool) {
	d.receivers[r.to] = r
	if !present {
		d.absent++
	}
}

// forget makes room for another receiver by forgetting absent ones for which nothing waits.
func (d *Directory) forget(r *receiver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, present := d.present[r.to]; present || d.receivers[r.to] != r || !r.discard() {
		return
	}
	delete(d.receivers, r.to)
	d.absent--
}

// existing is the receiver of an ID, nil if there is none.
func (d *Directory) existing(to certs.ID) *receiver {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.receivers[to]
}

func (d *Directory) all() []*receiver {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*receiver, 0, len(d.receivers))
	for _, r := range d.receivers {
		list = append(list, r)
	}
	return list
}

func (d *Directory) isLeaving() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leaving
}

// noteIdle wakes AwaitReceipts.
func (d *Directory) noteIdle() {
	select {
	case d.idle <- struct{}{}:
	default:
	}
}

// Met is what Meet has changed.
type Met struct {
	New       bool     // the peer is remembered, and was not, or was another
	Forgotten certs.ID // a peer forgotten in its place; empty: none
}

// Meet remembers a peer that has joined. If it is new the last place of a link to it is
// forgotten.
func (d *Directory) Meet(c Contact) (m Met) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.met[c.ID]; was.Key == c.Key && was.Sealing == c.Sealing && was.TextOnly == c.TextOnly || c.Visitor && len(d.met) >= maxMet {
		return m
	}
	if len(d.met) >= maxMet {
		if id, ok := d.forgettable(); ok {
			delete(d.met, id)
			m.Forgotten = id
		}
	}
	d.met[c.ID] = c
	if p := d.pins[c.ID]; p != nil && p.key == c.Key && p.sealing != c.Sealing {
		p.sealing = c.Sealing
		d.storePin(c.ID)
	}
	m.New = true
	return m
}

// Reach remembers where the link to a peer stands; false says that it was there already, or
// that the peer was not met.
func (d *Directory) Reach(id certs.ID, key certs.PublicKey, where Reached) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.met[id]
	if !ok || c.Key != key || c.Reached.Epoch == where.Epoch && c.Reached.Address == where.Address {
		return false
	}
	c.Reached = where
	d.met[id] = c
	return true
}

// Holder is the ID of the peer with a key that is here; empty: none is.
func (d *Directory) Holder(key certs.PublicKey) certs.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, p := range d.present {
		if p.key == key {
			return id
		}
	}
	return ""
}

// forgettable returns a peer that was met and is not here, if one is found soon. When nearly
// all are here, a few more than maxMet may be kept. d.mu is held.
func (d *Directory) forgettable() (certs.ID, bool) {
	seen := 0
	for id := range d.met {
		if _, here := d.present[id]; !here {
			return id, true
		}
		if seen++; seen == metSeen {
			break
		}
	}
	return "", false
}

// onTheirWay says that messages to peers that are here have no receipt.
func (d *Directory) onTheirWay() bool {
	for _, r := range d.all() {
		if count, present := r.count(); count > 0 && present {
			return true
		}
	}
	return false
}
