package messaging

import (
	"fmt"
	"time"

	"quicpeer/certs"
)

// Pins as the user sees and changes them.

// NameOf is what another peer with a key that claims an ID is called: while somebody else has that here, or
// it is our own, it is a longer name.
func (d *Directory) NameOf(id certs.ID, key certs.PublicKey) certs.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, here := d.present[id]; here && p.key != key || id == d.engine.cfg.ID && key != d.engine.cfg.Identity.Key() {
		return certs.Alias(id, key)
	}
	return id
}

// IsNewKey says that an ID is held to another key than this one.
func (d *Directory) IsNewKey(id certs.ID, key certs.PublicKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pins[id]
	return p != nil && p.key != key
}

// Known is what is known of an ID.
type Known struct {
	Key      certs.PublicKey // under which it is here, or was last
	Here     time.Time       // since when it is; zero: it is not
	Pin      certs.PublicKey // that it is held to; zero: to none
	Pinned   time.Time       // since when
	Verified bool            // the user has compared the safety number of the pin
}

// Known returns what is known of an ID; the error says that it is not.
func (d *Directory) Known(id certs.ID) (k Known, err error) {
	d.mu.Lock()
	c, _ := d.forWhom(id)
	there := d.present[id]
	k.Key, k.Here = c.Key, there.since
	if key, other := d.otherKey(id); other {
		k.Key = key
	}
	if p := d.pins[id]; p != nil {
		k.Pin, k.Pinned, k.Verified = p.key, p.since, p.verified
	}
	d.mu.Unlock()
	if (k.Key == certs.PublicKey{}) {
		return k, fmt.Errorf("%s", d.whyAway(id))
	}
	return k, nil
}

// Verify notes that the user has compared the safety number of a key.
func (d *Directory) Verify(id certs.ID, key certs.PublicKey) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, _ := d.forWhom(id)
	if _, other := d.otherKey(id); other {
		return fmt.Errorf("%s; /trust %s goes on with it, and then it can be verified", hasAnotherKey(id), id)
	}
	if c.Key != key {
		return fmt.Errorf("%s has another key than the one of that safety number; compare again", id)
	}
	c.Visitor = false // the user knows
	if !d.hold(c, true) {
		return ErrManyPins
	}
	d.pins[id].verified = true
	d.storePin(id)
	return nil
}

// Trust goes on with the key under which an ID has come last: what waits is for that one now.
func (d *Directory) Trust(id certs.ID) error {
	if err := d.trust(id); err != nil {
		return err
	}
	d.engine.cfg.Wish(WithdrawWish{To: id}) // what was sealed to the key before
	d.engine.cfg.Wish(LinkWish{id})
	return nil
}

func (d *Directory) trust(id certs.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, other := d.otherKey(id)
	if !other {
		return fmt.Errorf("%s has no other key than before", id)
	}
	p := &pin{key: key, since: time.Now()}
	if c := d.met[id]; c.Key == key {
		p.sealing = c.Sealing
	}
	d.pins[id] = p
	d.storePin(id)
	d.address(id)
	return nil
}

// Forget lets go of the key that an ID is held to.
func (d *Directory) Forget(id certs.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pins[id] == nil {
		return fmt.Errorf("%s is not pinned", id)
	}
	if r := d.receivers[id]; r != nil {
		if n, _ := r.count(); n > 0 {
			return fmt.Errorf("messages wait for %s, and would go to whoever comes with that ID: cancel them first", id)
		}
	}
	delete(d.pins, id)
	d.manyPins = false
	d.storePin(id)
	d.address(id)
	return nil
}
