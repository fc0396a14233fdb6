package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// unsure makes a peer that was away for long careful, since others may have forgotten which peers
// left meanwhile: it tells nobody of the peers it holds until another peer names them too. Its
// own user is shown those as gone that nobody has named in time.
func (v *view) unsure() {
	v.Note(base.Debug, "away for long: asking others who is still here")
	for _, e := range v.table.Entries {
		if e != v.table.Self && e.Alive() {
			e.Missing = true
			v.table.AddGone(e)
		}
	}
	v.table.Changed()
	v.table.MissingSince, v.unsureTill = v.Now, v.Now+table.SureAfter
}

// becomeSure ends unsure.
func (v *view) becomeSure() {
	if v.unsureTill != 0 && v.Now >= v.unsureTill {
		v.unsureTill = 0
		v.showMissing()
	}
}

// showMissing shows the missing peers as gone.
func (v *view) showMissing() {
	for _, e := range slices.Clone(v.table.Entries) {
		if e.Missing && e.Shown != nil {
			v.refresh(e.Record.ID)
		}
	}
}

// view is what the user has been shown.
type view struct {
	*base.Env
	table      *table.Table
	links      *link.Links
	custody    *custody.Custody
	broadcasts *broadcast.Broadcasts
	doomed     []*table.Entry // called lost, but not shown as lost yet
	unsureTill time.Duration  // see unsure
}

// refresh tells the user what has changed about an ID.
func (v *view) refresh(id certs.ID) {
	if !v.Ready || id == v.Cfg.ID {
		return
	}
	was := v.table.Shown(id)
	owner := v.table.Owner(id, v.Now)
	if was != nil && was == owner && was.Shown.Epoch == owner.Record.Epoch {
		v.Out.Events = append(v.Out.Events, owner.Record.Changed(was.Shown)...)
		owner.Shown = owner.Record
		return
	}
	if was != nil && owner == nil && v.broadcasts.AwaitsLastWords(was) {
		return
	}
	if was != nil {
		v.broadcasts.ShowGone(was)
	}
	if owner != nil {
		owner.Shown, owner.Seen = owner.Record, owner.Record.Epoch
		v.Out.Events = append(v.Out.Events, owner.Record.Comes(v.links.ToldBy(owner))...)
		v.broadcasts.ReleaseEarly(id)
		v.custody.WakeCustody()
	}
}

// showLost shows the peers as gone whose time to refute, or to be heard to the end, is over.
func (v *view) showLost() {
	v.doomed = slices.DeleteFunc(v.doomed, func(e *table.Entry) bool {
		if e.Suspect(v.Now) {
			v.Wake(e.Side.Until)
			return false
		}
		if v.broadcasts.AwaitsLastWords(e) {
			return false
		}
		if e.Shown != nil {
			v.refresh(e.Record.ID)
		}
		return true
	})
}

// isolate shows all peers as lost, since we reach nobody any more. The fault may as well be ours,
// so nobody is accused: the table keeps them, and a peer that is found again is shown again.
func (v *view) isolate() {
	first := true
	for _, e := range v.table.Entries {
		if e == v.table.Self || !e.Alive() {
			continue
		}
		if first {
			v.Note(base.Info, "nobody is reached any more")
			first = false
		}
		e.Missing = true
		v.table.AddGone(e)
		v.table.Changed()
	}
	if !first {
		v.table.MissingSince = v.Now
		v.showMissing()
	}
}

// miss hides a peer that we alone know and don't reach.
func (v *view) miss(e *table.Entry) {
	e.Missing = true
	v.table.AddGone(e)
	v.table.Changed()
	v.refresh(e.Record.ID)
}

// told shows what has changed.
func (v *view) told(ch link.Change) {
	e := ch.Entry
	if e.State == pb.AnnouncementType_LOST {
		v.table.AddGone(e)
	}
	if e.Suspect(v.Now) {
		v.Wake(e.Side.Until)
	}
	if e.Suspect(v.Now) || v.broadcasts.AwaitsLastWords(e) {
		v.doomed = append(v.doomed, e)
	}
	v.refresh(e.Record.ID)
}
