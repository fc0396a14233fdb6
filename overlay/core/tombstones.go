package core

import (
	"quicpeer/certs"
	"time"
)

// Whoever comes and goes leaves little behind. A LEAVE stands in the tables for
// rememberLeft, long enough for everybody to hear of it. Then those who have heard it keep
// a few bytes that nobody is told: which run of which peer is over. By these they know old
// news of it, be it brought by somebody who was stopped for hours, and neither take nor
// pass it on; who came later hears the old news from nobody but such a one, and that one
// asks others first whether those it knew are still here (see unsure).

const (
	// rememberLeft is twice as long as broadcasts can be caught up on (memoryFor), so
	// whoever is told what somebody said also hears that it has left. A guess otherwise.
	rememberLeft = 10 * time.Minute
	// maxForgotten runs: at 40 bytes each some 3 MB, and a day of one goodbye each second
	// and a half. A guess.
	maxForgotten = 65_536
	// sureAfter is how long somebody who was away asks others (a guess: a comparison of
	// tables takes two round trips, a new link first some more).
	sureAfter = 5 * time.Second
)

// forgotten is which runs are over, of peers that the table holds no more.
type tombstones struct {
	epochs map[uint64]uint64 // of the last such run, by the hash of (ID, key)
	ring   []tombstone       // in the order in which they came
	next   int               // place in the ring, once it is full
}

type tombstone struct{ name, epoch uint64 }

func nameOf(id certs.ID, key certs.PublicKey) uint64 {
	return hash64(append(append([]byte(id), 0), key[:]...))
}

func (t *tombstones) add(r *Record) {
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

// over returns the last run of the peer that is known to be over, 0 if none is.
func (t *tombstones) over(id certs.ID, key certs.PublicKey) (epoch uint64) {
	if len(t.epochs) == 0 {
		return 0
	}
	return t.epochs[nameOf(id, key)]
}

// covers says that a record is of a run that is over.
func (t *tombstones) covers(r *Record) bool {
	last := t.over(r.ID, r.Key)
	return last > 0 && r.Epoch <= last
}

// goodbye is an entry that was buried by a LEAVE, and when that was said. If the entry
// says something else by now it means nothing any more.
type goodbye struct {
	entry *entry
	said  time.Duration
}
