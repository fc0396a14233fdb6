// Package detect finds the peers that are gone, as SWIM does: it watches links, probes peers
// directly and over witnesses, and doubts itself first.
package detect

import (
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/table"
)

// Bounds of detection, guesses unless said otherwise.
const (
	StoppedAfter   = 1 * time.Second  // a tick so late: this process was stopped
	stormLinks     = 2                // silent at once, before others are suspected to have died unseen
	alarmFor       = 10 * time.Second // after a peer was found lost, probes come often
	ProbeEvery     = 10 * time.Second // of a random peer without a link; the study's figure
	probeAlarmed   = 1 * time.Second
	idleAfter      = 60 * time.Second // for a link that has carried messages
	unusedAfter    = 5 * time.Second  // for a link that has never been used
	askTimeout     = 10 * time.Second // for the answer to a request for neighbourhood
	doubtedAtOnce  = 3                // probed in a tick
	maxChecks      = 512              // that wait for a probe since their leases are over: as many are probed in a minute
	orphansChecked = 3                // of the neighbours of each peer that fell silent in a storm
)

// Failure detection, after SWIM. When a link is silent for QuietAfter, its owner asks the peer's
// other neighbours, which the peer itself has named, when they last heard it (probes.go). If none
// of them hears it either, it is suspected of being lost (overlay/core/table/suspicion.go). Now and then a random
// peer without a link is pinged, so that an entry whose neighbours have all gone is noticed too.
//
// A peer that may be deaf itself allows others more time, as in Lifeguard (Dadgar, Phillips, Currey
// 2018), and at worst accuses nobody (overlay/core/link/doubt.go). A peer that hears nobody for
// IsolatedAfter shows everybody as lost to its user, and tells no other peer (overlay/core/view.go).

// Detector finds the peers that are gone.
type Detector struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	doubt  *link.Doubt
	reach  *reach.Reach
	probes *Probes

	alarmTill time.Duration
	NextProbe time.Duration
	Doubted   []*table.Entry // found again by what others say; to be probed first
}

// NewDetector returns a detector that asks by these probes.
func NewDetector(en *base.Env, t *table.Table, ls *link.Links, db *link.Doubt, re *reach.Reach, pr *Probes) *Detector {
	return &Detector{Env: en, table: t, links: ls, doubt: db, reach: re, probes: pr}
}

// CheckLinks looks for links that are silent or unused.
func (dt *Detector) CheckLinks() {
	healthy, silent := 0, 0
	for _, l := range dt.links.List {
		if l.State != link.LinkUp {
			continue
		}
		dt.doubt.LastHeard = max(dt.doubt.LastHeard, l.Heard)
		patience := dt.doubt.Patience(l)
		l.Quiet = dt.Now-l.Heard >= patience
		if l.Quiet {
			silent++
		} else {
			healthy++
			dt.Wake(l.Heard + patience)
			if e := l.Entry; e != nil && e.Missing && l.Heard > dt.table.MissingSince {
				dt.table.Found(e)
			}
		}
		dt.checkPromises(l)
	}
	if dt.doubt.Deaf = healthy == 0; !dt.doubt.Deaf {
		dt.doubt.DeafProven = false
	}
	dt.doubt.Storm = silent >= stormLinks
	if dt.doubt.Storm {
		dt.alarmTill = dt.Now + alarmFor
	}
	for _, l := range dt.links.List {
		if l.State == link.LinkUp && l.Quiet {
			dt.linkSilent(l)
		}
		if e := l.Entry; l.State == link.LinkUp && l.Stuck && e != nil && e.Alive() && dt.links.LinkTo(l.Key) == l {
			dt.reach.DialFor(e, reach.ToRelink)
		}
	}
	if dt.Ready && !dt.Leaving && dt.doubt.Deaf {
		dt.listenAnew()
	}
}

// checkPromises closes links whose peer does not do what it was asked to, or that are not used. A
// far peer, or one behind a slow line, gets longer.
func (dt *Detector) checkPromises(l *link.Link) {
	slow := l.Slowness()
	switch {
	case l.Exchange != nil && l.Verifying == 0 && dt.Now > l.Exchange.Moved+link.SyncTimeout+slow:
		if !dt.Ready {
			dt.links.Blame(l, base.Remark, "peer does not do what it must", "its table did not come")
		}
		dt.links.Close(l, base.CloseTimeout, "its table did not come")
	case l.Asked && dt.Now > l.AskedAt+askTimeout+slow:
		dt.links.Close(l, base.CloseTimeout, "a request for neighbourhood was not answered")
	case l.Neighbour || l.Asked || l.Exchange != nil || l.Verifying > 0 || !dt.Ready:
	case l.Used > l.Opened && dt.Now > l.Used+idleAfter, l.Used <= l.Opened && dt.Now > l.Opened+unusedAfter:
		dt.links.Close(l, base.CloseIdle, "not used")
	}
}

// listenAnew is for a peer that hears nobody: it dials the peers that it had links to, and if
// that fails too, it considers itself cut off.
func (dt *Detector) listenAnew() {
	if dt.Now >= dt.doubt.LastHeard+dt.doubt.Stretch(link.IsolatedAfter) && (dt.doubt.DeafProven || len(dt.reach.Dials) == 0) {
		dt.Happen(Isolated{})
		return
	}
	for _, l := range dt.links.List {
		if e := l.Entry; l.State == link.LinkUp && e != nil && e.Alive() && dt.Now >= e.Our().NextDial {
			dt.reach.DialEntry(e)
		}
	}
}

// linkSilent starts a probe of a silent link's peer: its neighbours are asked.
func (dt *Detector) linkSilent(l *link.Link) {
	e := l.Entry
	if newer := dt.links.LinkTo(l.Key); newer != l && !newer.Quiet {
		dt.links.Close(l, base.CloseDead, "another connection lives")
		return
	}
	switch {
	case e == nil || dt.links.LinkTo(l.Key) != l:
		return
	case !e.Alive():
		if e.Suspect(dt.Now) && !dt.doubt.Doubtful() {
			dt.Happen(Accused{e})
		}
		return
	}
	if dt.probes.of(e) == nil {
		dt.Note(base.Debug, "link silent", "peer", string(l.Peer), "address", l.Address)
		if q := dt.probes.start(e, true); q != nil {
			q.own = true
			dt.probes.askNeighbours(q)
		}
	}
	if dt.doubt.Storm {
		dt.checkOrphans(e)
	}
}

// checkOrphans probes neighbours of a peer that has fallen silent together with others: if they
// died with it, nobody may be left to notice. All who had a link to the peer do the same, so each
// probes some of them.
func (dt *Detector) checkOrphans(e *table.Entry) {
	d := e.With()
	list := d.Neighbours
	d.Neighbours = nil
	dt.Cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, id := range list[:min(len(list), orphansChecked)] {
		f := dt.table.Owner(id, dt.Now)
		if f != nil && f != dt.table.Self && f.Alive() && dt.links.LinkTo(f.Record.Key) == nil {
			dt.probes.start(f, true)
		}
	}
	if q := dt.probes.of(e); q != nil && len(q.witnesses) == 0 {
		q.addWitnesses(list)
	}
}

// LinkBroken starts a probe after a link has ended without a goodbye.
func (dt *Detector) LinkBroken(e *table.Entry) {
	if e.IsGuest() {
		return // see checkVisits
	}
	if q := dt.probes.start(e, true); q != nil {
		dt.probes.askNeighbours(q)
	}
	dt.reach.DialEntry(e)
}

// Probe starts a probe of one random living peer without a link now and then; and soon of those
// that were missing and are here again by what others say, since they may have been cut off
// together with us.
func (dt *Detector) Probe() {
	for range min(len(dt.Doubted), doubtedAtOnce) {
		if e := dt.Doubted[0]; e.Alive() && dt.links.LinkTo(e.Record.Key) == nil {
			dt.probes.start(e, true)
		}
		dt.Doubted = dt.Doubted[1:]
	}
	if dt.Now < dt.NextProbe {
		return
	}
	every := ProbeEvery
	if dt.Now < dt.alarmTill {
		every = probeAlarmed
	}
	dt.NextProbe = dt.Now + every/2 + time.Duration(dt.Cfg.Rand.Int64N(int64(every)))
	e := dt.table.Pick(func(e *table.Entry) bool {
		return e.Alive() && e != dt.table.Self && !e.IsGuest() && dt.links.LinkTo(e.Record.Key) == nil && dt.probes.of(e) == nil
	})
	if e != nil {
		dt.probes.start(e, dt.Now < dt.alarmTill)
	}
}

// Check finds out whether a peer lives whose lease is over.
func (dt *Detector) Check(e *table.Entry) {
	switch l := dt.links.LinkTo(e.Record.Key); {
	case l != nil && !l.Quiet:
		e.Said = dt.Now
	case len(dt.Doubted) < maxChecks && !slices.Contains(dt.Doubted, e):
		dt.Doubted = append(dt.Doubted, e)
	}
}

// Alarm makes random probes more frequent for a while, since a peer was found dead.
func (dt *Detector) Alarm() {
	if dt.Now >= dt.alarmTill {
		dt.NextProbe = min(dt.NextProbe, dt.Now+probeAlarmed)
	}
	dt.alarmTill = dt.Now + alarmFor
}

// CameLate is called when this process has not run for long.
func (dt *Detector) CameLate(by time.Duration) {
	dt.doubt.AtLeast(link.WorstHealth)
	dt.forgiveSilence()
	if by > table.RememberLeft {
		dt.Happen(AwayLong{})
	}
}

// forgiveSilence counts all links as heard just now: this process was stopped, so it was deaf and
// no peer was silent.
func (dt *Detector) forgiveSilence() {
	dt.Note(base.Debug, "this process was stopped for a while")
	dt.doubt.LastHeard = dt.Now
	for _, l := range dt.links.List {
		l.Heard, l.Opened = dt.Now, max(l.Opened, dt.Now-link.HandshakeTimeout/2)
		l.AskedAt = dt.Now
		if l.Exchange != nil {
			l.Exchange.Moved = dt.Now
		}
	}
	for _, q := range dt.probes.List {
		q.ended = true
	}
}

// Isolated: we reach no peer any more.
type Isolated struct{}

// AwayLong: we were away for so long that other peers may have forgotten who left meanwhile.
type AwayLong struct{}
