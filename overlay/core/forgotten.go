package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
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
type forgotten struct {
	epochs map[uint64]uint64 // of the last such run, by the hash of (ID, key)
	ring   []endedRun        // in the order in which they came
	next   int               // place in the ring, once it is full
}

type endedRun struct{ name, epoch uint64 }

func nameOf(id certs.ID, key certs.PublicKey) uint64 {
	return hash64(append(append([]byte(id), 0), key[:]...))
}

func (f *forgotten) add(r *Record) {
	if f.epochs == nil {
		f.epochs = make(map[uint64]uint64)
	}
	run := endedRun{nameOf(r.ID, r.Key), r.Epoch}
	if len(f.ring) < maxForgotten {
		f.ring = append(f.ring, run)
	} else {
		if old := f.ring[f.next]; f.epochs[old.name] == old.epoch {
			delete(f.epochs, old.name)
		}
		f.ring[f.next] = run
		f.next = (f.next + 1) % maxForgotten
	}
	f.epochs[run.name] = max(f.epochs[run.name], run.epoch)
}

// over returns the last run of the peer that is known to be over, 0 if none is.
func (f *forgotten) over(id certs.ID, key certs.PublicKey) (epoch uint64) {
	if len(f.epochs) == 0 {
		return 0
	}
	return f.epochs[nameOf(id, key)]
}

// covers says that a record is of a run that is over.
func (f *forgotten) covers(r *Record) bool {
	last := f.over(r.ID, r.Key)
	return last > 0 && r.Epoch <= last
}

// goodbye is an entry that was buried by a LEAVE, and when that was said. If the entry
// says something else by now it means nothing any more.
type goodbye struct {
	entry *entry
	said  time.Duration
}

// noteLeft remembers when the entry is to be forgotten: goodbyes are kept in the order in
// which they were said, and come nearly so.
func (t *table) noteLeft(e *entry) {
	i := len(t.left)
	for i > 0 && t.left[i-1].said > e.said {
		i--
	}
	t.left = slices.Insert(t.left, i, goodbye{e, e.said})
}

// firstLeft is the entry whose goodbye is the oldest, nil if there is none.
func (t *table) firstLeft() *entry {
	for ; len(t.left) > 0; t.left = t.left[1:] {
		g := t.left[0]
		if e := g.entry; e.state == pb.AnnouncementType_LEAVE && e.said == g.said && t.lookup(e.record.tag, e.record.ID, e.record.Key) == e {
			return e
		}
	}
	return nil
}

// firstLost is who was lost the longest, nil if nobody is, or all may still refute.
func (t *table) firstLost(now time.Duration) *entry {
	var first *entry
	for _, e := range t.entries {
		if e.state == pb.AnnouncementType_LOST && !e.suspect(now) && (first == nil || e.said < first.said) {
			first = e
		}
	}
	return first
}

// roll merges what is heard into the table, and drops what is over.
type roll struct {
	*env
	table      *table
	links      *links
	gossip     *gossip
	reach      *reach
	broadcasts *broadcasts
	inquiries  *inquiries
	join       *joiner
	own        *own
	view       *view
	nextForget time.Duration
}

// forgetLeft forgets those who have left, in time or when there are too many.
func (ro *roll) forgetLeft() {
	for e := ro.table.firstLeft(); e != nil && e != ro.table.self; e = ro.table.firstLeft() {
		if ro.now-e.said < rememberLeft && len(ro.table.left) <= maxTombstones {
			return
		}
		shown := e.shown != nil
		ro.evict(e)
		if shown {
			ro.view.refresh(e.record.ID) // another key of the ID may live
		}
	}
}

// evict takes an entry out of the table. A run that is over does not come back; a guest may,
// and of it nobody else could know.
func (ro *roll) evict(e *entry) {
	ro.table.remove(e)
	if !e.alive() && !e.isGuest() {
		ro.table.forgotten.add(e.record)
		ro.join.rememberGone(e.record, e.our().lastAddress)
	}
	ro.links.detach(e)
	if e.shown != nil {
		ro.broadcasts.showGone(e)
	}
}

// unsure is for somebody who was away for so long that others may have forgotten who has
// left meanwhile: what it holds of others it tells nobody until another says it too. To its
// own user those are gone whom nobody has named in time.
func (v *view) unsure() {
	v.note(Debug, "away for long: asking others who is still here")
	for _, e := range v.table.entries {
		if e != v.table.self && e.alive() {
			e.missing = true
			v.table.addGone(e)
		}
	}
	v.table.changed()
	v.table.missingSince, v.unsureTill = v.now, v.now+sureAfter
}

// becomeSure ends that.
func (v *view) becomeSure() {
	if v.unsureTill != 0 && v.now >= v.unsureTill {
		v.unsureTill = 0
		v.showMissing()
	}
}

// showMissing shows those who are missing as gone.
func (v *view) showMissing() {
	for _, e := range slices.Clone(v.table.entries) {
		if e.missing && e.shown != nil {
			v.refresh(e.record.ID)
		}
	}
}
