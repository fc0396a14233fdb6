package files

import (
	"errors"
	"time"
)

// progressEvery is how far apart two events Progress of a transfer and a peer are.
const progressEvery = time.Second

// begins: a receiver is sent the contents from an offset on.
func (o *serving) begins(offset int64) {
	t := o.transfer
	o.mu.Lock()
	defer o.mu.Unlock()
	r := t.receiverOf(o.asker)
	if r.meter == nil {
		r.meter = &meter{}
	}
	r.streams++
	if t.Relayed = o.asker.carried; !r.State.Over() { // one that has all, and asks again, has all
		r.State, r.Bytes = StateActive, offset
	}
}

// gets: it was sent so many bytes more. False: the offer does not stand any more.
func (o *serving) gets(bytes int) bool {
	t := o.transfer
	now := time.Now()
	o.mu.Lock()
	r := t.receiverOf(o.asker)
	stands := !t.State.Over()
	counts := !r.State.Over()
	if o.moved = true; counts {
		r.Bytes += int64(bytes)
	}
	r.meter.add(int64(bytes), now)
	due := now.Sub(r.shown) >= progressEvery && r.meter.perSecond(now) > 0
	if due {
		r.shown = now
	}
	e := Progress{
		File: t.File, Ours: true, Peer: r.ID, Name: t.Offer.Name, Bytes: r.Bytes, Of: t.Offer.Size, Rate: r.meter.perSecond(now),
		Left: r.meter.left(t.Offer.Size-r.Bytes, now), How: t.how(), Ref: t.Ref,
	}
	o.mu.Unlock()
	if due && stands && counts {
		o.tell(e)
	}
	return stands
}

// pauses: a stream to it has ended, and it may come again.
func (o *serving) pauses() {
	t := o.transfer
	o.mu.Lock()
	r := t.receiverOf(o.asker)
	if r.streams--; r.streams == 0 && r.State == StateActive {
		r.State = StateWaiting
	}
	o.mu.Unlock()
	if o.moved {
		t.keep()
	}
}

// ends: it has all, or wants no more. An offer to one peer is over with that.
func (o *serving) ends(how State) {
	t := o.transfer
	o.mu.Lock()
	r := t.receiverOf(o.asker)
	if r.State.Over() {
		o.mu.Unlock()
		return
	}
	r.State = how
	if how == StateDone {
		r.Bytes = t.Offer.Size
	}
	if !isWide(t.To) {
		t.State, t.Ended = how, time.Now()
	}
	done := Done{File: t.File, Peer: r.ID, Name: t.Offer.Name, Bytes: t.Offer.Size, Ref: t.Ref}
	ended := Ended{File: t.File, Peer: r.ID, Name: t.Offer.Name, Error: "declined", Cancelled: true, Ref: t.Ref}
	o.mu.Unlock()
	t.over()
	if how == StateDone {
		o.tell(done)
	} else {
		o.tell(ended)
	}
}

// fails: what is sent can't be read; one that has changed ends the offer.
func (o *serving) fails(why error) {
	o.log.Warn("files can't be sent", "file", o.transfer.File, "to", string(o.asker.id), "error", why)
	if errors.Is(why, errChanged) {
		o.transfer.fail(why.Error())
	}
}
