package messaging

import (
	"fmt"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Members is what an engine has to know of a private network. Its functions may be called from any
// goroutine.
type Members struct {
	Own   func() *pb.Pass                                             // of this peer, which its letters carry
	Admit func(id certs.ID, key certs.PublicKey, pass *pb.Pass) error // judges what the author of a letter shows
}

// removed names a key that is out, with the ID that it had.
type removed struct {
	id  certs.ID
	key certs.PublicKey
}

// Expel ends all dealings with a key that is out of this private network: what waits for it fails,
// and the peer is forgotten; true says that it was known. Its pin stays, so that another key that is
// given its ID is noticed. It is called on the loop, after Ready.
func (d *Directory) Expel(id certs.ID, key certs.PublicKey) (known bool) {
	d.mu.Lock()
	if d.out == nil {
		d.out = make(map[removed]bool)
	}
	d.out[removed{id, key}] = true
	d.mu.Unlock()
	if r := d.existing(id); r != nil {
		r.giveUp(key, string(id)+" was removed from the network")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.met[id]; !ok || c.Key != key {
		return false
	}
	delete(d.met, id)
	return true
}

// Readmit ends Expel: the removal counts no more.
func (d *Directory) Readmit(id certs.ID, key certs.PublicKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.out, removed{id, key})
}

// mayWrite refuses messages for a key that will never take them. d.mu is held.
func (d *Directory) mayWrite(id certs.ID) error {
	if p := d.pins[id]; p == nil || !d.out[removed{id, p.key}] {
		return nil
	}
	return fmt.Errorf("%s was removed from the network: /forget %s, or /trust %s if it is here with another key, to write to whoever has that ID now", id, id, id)
}

// giveUp ends all messages to a key, which will never take them.
func (r *receiver) giveUp(key certs.PublicKey, why string) {
	r.mu.Lock()
	if r.key != key {
		r.mu.Unlock()
		return
	}
	var ends []item
	for _, m := range r.box.All() {
		ends = r.settle(ends, m.Position, delivery.Receipt{Refused: true, Final: true, Reason: why}, r.engine.now())
	}
	r.settled(ends)
}
