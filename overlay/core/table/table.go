// Package table is who is known: an entry for each (ID, key), with its record, its state and our
// own dealings with it, in one order; tombstones of runs that are over; and how the table is
// described to another peer, range by range, so that the two can be made equal.
package table

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Bounds of the table, guesses unless said otherwise.
const (
	MaxKeysPerID = 4
	MaxEntries   = 100_000 // above, the full table itself is the wrong design
)

// IsStranger reports whether we never had a link to a peer: then no NAT of ours has a hole left
// that it could come through.
func (t *Table) IsStranger(id certs.ID, key certs.PublicKey) bool {
	e := t.Get(id, key)
	return e == nil || e.Our().LastAddress == ""
}

// Table holds the entries in the order of (tag, ID, key). No map is ever ranged over, so that a
// run repeats by its seed.
type Table struct {
	*base.Env
	Self         *Entry        // our own
	MissingSince time.Duration // when all were last found missing
	Lost         []*Entry      // called lost, or missing: some are redialled
	Tags         []uint64      // of the entries, for the search
	Entries      []*Entry
	Gone         int       // entries that are buried, but for those that are out
	out          int       // of this private network, for good
	Left         []goodbye // those of them that have left, see FirstLeft
	Tombstones   Tombstones
	hash         []byte // the digest, nil when it has to be computed
	next         int    // behind what was Named last: long lists of names are in the order of the table
}

// search returns where the first entry with the tag, or a greater one, is. It looks around a guess,
// in ever greater steps: a large table is not in the processor's cache.
func (t *Table) search(tag uint64, guess int) int {
	from := min(guess, len(t.Tags))
	to := from
	for step := 1; from > 0 && t.Tags[from-1] >= tag; step *= 2 {
		from, to = max(0, from-step), from-1
	}
	for step := 1; to < len(t.Tags) && t.Tags[to] < tag; step *= 2 {
		from, to = to+1, min(len(t.Tags), to+step)
	}
	i, _ := slices.BinarySearch(t.Tags[from:to], tag)
	return from + i
}

// first is search for a tag of which nothing is known: tags are hashes, so they lie evenly.
func (t *Table) first(tag uint64) int {
	share, _ := bits.Mul64(tag, uint64(len(t.Tags)))
	return t.search(tag, int(share))
}

// find returns where the entry is, or would be.
func (t *Table) find(tag uint64, id certs.ID, key certs.PublicKey) (int, bool) {
	i := t.first(tag)
	for ; i < len(t.Tags) && t.Tags[i] == tag; i++ {
		r := t.Entries[i].Record
		if order := cmp.Or(cmp.Compare(r.ID, id), bytes.Compare(r.Key[:], key[:])); order >= 0 {
			return i, order == 0
		}
	}
	return i, false
}

func (t *Table) Insert(e *Entry) {
	e.queueUp(t.Of(e.Record.ID), t.Now)
	i, _ := t.find(e.Record.Tag, e.Record.ID, e.Record.Key)
	t.Tags = slices.Insert(t.Tags, i, e.Record.Tag)
	t.Entries = slices.Insert(t.Entries, i, e)
	t.noteBuried(e)
	t.Changed()
}

// count counts an entry that is not living, by +1 or -1.
func (t *Table) count(e *Entry, by int) {
	switch {
	case e.Removed():
		t.out += by
	case e.Buried():
		t.Gone += by
	}
}

// Living is how many entries are not buried, with our own.
func (t *Table) Living() int { return len(t.Entries) - t.Gone - t.out }

// noteBuried counts an entry that has just been buried. Our own goodbye is not queued: we stay in
// our table.
func (t *Table) noteBuried(e *Entry) {
	t.count(e, 1)
	if e.State == pb.AnnouncementType_LEAVE && e != t.Self {
		t.noteLeft(e)
	}
}

// Load fills an empty table.
func (t *Table) Load(records []*base.Record, now time.Duration) {
	slab := make([]Entry, len(records))
	room := len(records) + len(records)/16 // no array twice as large for a few newcomers
	t.Entries, t.Tags = make([]*Entry, 0, room), make([]uint64, 0, room)
	for i, r := range records {
		slab[i] = Entry{Record: r, Shown: r, Seen: r.Epoch, State: pb.AnnouncementType_JOIN, Said: now}
		slab[i].ForgetRoutes()
		t.Entries = append(t.Entries, &slab[i])
	}
	slices.SortFunc(t.Entries, func(a, b *Entry) int { return base.CompareNames(a.Record, b.Record) })
	for _, e := range t.Entries {
		t.Tags = append(t.Tags, e.Record.Tag)
	}
}

func (t *Table) Remove(e *Entry) {
	if i, ok := t.find(e.Record.Tag, e.Record.ID, e.Record.Key); ok {
		t.Tags = slices.Delete(t.Tags, i, i+1)
		t.Entries = slices.Delete(t.Entries, i, i+1)
		t.count(e, -1)
		t.Changed()
	}
}

// Set changes the record and the state of an entry.
func (t *Table) Set(e *Entry, r *base.Record, state pb.AnnouncementType) {
	t.count(e, -1)
	e.Record, e.State, e.Missing = r, state, false
	t.noteBuried(e)
	t.Changed()
}

func (t *Table) Get(id certs.ID, key certs.PublicKey) *Entry {
	return t.Lookup(base.TagOf(id), id, key)
}

func (t *Table) Lookup(tag uint64, id certs.ID, key certs.PublicKey) *Entry {
	i, ok := t.find(tag, id, key)
	if !ok {
		return nil
	}
	return t.Entries[i]
}

// Of returns the entries of an ID.
func (t *Table) Of(id certs.ID) []*Entry {
	i, _ := t.find(base.TagOf(id), id, certs.PublicKey{})
	n := i
	for n < len(t.Entries) && t.Entries[n].Record.ID == id {
		n++
	}
	return t.Entries[i:n]
}

// Named returns the entries with the short tag, as a rule one.
func (t *Table) Named(short uint32) []*Entry {
	i := t.search(uint64(short)<<32, t.next)
	t.next = i
	for t.next < len(t.Tags) && base.ShortTag(t.Tags[t.next]) == short {
		t.next++
	}
	return t.Entries[i:t.next]
}

// In returns the entries with the tags from the first to the last.
func (t *Table) In(first, last uint64) []*Entry {
	from, to := t.first(first), len(t.Tags)
	if last < math.MaxUint64 {
		to = t.first(last + 1)
	}
	return t.Entries[from:to]
}

// Changed has to be called when the version of an entry has changed.
func (t *Table) Changed() { t.hash = nil }

// Full reports whether the table can take no more: all entries are living, or may be.
func (t *Table) Full(now time.Duration) bool {
	return len(t.Entries)-t.out >= MaxEntries && t.FirstLeft() == nil && (t.Gone == 0 || t.firstLost(now) == nil)
}

// Room makes room for a new entry, or refuses it: the table has at most MaxEntries, of an ID at
// most MaxKeysPerID keys, and at most MaxTombstones buried entries that we have not known in
// life. A living peer displaces a buried one, first those that have left, then the lost; where an
// ID has too many keys, else a younger peer, but not the one that holds it. A buried peer that was displaced does not come back
// with the same epoch, or news of the living and the buried would chase each other round the
// network for ever. A refused entry is not passed on either, so that a flood of them ends. Those who
// are out of a private network have a room of their own, and keep it for good: MaxRemovals, and as many
// for the network's key alone, so that an admin can't fill all of it.
func (t *Table) Room(r *base.Record, state pb.AnnouncementType, self *Entry, now time.Duration) (evicted *Entry, ok bool) {
	buried := state != pb.AnnouncementType_JOIN
	if state == pb.AnnouncementType_REMOVED {
		return nil, t.out < MaxRemovals || r.Rank() == base.RankRemovedByNetwork && t.out < 2*MaxRemovals
	}
	if list := slices.DeleteFunc(slices.Clone(t.Of(r.ID)), (*Entry).Removed); len(list) >= MaxKeysPerID {
		return t.turn(now).keyRoom(list, r, state, self)
	}
	switch full := len(t.Entries)-t.out >= MaxEntries; {
	case !full && (!buried || t.Gone < MaxTombstones):
		return nil, true
	case full && buried:
		return nil, false
	}
	if evicted = t.FirstLeft(); evicted == nil && !buried && t.Gone > 0 {
		evicted = t.firstLost(now)
	}
	return evicted, evicted != nil
}

// keyRoom is room for one more key of an ID that has as many as allowed. Whoever holds the ID stays.
func (t turn) keyRoom(list []*Entry, r *base.Record, state pb.AnnouncementType, self *Entry) (evicted *Entry, ok bool) {
	if state != pb.AnnouncementType_JOIN {
		return nil, false
	}
	var holder *Entry
	for _, f := range list {
		if !f.Over() && (holder == nil || t.precedes(f, holder)) {
			holder = f
		}
	}
	for _, f := range list {
		if f != self && f != holder && !f.Alive() && !f.Suspect(t.now) && (evicted == nil || f.expendable(evicted)) {
			evicted = f
		}
	}
	if evicted != nil {
		return evicted, true
	}
	newcomer := &Entry{Record: r, State: state}
	evicted = newcomer
	for _, f := range list {
		if f != self && f != holder && f.Alive() && evicted.Older(f) {
			evicted = f
		}
	}
	return evicted, evicted != newcomer
}

// Found takes a peer off the missing.
func (t *Table) Found(e *Entry) {
	if e.Missing {
		e.Missing = false
		t.Changed()
		t.Happen(FoundAgain{e})
	}
}

// IsHere reports whether the user is shown the peer as here.
func (t *Table) IsHere(id certs.ID, key certs.PublicKey) bool { return t.ShownEpoch(id, key) != 0 }

// ShownEpoch is the run of a peer that the user is shown as here, 0 if none.
func (t *Table) ShownEpoch(id certs.ID, key certs.PublicKey) uint64 {
	if e := t.Get(id, key); e != nil && e.Shown != nil {
		return e.Shown.Epoch
	}
	return 0
}

// Pick returns a random entry that meets the condition, nil if none does. If few do, those behind
// a gap are a little more likely.
func (t *Table) Pick(ok func(*Entry) bool) *Entry {
	n := len(t.Entries)
	for range min(n, 16) {
		if e := t.Entries[t.Cfg.Rand.IntN(n)]; ok(e) {
			return e
		}
	}
	start := t.Cfg.Rand.IntN(max(n, 1))
	for i := range n {
		if e := t.Entries[(start+i)%n]; ok(e) {
			return e
		}
	}
	return nil
}

// IsMember reports whether the peer is in our network already, or is ourselves.
func (t *Table) IsMember(id certs.ID, fingerprint string) bool {
	return slices.ContainsFunc(t.Of(id), func(e *Entry) bool { return e.Alive() && e.Record.Key.String() == fingerprint })
}

// IsMemberAt reports whether a living peer of our network, or we ourselves, can be dialled at the
// address by its own word, or was linked to us there.
func (t *Table) IsMemberAt(address string) bool {
	return slices.ContainsFunc(t.Entries, func(e *Entry) bool {
		return e.Alive() && (slices.Contains(e.Record.Addresses, address) || e.Our().LastAddress == address)
	})
}

// noteLeft queues the entry of a peer that has left, to be dropped in time: goodbyes are kept in
// the order in which they were said, and arrive nearly so.
func (t *Table) noteLeft(e *Entry) {
	i := len(t.Left)
	for i > 0 && t.Left[i-1].said > e.Said {
		i--
	}
	t.Left = slices.Insert(t.Left, i, goodbye{e, e.Said})
}

// FirstLeft is the entry with the oldest goodbye but for our own, nil if none.
func (t *Table) FirstLeft() *Entry {
	for ; len(t.Left) > 0; t.Left = t.Left[1:] {
		g := t.Left[0]
		if e := g.entry; e.State == pb.AnnouncementType_LEAVE && e.Said == g.said && t.Lookup(e.Record.Tag, e.Record.ID, e.Record.Key) == e {
			return e
		}
	}
	return nil
}

// FirstDue is FirstLeft if that goodbye is old enough to be dropped, or there are too many; else nil.
func (t *Table) FirstDue(now time.Duration) *Entry {
	if len(t.Left) == 0 || now-t.Left[0].said < RememberLeft && len(t.Left) <= MaxTombstones {
		return nil // as a rule; none behind the first is older
	}
	if e := t.FirstLeft(); e != nil && (now-e.Said >= RememberLeft || len(t.Left) > MaxTombstones) {
		return e
	}
	return nil
}

// firstLost is the entry that was lost the longest, nil if none is, or all may still refute.
func (t *Table) firstLost(now time.Duration) *Entry {
	var first *Entry
	for _, e := range t.Entries {
		if e.State == pb.AnnouncementType_LOST && !e.Suspect(now) && (first == nil || e.Said < first.Said) {
			first = e
		}
	}
	return first
}

// AddGone records a lost or missing peer.
func (t *Table) AddGone(e *Entry) {
	if (e.State == pb.AnnouncementType_LOST || e.Missing) && !slices.Contains(t.Lost, e) {
		t.Lost = append(t.Lost, e)
	}
}

// FoundAgain: a peer that was missing is here.
type FoundAgain struct{ Entry *Entry }
