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
	claimants  []claimant
}

// refresh tells the user what has changed about an ID: about the peer that it belongs to, and about
// others that claim it, who have other names.
func (v *view) refresh(id certs.ID) {
	if !v.Ready {
		return
	}
	owner := v.table.Owner(id, v.Now)
	list := slices.Clone(v.table.Of(id))
	for _, e := range list {
		switch {
		case e.Shown == nil:
		case v.isHere(e) && v.table.NameOf(e, v.Now) == e.Name() && (e == owner || e.Name() != id) && e.Shown.Epoch == e.Record.Epoch:
			v.Out.Events = append(v.Out.Events, e.Record.Changed(e.Name(), e.Shown)...)
			e.Shown = e.Record
		case owner == nil && v.broadcasts.AwaitsLastWords(e):
		default:
			v.broadcasts.ShowGone(e)
		}
	}
	for _, e := range list {
		if e.Shown == nil && e != v.table.Self && v.isHere(e) {
			v.show(e, e == owner)
		}
	}
}

func (v *view) isHere(e *table.Entry) bool { return e.Alive() || e.Suspect(v.Now) }

// show shows a peer as here. One that claims another's ID is shown a moment later, since one of the
// two may be about to stop, see own.checkOwnID.
func (v *view) show(e *table.Entry, owns bool) {
	name := v.table.NameOf(e, v.Now)
	switch {
	case name == v.Cfg.ID: // we are about to stop, or it is
		return
	case owns:
		e.Inherits(v.table.Of(e.Record.ID))
	case v.Passes.Private():
		return
	case !slices.ContainsFunc(v.claimants, func(c claimant) bool { return c.entry == e }):
		v.claimants = append(v.claimants, claimant{e, v.Now + claimantAfter})
		v.Wake(v.Now + claimantAfter)
		return
	case v.table.Called(name) != nil || !slices.Contains(v.claimants, claimant{e, 0}):
		return
	}
	if e.Shown, e.Seen = e.Record, e.Record.Epoch; name != e.Record.ID {
		e.With().Called = name
	}
	v.Out.Events = append(v.Out.Events, e.Record.Comes(name, v.links.ToldBy(e))...)
	v.broadcasts.ReleaseEarly(e)
	if owns {
		v.custody.WakeCustody()
	}
}

// claimant is a peer that claims the ID of another.
type claimant struct {
	entry *table.Entry
	from  time.Duration // it is shown; 0: it is, or may be
}

// claimantAfter is how long it is known before it is shown: one that started at the same time as
// the other stops within moments. A guess.
const claimantAfter = 2 * time.Second

// checkClaimants shows the claimants that are due, and gives an ID to the next one once its holder
// has been gone for long.
func (v *view) checkClaimants() {
	v.claimants = slices.DeleteFunc(v.claimants, func(c claimant) bool {
		r := c.entry.Record
		return v.table.Lookup(r.Tag, r.ID, r.Key) != c.entry || !v.isHere(c.entry) || v.table.Owner(r.ID, v.Now) == c.entry && c.entry.Name() == r.ID && c.entry.Shown != nil
	})
	for i, c := range v.claimants {
		due := c.from != 0 && v.Now >= c.from
		if due {
			v.claimants[i].from = 0
		}
		if due || v.table.NameOf(c.entry, v.Now) != c.entry.Name() {
			v.refresh(c.entry.Record.ID)
		}
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
	v.table.MissingSince = v.Now
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
