package core

import (
	"bytes"
	"cmp"
	"math"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Bounds of the table, guesses unless said otherwise.
const (
	maxKeysPerID = 4
	maxEntries   = 100_000 // above, the full table itself is the wrong design
)

// isStranger reports whether we never had a link to a peer: then no NAT of ours has a hole left
// that it could come through.
func (t *table) isStranger(id certs.ID, key certs.PublicKey) bool {
	e := t.get(id, key)
	return e == nil || e.our().lastAddress == ""
}

// table holds the entries in the order of (tag, ID, key). No map is ever ranged over, so that a
// run repeats by its seed.
type table struct {
	*env
	self         *entry        // our own
	missingSince time.Duration // when all were last found missing
	lost         []*entry      // called lost, or missing: some are redialled
	tags         []uint64      // of the entries, for the search
	entries      []*entry
	gone         int       // entries that are buried
	left         []goodbye // those of them that have left, see firstLeft
	tombstones   tombstones
	hash         []byte // the digest, nil when it has to be computed
}

// find returns where the entry is, or would be.
func (t *table) find(tag uint64, id certs.ID, key certs.PublicKey) (int, bool) {
	i, _ := slices.BinarySearch(t.tags, tag)
	for ; i < len(t.tags) && t.tags[i] == tag; i++ {
		r := t.entries[i].record
		if order := cmp.Or(cmp.Compare(r.ID, id), bytes.Compare(r.Key[:], key[:])); order >= 0 {
			return i, order == 0
		}
	}
	return i, false
}

func (t *table) insert(e *entry) {
	i, _ := t.find(e.record.tag, e.record.ID, e.record.Key)
	t.tags = slices.Insert(t.tags, i, e.record.tag)
	t.entries = slices.Insert(t.entries, i, e)
	t.noteBuried(e)
	t.changed()
}

// noteBuried counts an entry that has just been buried.
func (t *table) noteBuried(e *entry) {
	if e.buried() {
		t.gone++
	}
	if e.state == pb.AnnouncementType_LEAVE {
		t.noteLeft(e)
	}
}

// load fills an empty table.
func (t *table) load(records []*Record, now time.Duration) {
	slab := make([]entry, len(records))
	for i, r := range records {
		slab[i] = entry{record: r, shown: r, seen: r.Epoch, state: pb.AnnouncementType_JOIN, said: now}
		slab[i].forgetRoutes()
		t.entries = append(t.entries, &slab[i])
	}
	slices.SortFunc(t.entries, func(a, b *entry) int { return compareNames(a.record, b.record) })
	for _, e := range t.entries {
		t.tags = append(t.tags, e.record.tag)
	}
}

func (t *table) remove(e *entry) {
	if i, ok := t.find(e.record.tag, e.record.ID, e.record.Key); ok {
		t.tags = slices.Delete(t.tags, i, i+1)
		t.entries = slices.Delete(t.entries, i, i+1)
		if e.buried() {
			t.gone--
		}
		t.changed()
	}
}

// set changes the record and the state of an entry.
func (t *table) set(e *entry, r *Record, state pb.AnnouncementType) {
	if e.buried() {
		t.gone--
	}
	e.record, e.state, e.missing = r, state, false
	t.noteBuried(e)
	t.changed()
}

func (t *table) get(id certs.ID, key certs.PublicKey) *entry { return t.lookup(tagOf(id), id, key) }

func (t *table) lookup(tag uint64, id certs.ID, key certs.PublicKey) *entry {
	i, ok := t.find(tag, id, key)
	if !ok {
		return nil
	}
	return t.entries[i]
}

// of returns the entries of an ID.
func (t *table) of(id certs.ID) []*entry {
	i, _ := t.find(tagOf(id), id, certs.PublicKey{})
	n := i
	for n < len(t.entries) && t.entries[n].record.ID == id {
		n++
	}
	return t.entries[i:n]
}

// named returns the entries with the short tag, as a rule one.
func (t *table) named(short uint32) []*entry {
	i, _ := slices.BinarySearch(t.tags, uint64(short)<<32)
	n := i
	for n < len(t.tags) && shortTag(t.tags[n]) == short {
		n++
	}
	return t.entries[i:n]
}

// in returns the entries with the tags from the first to the last.
func (t *table) in(first, last uint64) []*entry {
	from, _ := slices.BinarySearch(t.tags, first)
	to := len(t.tags)
	if last < math.MaxUint64 {
		to, _ = slices.BinarySearch(t.tags, last+1)
	}
	return t.entries[from:to]
}

// owner is the owner of an ID: among its living entries the one with the smallest (epoch, key),
// nil without any. A suspect, which can still refute, counts as living, so that a LOST of a peer
// does not make room for another.
func (t *table) owner(id certs.ID, now time.Duration) *entry {
	var best *entry
	for _, e := range t.of(id) {
		if !e.alive() && !e.suspect(now) {
			continue
		}
		if best == nil || e.older(best) {
			best = e
		}
	}
	return best
}

// shown is the entry of an ID that the user is shown as here.
func (t *table) shown(id certs.ID) *entry {
	for _, e := range t.of(id) {
		if e.shown != nil {
			return e
		}
	}
	return nil
}

// changed has to be called when the version of an entry has changed.
func (t *table) changed() { t.hash = nil }

// full reports whether the table can take no more: all entries are living, or may be.
func (t *table) full(now time.Duration) bool {
	return len(t.entries) >= maxEntries && t.firstLeft() == nil && (t.gone == 0 || t.firstLost(now) == nil)
}

// room makes room for a new entry, or refuses it: the table has at most maxEntries, of an ID at
// most maxKeysPerID keys, and at most maxTombstones buried entries that we have not known in
// life. A living peer displaces a buried one, first those that have left, then the lost; where an
// ID has too many keys, else a younger peer. A buried peer that was displaced does not come back
// with the same epoch, or news of the living and the buried would chase each other round the
// network for ever. A refused entry is not passed on either, so that a flood of them ends.
func (t *table) room(r *Record, state pb.AnnouncementType, self *entry, now time.Duration) (evicted *entry, ok bool) {
	buried := state != pb.AnnouncementType_JOIN
	if list := t.of(r.ID); len(list) >= maxKeysPerID {
		return keyRoom(list, r, state, self, now)
	}
	switch full := len(t.entries) >= maxEntries; {
	case !full && (!buried || t.gone < maxTombstones):
		return nil, true
	case full && buried:
		return nil, false
	}
	if evicted = t.firstLeft(); evicted == nil && !buried && t.gone > 0 {
		evicted = t.firstLost(now)
	}
	return evicted, evicted != nil
}

// keyRoom is room for one more key of an ID that has as many as allowed.
func keyRoom(list []*entry, r *Record, state pb.AnnouncementType, self *entry, now time.Duration) (evicted *entry, ok bool) {
	if state != pb.AnnouncementType_JOIN {
		return nil, false
	}
	for _, f := range list {
		if !f.alive() && !f.suspect(now) && (evicted == nil || f.expendable(evicted)) {
			evicted = f
		}
	}
	if evicted != nil {
		return evicted, true
	}
	newcomer := &entry{record: r, state: state}
	evicted = newcomer
	for _, f := range list {
		if f != self && f.alive() && evicted.older(f) {
			evicted = f
		}
	}
	return evicted, evicted != newcomer
}

// found takes a peer off the missing.
func (t *table) found(e *entry) {
	if e.missing {
		e.missing = false
		t.changed()
		t.happen(foundAgain{e})
	}
}

// isHere reports whether the user is shown the peer as here.
func (t *table) isHere(id certs.ID, key certs.PublicKey) bool { return t.shownEpoch(id, key) != 0 }

// shownEpoch is the run of a peer that the user is shown as here, 0 if none.
func (t *table) shownEpoch(id certs.ID, key certs.PublicKey) uint64 {
	if e := t.get(id, key); e != nil && e.shown != nil {
		return e.shown.Epoch
	}
	return 0
}

// pick returns a random entry that meets the condition, nil if none does. If few do, those behind
// a gap are a little more likely.
func (t *table) pick(ok func(*entry) bool) *entry {
	n := len(t.entries)
	for range min(n, 16) {
		if e := t.entries[t.cfg.Rand.IntN(n)]; ok(e) {
			return e
		}
	}
	start := t.cfg.Rand.IntN(max(n, 1))
	for i := range n {
		if e := t.entries[(start+i)%n]; ok(e) {
			return e
		}
	}
	return nil
}

// isMember reports whether the peer is in our network already, or is ourselves.
func (t *table) isMember(id certs.ID, fingerprint string) bool {
	return slices.ContainsFunc(t.of(id), func(e *entry) bool { return e.alive() && e.record.Key.String() == fingerprint })
}

// noteLeft queues the entry of a peer that has left, to be dropped in time: goodbyes are kept in
// the order in which they were said, and arrive nearly so.
func (t *table) noteLeft(e *entry) {
	i := len(t.left)
	for i > 0 && t.left[i-1].said > e.said {
		i--
	}
	t.left = slices.Insert(t.left, i, goodbye{e, e.said})
}

// firstLeft is the entry with the oldest goodbye, nil if none.
func (t *table) firstLeft() *entry {
	for ; len(t.left) > 0; t.left = t.left[1:] {
		g := t.left[0]
		if e := g.entry; e.state == pb.AnnouncementType_LEAVE && e.said == g.said && t.lookup(e.record.tag, e.record.ID, e.record.Key) == e {
			return e
		}
	}
	return nil
}

// firstLost is the entry that was lost the longest, nil if none is, or all may still refute.
func (t *table) firstLost(now time.Duration) *entry {
	var first *entry
	for _, e := range t.entries {
		if e.state == pb.AnnouncementType_LOST && !e.suspect(now) && (first == nil || e.said < first.said) {
			first = e
		}
	}
	return first
}

// addGone records a lost or missing peer.
func (t *table) addGone(e *entry) {
	if (e.state == pb.AnnouncementType_LOST || e.missing) && !slices.Contains(t.lost, e) {
		t.lost = append(t.lost, e)
	}
}

// foundAgain: a peer that was missing is here.
type foundAgain struct{ entry *entry }
