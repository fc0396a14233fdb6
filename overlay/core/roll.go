package core

import (
	"slices"
	"time"
)

// roll merges news into the table, and drops from it what has expired. It returns each update,
// which Core passes on to the other machines.
type roll struct {
	*env
	table      *table
	nextForget time.Duration
}

// merge puts news into the table; false if it is full.
func (ro *roll) merge(from *link, n news) (ch change, ok bool) {
	r := n.record
	ch = change{news: n, from: from, entry: ro.table.lookup(r.tag, r.ID, r.Key)}
	if e := ch.entry; e != nil {
		ch.old, ch.was, ch.said, ch.wasAlive = e.record, e.version(), e.said, e.alive() || e.suspect(ro.now)
		e.said = n.said
		if ch.begins() {
			e.began = n.began()
		}
		ro.table.set(e, r, n.state)
		return ch, true
	}
	if from != nil && (ro.ready || from.exchange == nil) && !from.mayIntroduce(ro.now) {
		ro.note(Debug, "too many unknown peers from one link, announcement dropped", "peer", string(from.peer))
		return ch, false
	}
	if ch.evicted, ok = ro.table.room(r, n.state, ro.table.self, ro.now); !ok {
		ro.note(Debug, "no room in the table, announcement dropped", "id", string(r.ID), "key", r.Key.String())
		return ch, false
	}
	if ch.evicted != nil {
		ro.evict(ch.evicted)
	}
	ch.entry = newEntry(r, n.state, n.said)
	ch.entry.began = n.began()
	ro.table.insert(ch.entry)
	return ch, true
}

// evict takes an entry out of the table. A run that is over must not come back; a guest may, and
// no other peer knows of it.
func (ro *roll) evict(e *entry) {
	ro.table.remove(e)
	if !e.alive() && !e.isGuest() {
		ro.table.tombstones.add(e.record)
	}
}

// expire drops the entries of peers that have left, in time or when there are too many, and once
// a minute everything that has expired.
func (ro *roll) expire() (out []*entry) {
	for e := ro.table.firstLeft(); e != nil && e != ro.table.self; e = ro.table.firstLeft() {
		if ro.now-e.said < rememberLeft && len(ro.table.left) <= maxTombstones {
			break
		}
		ro.evict(e)
		out = append(out, e)
	}
	if ro.now < ro.nextForget {
		return out
	}
	ro.nextForget = ro.now + time.Minute
	for _, e := range slices.Clone(ro.table.entries) {
		old := ro.now - e.said
		if e == ro.table.self || old < lease || e.buried() && old < rememberFor {
			continue
		}
		ro.table.remove(e)
		out = append(out, e)
	}
	ro.table.lost = slices.DeleteFunc(ro.table.lost, func(e *entry) bool {
		return e.alive() || ro.table.lookup(e.record.tag, e.record.ID, e.record.Key) != e
	})
	return out
}
