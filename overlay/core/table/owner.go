package table

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/certs"
)

// To whom an ID belongs. In a private network passes say that. In an open one anybody can make a key and
// claim any ID, since any day: so an ID belongs, for each peer, to the key that it has met first, as
// long as that is here or has not been gone for long. Other keys of the ID wait in a queue and are
// known by another name meanwhile. Messages to an ID go to the key that has it here, whatever
// others say.

const (
	// HoldsFor is how long an ID still belongs to a peer that was lost: it may have crashed, or be cut
	// off; or that has left, while others are there that claim it. A guess.
	HoldsFor = 10 * time.Minute
	// settled is how long a peer has been there that did not start at the same time as another of its ID:
	// a flood and a wait for a silent door, twice.
	settled = 20 * time.Second
	// behind is the first place of those that a door has met later than the holder of their ID.
	behind = 1 << 16
)

// queue is the place of a key among those of its ID.
type queue struct {
	place  int           // those that were met before have lower ones
	met    time.Duration // when it was queued, or its run has begun
	later  bool          // see Later
	Called certs.ID      // the name under which the user is shown the peer; empty: its ID
}

// Later marks an entry that is new to us as one that a door has met later than another key of its
// ID: a newcomer meets both at once. It is called before Insert.
func (e *Entry) Later() { e.With().later = true }

// Begins records that a run of a peer begins: if others of its ID have left before that, it may have it.
func (e *Entry) Begins(began, now time.Duration) {
	if e.Began = began; e.Side != nil {
		e.Side.met = now
	}
}

// queueUp gives a new entry its place behind others of its ID.
func (e *Entry) queueUp(behindThese []*Entry, now time.Duration) {
	last, others := -1, false
	for _, f := range behindThese {
		if place := f.Our().place; f.Our().later == e.Our().later {
			last = max(last, place)
		}
		others = true
	}
	switch {
	case e.Our().later:
		e.Side.place, e.Side.met = max(behind, last+1), now
	case others && last >= 0:
		e.With().place, e.Side.met = last+1, now
	}
}

// turn is what decides whose turn it is to have an ID.
type turn struct {
	now, missingSince time.Duration
	private           bool
}

func (t *Table) turn(now time.Duration) turn { return turn{now, t.MissingSince, t.Passes.Private()} }

// bars reports whether an entry keeps one that was met after it from their ID: while it is here, and
// for HoldsFor after it was lost or, for one that was there already, has left. It may be back. But one
// that leaves soon after its start has perhaps lost its ID to the other, see own.checkOwnID.
func (t turn) bars(e, f *Entry) bool {
	switch {
	case e.Alive() || e.Suspect(t.now):
		return true
	case t.private || e.Removed():
		return false
	case e.Missing:
		return t.now < t.missingSince+HoldsFor
	case e.Over() && (f.Our().met >= e.Said || e.Began > 0 && e.Said < e.Began+settled):
		return false
	}
	return t.now < e.Said+HoldsFor
}

func (t turn) precedes(e, f *Entry) bool {
	if t.private {
		return e.Older(f)
	}
	if order := cmp.Compare(e.Our().place, f.Our().place); order != 0 {
		return order < 0
	}
	return e.Older(f)
}

// barred reports whether one of its ID keeps an entry from it.
func (t turn) barred(f *Entry, list []*Entry) bool {
	return slices.ContainsFunc(list, func(e *Entry) bool { return e != f && t.precedes(e, f) && t.bars(e, f) })
}

// Owner is the peer to which an ID belongs and which is here; nil if there is none. A suspect, which
// can still refute, counts as here.
func (t *Table) Owner(id certs.ID, now time.Duration) *Entry {
	list, turn := t.Of(id), t.turn(now)
	for _, e := range list {
		if (e.Alive() || e.Suspect(now)) && !turn.barred(e, list) {
			return e
		}
	}
	return nil
}

// Inherits gives the ID of a peer to it for good, before all others of the ID in the list, since whoever held it has been gone for long.
func (e *Entry) Inherits(list []*Entry) {
	last := 0
	for _, f := range list {
		last = max(last, f.Our().place)
	}
	for _, f := range list {
		if f != e && (turn{}).precedes(f, e) {
			last++
			f.With().place = last
		}
	}
}

// Name is what the user is shown a peer as, if it is shown.
func (e *Entry) Name() certs.ID {
	if e.Side == nil {
		return e.Record.ID
	}
	return cmp.Or(e.Side.Called, e.Record.ID)
}

// NameOf is what a peer is to be called here: its ID, or an alias while the ID is another's.
func (t *Table) NameOf(e *Entry, now time.Duration) certs.ID {
	if e.Side != nil && e.Side.place > 0 && !t.Passes.Private() && t.turn(now).barred(e, t.Of(e.Record.ID)) {
		return certs.Alias(e.Record.ID, e.Record.Key)
	}
	return e.Record.ID // as a rule
}

// Called is the entry that the user is shown under a name as here.
func (t *Table) Called(name certs.ID) *Entry {
	for _, e := range t.Of(name.Claimed()) {
		if e.Shown != nil && e.Name() == name {
			return e
		}
	}
	return nil
}

// ByName is the peer here that a name stands for: the owner of an ID, or a claimant that is shown.
func (t *Table) ByName(name certs.ID, now time.Duration) *Entry {
	if e := t.Called(name); e != nil && e.Name() != e.Record.ID {
		return e
	}
	return t.Owner(name, now)
}
