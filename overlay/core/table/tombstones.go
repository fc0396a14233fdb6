package table

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
)

// How long statements hold, and how many tombstones there are at most, guesses unless said
// otherwise.
const (
	Lease         = 24 * time.Hour // a JOIN that is not renewed
	RememberFor   = 25 * time.Hour // of a lost peer: longer than the lease of the JOIN that is buried
	MaxTombstones = 16_384         // buried entries that we have not known in life; those who have left
	MaxRemovals   = 16_384         // from a private network, which are never forgotten
)

// Peers that come and go leave little behind. A LEAVE stays in the tables for RememberLeft, long
// enough for everybody to hear of it. Afterwards those that heard it keep a tombstone of a few
// bytes, told to nobody: which run of which peer is over. By it they recognize old news of that
// run, perhaps from a peer that was stopped for hours, and neither take it nor pass it on. Later
// newcomers hear the old news from such a peer only, and that one first asks others whether the
// peers it knew are still here (see unsure).

const (
	// RememberLeft is twice as long as broadcasts can be caught up on (MemoryFor), so a peer that
	// gets somebody's broadcasts also hears that the author has left. A guess otherwise.
	RememberLeft = 10 * time.Minute
	// maxForgotten is how many tombstones are kept: at 40 bytes each some 3 MB, and a day of one
	// goodbye each second and a half. A guess.
	maxForgotten = 65_536
	// SureAfter is how long a peer that was away asks others (a guess: a comparison of tables
	// takes two round trips, a new link first some more).
	SureAfter = 5 * time.Second
)

// Tombstones are the runs that are over, of peers that the table holds no more.
type Tombstones struct {
	epochs map[uint64]uint64 // of the last such run of each peer, by the hash of (ID, key)
	ring   []tombstone       // in the order in which they came
	next   int               // place in the ring, once it is full
}

type tombstone struct{ name, epoch uint64 }

func nameOf(id certs.ID, key certs.PublicKey) uint64 {
	return base.Hash64(append(append([]byte(id), 0), key[:]...))
}

func (t *Tombstones) Add(r *base.Record) {
	if t.epochs == nil {
		t.epochs = make(map[uint64]uint64)
	}
	run := tombstone{nameOf(r.ID, r.Key), r.Epoch}
	if len(t.ring) < maxForgotten {
		t.ring = append(t.ring, run)
	} else {
		if old := t.ring[t.next]; t.epochs[old.name] == old.epoch {
			delete(t.epochs, old.name)
		}
		t.ring[t.next] = run
		t.next = (t.next + 1) % maxForgotten
	}
	t.epochs[run.name] = max(t.epochs[run.name], run.epoch)
}

// Over returns the last run of the peer known to be over, 0 if none.
func (t *Tombstones) Over(id certs.ID, key certs.PublicKey) (epoch uint64) {
	if len(t.epochs) == 0 {
		return 0
	}
	return t.epochs[nameOf(id, key)]
}

// Covers reports whether a record belongs to a run that is over.
func (t *Tombstones) Covers(r *base.Record) bool {
	last := t.Over(r.ID, r.Key)
	return last > 0 && r.Epoch <= last
}

// goodbye is an entry buried by a LEAVE, and when that was said. It means nothing any more once
// the entry says something else.
type goodbye struct {
	entry *Entry
	said  time.Duration
}
