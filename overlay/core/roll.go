package core

import (
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// roll merges news into the table, and drops from it what has expired. It returns each update,
// which Core passes on to the other machines.
type roll struct {
	*base.Env
	table      *table.Table
	nextForget time.Duration
	unswept    bool // removals have come since the last sweep
}

// merge puts news into the table; false if it is full.
func (ro *roll) merge(from *link.Link, n link.News) (ch link.Change, ok bool) {
	r := n.Record
	ro.Passes.Learn(r)
	ch = link.Change{News: n, From: from, Entry: ro.table.Lookup(r.Tag, r.ID, r.Key)}
	if e := ch.Entry; e != nil {
		ch.Old, ch.Was, ch.Said, ch.WasAlive = e.Record, e.Version(), e.Said, e.Alive() || e.Suspect(ro.Now)
		e.Said = n.Said
		if ch.Begins() {
			e.Begins(n.Began(), ro.Now)
		}
		if n.State == pb.AnnouncementType_JOIN {
			ro.table.Found(e)
		}
		if e.Removed() {
			ro.lift(e.Record)
		}
		ro.table.Set(e, r, n.State)
		ro.noteRemoval(r)
		return ch, true
	}
	if ch.Evicted, ok = ro.table.Room(r, n.State, ro.table.Self, ro.Now); !ok {
		ro.Note(base.Debug, "no room in the table, announcement dropped", "id", string(r.ID), "key", r.Key.String())
		return ch, false
	}
	if ch.Evicted != nil {
		ro.evict(ch.Evicted)
	}
	ch.Entry = table.NewEntry(r, n.State, n.Said)
	ch.Entry.Began = n.Began()
	if n.Later {
		ch.Entry.Later()
	}
	ro.table.Insert(ch.Entry)
	ro.noteRemoval(r)
	return ch, true
}

// noteRemoval remembers for good that a peer is out of this private network.
func (ro *roll) noteRemoval(r *base.Record) {
	if r.Type == pb.AnnouncementType_REMOVED {
		ro.Passes.Note(r)
		ro.unswept = true
		proof := &pb.Announcement{Type: r.Type, Record: r.Signed, Issuer: r.Standing.Pass.GetIssuer()}
		ro.Out.Removals = append(ro.Out.Removals, base.RemovalWrite{ID: r.ID, Key: r.Key, Proof: proof})
	}
}

// lift takes back a removal that counts no more.
func (ro *roll) lift(r *base.Record) {
	ro.Passes.Lift(r)
	ro.Out.Removals = append(ro.Out.Removals, base.RemovalWrite{ID: r.ID, Key: r.Key, Lifted: true})
}

// fallen takes out of the table all that removals bar, and returns it but for the removals that are
// lifted: these first, since they bar nothing any more.
func (ro *roll) fallen() (out []*table.Entry) {
	for _, e := range slices.Clone(ro.table.Entries) {
		if e.Removed() && ro.Passes.Barred(e.Record) != nil {
			ro.table.Remove(e)
			ro.lift(e.Record)
		}
	}
	for _, e := range slices.Clone(ro.table.Entries) {
		if e != ro.table.Self && ro.Passes.Barred(e.Record) != nil {
			ro.table.Remove(e)
			e.State = pb.AnnouncementType_REMOVED
			out = append(out, e)
		}
	}
	return out
}

// evict takes an entry out of the table. A run that is over must not come back; a guest may, and
// no other peer knows of it.
func (ro *roll) evict(e *table.Entry) {
	ro.table.Remove(e)
	if !e.Alive() && !e.IsGuest() {
		ro.table.Tombstones.Add(e.Record)
	}
}

// outdated: the lease of a peer that counts as here is over. Ages are what others say, so one that lives is
// kept; one that is found dead is dropped later.
type outdated struct{ entry *table.Entry }

// expire drops the entries of peers that have left, in time or when there are too many, and once
// a minute everything that has expired.
func (ro *roll) expire() (out []*table.Entry) {
	for e := ro.table.FirstDue(ro.Now); e != nil; e = ro.table.FirstDue(ro.Now) {
		ro.evict(e)
		out = append(out, e)
	}
	if ro.Now < ro.nextForget {
		return out
	}
	ro.nextForget = ro.Now + time.Minute
	for _, e := range slices.Clone(ro.table.Entries) {
		old := ro.Now - e.Said
		if e == ro.table.Self || e.Removed() || old < table.Lease || e.Buried() && old < table.RememberFor {
			continue
		}
		if e.Alive() && !e.IsGuest() {
			ro.Happen(outdated{e})
			continue
		}
		ro.table.Remove(e)
		out = append(out, e)
	}
	ro.table.Lost = slices.DeleteFunc(ro.table.Lost, func(e *table.Entry) bool {
		return e.Alive() || ro.table.Lookup(e.Record.Tag, e.Record.ID, e.Record.Key) != e
	})
	return out
}
