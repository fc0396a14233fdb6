package messaging

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Pins: an ID is held to the key of the peer that we have written with, as ssh holds a host to
// its key (StrictHostKeyChecking accept-new). A peer that comes with the ID under another key gets
// nothing of what is written to it until the user says so: that waits, as if nobody were here. All
// that such a peer writes is shown, and marked.
//
// A pin is made when a message to a peer that is here, or was met, is accepted; when a message
// has its receipt; when one from the peer was shown; and when the user has verified the key. So
// what waits for an ID that was never met goes to the first that comes with it.
//
// The table knows nothing of pins: to whom an ID belongs is settled anew in each run, by who comes first.

const (
	maxPins = 4096
	// pinsForOurs are places for those we have written to or have verified alone, so that
	// strangers who write to us don't take all.
	pinsForOurs = 1024
	// maxOthers is how many keys of others are remembered for an ID, so that each is told once.
	maxOthers = 8
)

// pin is the key that an ID is held to.
type pin struct {
	key      certs.PublicKey
	sealing  certs.SealingKey // of its peer; zero: it is not known
	since    time.Time
	verified bool
	others   []certs.PublicKey // under which the ID has come since, as the program was told
}

// forWhom says which peer the messages to an ID are for, and whether it is here. This alone
// decides to whom they may go: the receiver's lanes know no other key than the one it is told
// by address. d.mu is held.
func (d *Directory) forWhom(id certs.ID) (c Contact, here bool) {
	c = d.met[id]
	there, present := d.present[id]
	switch p := d.pins[id]; {
	case p != nil && c.Key != p.key:
		c = Contact{ID: id, Key: p.key, Sealing: p.sealing}
	case p == nil && present && c.Key != there.key:
		c = Contact{ID: id, Key: there.key} // it was gone again when its record was looked at
	}
	return c, present && c.Key == there.key
}

// address tells the receiver of an ID for whom its messages are, and whether that peer is here.
// d.mu is held.
func (d *Directory) address(id certs.ID) {
	r := d.receivers[id]
	if r == nil {
		return
	}
	away := hasLeft
	if _, present := d.present[id]; present {
		away = hasAnotherKey(id)
	}
	c, here := d.forWhom(id)
	r.setPresent(c, here, away)
}

// setPresent notes for whom the messages are, and whether that peer is in the table or, if it
// isn't, why not.
func (r *receiver) setPresent(c Contact, here bool, away string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Key == (certs.PublicKey{}) {
		c.Key, c.Sealing, c.TextOnly = r.key, r.sealing, r.textOnly // it was forgotten meanwhile
	}
	another := r.key != c.Key
	r.present, r.key, r.sealing, r.textOnly, r.away = here, c.Key, c.Sealing, c.TextOnly, away
	r.notify()
	if another {
		r.box.Rewind(delivery.Relayed) // those on their way go to the previous owner of the ID
	}
	if another || here {
		r.left.full = false
		r.box.Rewind(delivery.Left)
	}
	if here {
		if r.textOnly {
			r.refuseData()
		}
		return
	}
	r.relayed.end()
	if r.direct.link == nil {
		r.tellAllWait(away)
	}
	r.engine.custodian.look()
}

func hasAnotherKey(id certs.ID) string { return string(id) + " has another key than before" }

// otherKey is the key under which an ID is here, or was last, if it is held to another one.
// d.mu is held.
func (d *Directory) otherKey(id certs.ID) (key certs.PublicKey, ok bool) {
	p := d.pins[id]
	if p == nil {
		return key, false
	}
	key = d.met[id].Key
	if there, present := d.present[id]; present {
		key = there.key
	}
	return key, key != p.key && key != certs.PublicKey{}
}

// changed is the event that an ID is here under another key than before, once for each key. It
// is on disk when the program has had it. d.mu is held.
func (d *Directory) changed(id certs.ID) []item {
	key, other := d.otherKey(id)
	_, present := d.present[id]
	p := d.pins[id]
	if !other || !present || slices.Contains(p.others, key) {
		return nil
	}
	p.others = append(p.others[max(0, len(p.others)-maxOthers+1):], key)
	return []item{{event: KeyChanged{id, p.key, key}}}
}

// toldOf notes that the program has had the event that an ID has another key.
func (d *Directory) toldOf(id certs.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.storePin(id)
}

// exchanged notes that a message has passed between us and a peer; it was ours, or theirs.
func (d *Directory) exchanged(id certs.ID, key certs.PublicKey, ours bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pins[id] != nil {
		return // nearly always
	}
	c := d.met[id]
	if c.Key != key {
		c = Contact{ID: id, Key: key}
	}
	d.hold(c, ours)
}

// hold pins a peer, unless its ID is held to a key. A visitor keeps no key, and so is not
// pinned. False: too many are pinned. d.mu is held.
func (d *Directory) hold(c Contact, ours bool) bool {
	most := maxPins
	if !ours {
		most -= pinsForOurs
	}
	switch {
	case d.pins[c.ID] != nil || c.Visitor || c.Key == certs.PublicKey{}:
		return true
	case len(d.pins) >= most:
		if !d.manyPins {
			d.manyPins = true
			d.engine.log.Warn("too many peers are pinned: messages to others go to whoever has their ID; /forget ID makes room", "peer", string(c.ID), "pinned", len(d.pins))
		}
		return false
	}
	d.pins[c.ID] = &pin{key: c.Key, sealing: c.Sealing, since: time.Now()}
	d.storePin(c.ID)
	d.address(c.ID)
	d.engine.events.pushAll(d.changed(c.ID))
	return true
}

// holdAddressee pins the peer that messages to an ID are for, if one is known. d.mu is held.
func (d *Directory) holdAddressee(id certs.ID) {
	c, _ := d.forWhom(id)
	d.hold(c, true)
}

// mayBe says whether the author of a letter may be the peer of its ID: not while another peer is
// here with it, nor if another one was met. d.mu is not held.
func (d *Directory) mayBe(id certs.ID, key certs.PublicKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, c := d.pins[id], d.met[id]
	there, present := d.present[id]
	switch {
	case p != nil && p.key == key:
		return true
	case present:
		return there.key == key
	case p != nil:
		return slices.Contains(p.others, key)
	}
	return c.Key == key || c.Key == certs.PublicKey{}
}

// storePin stores the pin of an ID, or that there is none. d.mu is held.
func (d *Directory) storePin(id certs.ID) {
	op := store.Op{Bucket: store.Pins, Key: []byte(id)}
	if p := d.pins[id]; p != nil {
		op.Value = p.packed()
	}
	d.engine.disk.Write(nil, op)
}

// packed is the pin as it is stored.
func (p *pin) packed() []byte {
	s := &pb.StoredPin{Key: p.key[:], SealingKey: p.sealing[:], Since: p.since.UnixNano(), Verified: p.verified}
	for _, key := range p.others {
		s.Others = append(s.Others, key[:])
	}
	value, err := proto.Marshal(s)
	if err != nil {
		panic("messaging: a pin that can't be encoded: " + err.Error())
	}
	return value
}

// loadPin loads a pin of an earlier run.
func (d *Directory) loadPin(id, value []byte) error {
	s := new(pb.StoredPin)
	if err := proto.Unmarshal(value, s); err != nil {
		return damaged("pin", err)
	}
	p := &pin{since: time.Unix(0, s.GetSince()), verified: s.GetVerified()}
	if len(s.GetKey()) != len(p.key) || len(s.GetSealingKey()) != len(p.sealing) {
		return damaged("pin", fmt.Errorf("its keys have %d and %d bytes", len(s.GetKey()), len(s.GetSealingKey())))
	}
	p.key, p.sealing = certs.PublicKey(s.GetKey()), certs.SealingKey(s.GetSealingKey())
	for _, key := range s.GetOthers() {
		if len(key) != len(p.key) {
			return damaged("pin", fmt.Errorf("a key has %d bytes", len(key)))
		}
		p.others = append(p.others, certs.PublicKey(key))
	}
	d.pins[certs.ID(id)] = p
	return nil
}
