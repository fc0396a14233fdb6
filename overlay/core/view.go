package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// unsure makes a peer that was away for long careful, since others may have forgotten which peers
// left meanwhile: it tells nobody of the peers it holds until another peer names them too. Its
// own user is shown those as gone that nobody has named in time.
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

// becomeSure ends unsure.
func (v *view) becomeSure() {
	if v.unsureTill != 0 && v.now >= v.unsureTill {
		v.unsureTill = 0
		v.showMissing()
	}
}

// showMissing shows the missing peers as gone.
func (v *view) showMissing() {
	for _, e := range slices.Clone(v.table.entries) {
		if e.missing && e.shown != nil {
			v.refresh(e.record.ID)
		}
	}
}

// view is what the user has been shown.
type view struct {
	*env
	table      *table
	links      *links
	custody    *custody
	broadcasts *broadcasts
	doomed     []*entry      // called lost, but not shown as lost yet
	unsureTill time.Duration // see unsure
}

// refresh tells the user what has changed about an ID.
func (v *view) refresh(id certs.ID) {
	if !v.ready || id == v.cfg.ID {
		return
	}
	was := v.table.shown(id)
	owner := v.table.owner(id, v.now)
	if was != nil && was == owner && was.shown.Epoch == owner.record.Epoch {
		return
	}
	if was != nil && owner == nil && v.broadcasts.awaitsLastWords(was) {
		return
	}
	if was != nil {
		v.broadcasts.showGone(was)
	}
	if owner != nil {
		owner.shown, owner.seen = owner.record, owner.record.Epoch
		v.out.Events = append(v.out.Events, Joined{id, owner.record.Key, v.links.toldBy(owner)})
		v.broadcasts.releaseEarly(id)
		v.custody.wakeCustody()
	}
}

// showLost shows the peers as gone whose time to refute, or to be heard to the end, is over.
func (v *view) showLost() {
	v.doomed = slices.DeleteFunc(v.doomed, func(e *entry) bool {
		if e.suspect(v.now) {
			v.wake(e.side.until)
			return false
		}
		if v.broadcasts.awaitsLastWords(e) {
			return false
		}
		if e.shown != nil {
			v.refresh(e.record.ID)
		}
		return true
	})
}

// isolate shows all peers as lost, since we reach nobody any more. The fault may as well be ours,
// so nobody is accused: the table keeps them, and a peer that is found again is shown again.
func (v *view) isolate() {
	first := true
	for _, e := range v.table.entries {
		if e == v.table.self || !e.alive() {
			continue
		}
		if first {
			v.note(Info, "nobody is reached any more")
			first = false
		}
		e.missing = true
		v.table.addGone(e)
		v.table.changed()
	}
	if !first {
		v.table.missingSince = v.now
		v.showMissing()
	}
}

// miss hides a peer that we alone know and don't reach.
func (v *view) miss(e *entry) {
	e.missing = true
	v.table.addGone(e)
	v.table.changed()
	v.refresh(e.record.ID)
}

// told shows what has changed.
func (v *view) told(ch change) {
	e := ch.entry
	if e.state == pb.AnnouncementType_LOST {
		v.table.addGone(e)
	}
	if e.suspect(v.now) {
		v.wake(e.side.until)
	}
	if e.suspect(v.now) || v.broadcasts.awaitsLastWords(e) {
		v.doomed = append(v.doomed, e)
	}
	v.refresh(e.record.ID)
}
