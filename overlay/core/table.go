package core

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// entry is what is known of one (ID, key).
type entry struct {
	id     certs.ID
	key    certs.PublicKey
	record *pb.Record // the parsed payload of signed
	signed *pb.Signed
	state  pb.AnnouncementType
	paths  []path        // neighbours that have told us of this version
	since  time.Duration // when this epoch was learned
	doomed time.Duration // LOST, but until then shown as here: it may refute
	buried time.Duration // when it was first said to be LOST or to LEAVE, as far as is known

	dialing     DialID        // 0: none is under way
	failures    int           // dials in a row that reached nobody
	flaps       int           // links in a row that ended as soon as they stood
	nextDial    time.Duration // not before
	confirm     bool          // its link broke: a dial that fails proves it lost
	wanted      bool          // messages wait for it
	refusedTill time.Duration // it has refused neighbourhood
	quarrelTill time.Duration // it has refuted us: accuse it no more until then
	accused     bool          // by us, for this version

	broadcasts window
}

// path is a way to a peer: over this link, in so many hops.
type path struct {
	link LinkID
	hops uint32
}

// version orders the statements about one entry.
type version struct {
	epoch uint64
	seq   uint32
	state pb.AnnouncementType
}

func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.epoch, w.epoch), cmp.Compare(v.seq, w.seq), cmp.Compare(v.state, w.state))
}

func (e *entry) version() version {
	return version{e.record.GetEpoch(), e.record.GetSeq(), e.state}
}

func (e *entry) alive() bool { return e.state == pb.AnnouncementType_JOIN }

// compareEntries orders a table: by ID, then key.
func compareEntries(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.id, b.id), bytes.Compare(a.key[:], b.key[:]))
}

// table holds the entries in the order of (ID, key). No map is ever ranged over,
// so that a run repeats by its seed.
type table struct {
	entries []*entry
	evicted []eviction // the last ones while buried, see room
	hash    []byte     // the digest, nil when it has to be computed
}

// eviction is what is left of an entry that was taken out to make room.
type eviction struct {
	id    certs.ID
	key   certs.PublicKey
	epoch uint64
}

func (t *table) insert(e *entry) {
	i, _ := slices.BinarySearchFunc(t.entries, e, compareEntries)
	t.entries = slices.Insert(t.entries, i, e)
	t.changed()
}

func (t *table) remove(e *entry) {
	if i, ok := slices.BinarySearchFunc(t.entries, e, compareEntries); ok {
		t.entries = slices.Delete(t.entries, i, i+1)
		t.changed()
	}
}

func (t *table) get(id certs.ID, key certs.PublicKey) *entry {
	i, ok := slices.BinarySearchFunc(t.entries, &entry{id: id, key: key}, compareEntries)
	if !ok {
		return nil
	}
	return t.entries[i]
}

// of returns the entries of an ID.
func (t *table) of(id certs.ID) []*entry {
	i, _ := slices.BinarySearchFunc(t.entries, &entry{id: id}, compareEntries)
	n := i
	for n < len(t.entries) && t.entries[n].id == id {
		n++
	}
	return t.entries[i:n]
}

// after returns the entries behind (id, key).
func (t *table) after(id certs.ID, key certs.PublicKey) []*entry {
	i, found := slices.BinarySearchFunc(t.entries, &entry{id: id, key: key}, compareEntries)
	if found {
		i++
	}
	return t.entries[i:]
}

// owner is whose an ID is: among the living entries the one with the smallest
// (epoch, key), nil if there is none. A suspect, who still has time to refute,
// counts as living, so that saying LOST of somebody does not make room for another.
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

// older says that e has the smaller (epoch, key).
func (e *entry) older(f *entry) bool {
	return cmp.Or(cmp.Compare(e.record.GetEpoch(), f.record.GetEpoch()), bytes.Compare(e.key[:], f.key[:])) < 0
}

func (e *entry) suspect(now time.Duration) bool {
	return e.state == pb.AnnouncementType_LOST && now < e.doomed
}

// changed is to be called when the version of an entry has.
func (t *table) changed() { t.hash = nil }

// drop removes the entries that meet the condition.
func (t *table) drop(condition func(*entry) bool) {
	t.entries = slices.DeleteFunc(t.entries, condition)
	t.changed()
}

// digest is a hash over every entry's version; equal tables have equal digests.
func (t *table) digest() []byte {
	if t.hash != nil {
		return t.hash
	}
	h := sha256.New()
	var b []byte
	for _, e := range t.entries {
		b = append(b[:0], e.id...)
		b = append(b, 0)
		b = append(b, e.key[:]...)
		b = binary.BigEndian.AppendUint64(b, e.record.GetEpoch())
		b = binary.BigEndian.AppendUint32(b, e.record.GetSeq())
		b = append(b, byte(e.state))
		h.Write(b)
	}
	t.hash = h.Sum(nil)
	return t.hash
}

// room makes room for a new entry, or says that there is none: of an ID at most
// maxKeysPerID keys are held, and of buried entries that we have not known in life
// maxTombstones. Somebody living pushes out somebody buried, else somebody younger.
// Who was pushed out after it was buried does not come back with the same epoch,
// or news of the living and the buried would chase each other round the network
// for ever. What finds no room is not passed on either, so that a flood of it ends.
func (t *table) room(e *entry, self *entry, now time.Duration) (evicted *entry, ok bool) {
	if len(t.entries) >= maxEntries || !e.alive() && t.buriedCount() >= maxTombstones {
		return nil, false
	}
	for _, v := range t.evicted {
		if v.key == e.key && v.id == e.id && e.record.GetEpoch() <= v.epoch {
			return nil, false
		}
	}
	list := t.of(e.id)
	switch {
	case len(list) < maxKeysPerID:
		return nil, true
	case !e.alive():
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
	evicted = e
	for _, f := range list {
		if f != self && f.alive() && evicted.older(f) {
			evicted = f
		}
	}
	return evicted, evicted != e
}

// expendable says which of two buried entries goes first: who has left before who
// is lost, then the older.
func (e *entry) expendable(f *entry) bool {
	if e.state != f.state {
		return e.state == pb.AnnouncementType_LEAVE
	}
	return e.older(f)
}

// evict takes an entry out to make room.
func (t *table) evict(e *entry) {
	t.remove(e)
	if !e.alive() {
		if len(t.evicted) == maxEvicted {
			t.evicted = slices.Delete(t.evicted, 0, 1)
		}
		t.evicted = append(t.evicted, eviction{e.id, e.key, e.record.GetEpoch()})
	}
}

func (t *table) buriedCount() int {
	n := 0
	for _, e := range t.entries {
		if !e.alive() {
			n++
		}
	}
	return n
}

// setPath notes that the link leads to the peer in so many hops.
func (e *entry) setPath(link LinkID, hops uint32) {
	for i := range e.paths {
		if e.paths[i].link == link {
			e.paths[i].hops = hops
			return
		}
	}
	e.paths = append(e.paths, path{link, hops})
}

// dropPath forgets the ways over the link.
func (e *entry) dropPath(link LinkID) {
	e.paths = slices.DeleteFunc(e.paths, func(p path) bool { return p.link == link })
}
