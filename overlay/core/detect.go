package core

import (
	"time"
)

// How a crash is found out. A link that is silent for quietAfter makes its owner
// ask the peer's other neighbours, whom the peer itself has named, when they last
// heard it (witness.go). Nobody is called lost by one peer alone: LOST carries the
// testimony of the accuser and of another member. Users see it suspectFor later, unless
// the accused refutes. A random peer without a link is sent a ping now and then,
// so that an entry whose neighbours have all gone is found out too.
//
// Who may be deaf itself accuses nobody: who hears nobody at all, who was stopped
// or came late to its own work. Who hears nobody for isolatedAfter shows all as
// lost to its user, and tells nobody (show.go).

// detector finds out who is gone.
type detector struct {
	*env
	table  *table
	links  *links
	doubt  *doubt
	reach  *reach
	probes *probes

	alarmTill time.Duration
	nextProbe time.Duration
	doubted   []*entry // found again by the word of others; to be probed first
}

// checkLinks looks for links that are silent, or serve nothing.
func (dt *detector) checkLinks() {
	healthy, silent := 0, 0
	for _, l := range dt.links.list {
		if l.state != linkUp {
			continue
		}
		dt.doubt.lastHeard = max(dt.doubt.lastHeard, l.heard)
		patience := dt.doubt.patience(l)
		l.quiet = dt.now-l.heard >= patience
		if l.quiet {
			silent++
		} else {
			healthy++
			dt.wake(l.heard + patience)
			if e := l.entry; e != nil && e.missing && l.heard > dt.table.missingSince {
				dt.table.found(e)
			}
		}
		dt.checkPromises(l)
	}
	if dt.doubt.deaf = healthy == 0; !dt.doubt.deaf {
		dt.doubt.deafProven = false
	}
	dt.doubt.storm = silent >= stormLinks
	if dt.doubt.storm {
		dt.alarmTill = dt.now + alarmFor
	}
	for _, l := range dt.links.list {
		if l.state == linkUp && l.quiet {
			dt.linkSilent(l)
		}
		if e := l.entry; l.state == linkUp && l.stuck && e != nil && e.alive() && dt.links.linkTo(l.key) == l {
			dt.reach.dialFor(e, toRelink)
		}
	}
	if dt.ready && !dt.leaving && dt.doubt.deaf {
		dt.listenAnew()
	}
}

// checkPromises closes links whose peer does not do what it is asked to, or that
// serve nothing. Who is far, or behind a slow line, is given longer.
func (dt *detector) checkPromises(l *link) {
	slow := l.slowness()
	switch {
	case l.fetch != nil && l.verifying == 0 && dt.now > l.fetch.moved+syncTimeout+slow:
		dt.links.blame(l, Remark, "peer does not do what it must", "its table did not come")
		dt.links.close(l, CloseTimeout, "its table did not come")
	case l.comparing != nil && l.verifying == 0 && dt.now > l.comparing.updated+syncTimeout+slow:
		dt.links.close(l, CloseTimeout, "a comparison of tables was not answered")
	case l.asked && dt.now > l.askedAt+askTimeout+slow:
		dt.links.close(l, CloseTimeout, "a request for neighbourhood was not answered")
	case l.neighbour || l.asked || l.fetch != nil || l.verifying > 0 || !dt.ready:
	case l.used > l.opened && dt.now > l.used+idleAfter, l.used <= l.opened && dt.now > l.opened+unusedAfter:
		dt.links.close(l, CloseIdle, "not used")
	}
}

// listenAnew is for who hears nobody: it dials those whom it had links to, and when
// that fails as well it takes itself to be cut off.
func (dt *detector) listenAnew() {
	if dt.now >= dt.doubt.lastHeard+isolatedAfter+dt.doubt.leniency() && dt.now >= dt.doubt.doubtTill && (dt.doubt.deafProven || len(dt.reach.dials) == 0) {
		dt.happen(isolated{})
		return
	}
	for _, l := range dt.links.list {
		if e := l.entry; l.state == linkUp && e != nil && e.alive() && dt.now >= e.our().nextDial {
			dt.reach.dialEntry(e)
		}
	}
}

// linkSilent has a silent link looked into: the peer's neighbours are asked.
func (dt *detector) linkSilent(l *link) {
	e := l.entry
	if newer := dt.links.linkTo(l.key); newer != l && !newer.quiet {
		dt.links.close(l, CloseDead, "another connection lives")
		return
	}
	if e == nil || !e.alive() || dt.links.linkTo(l.key) != l {
		return
	}
	if dt.probes.of(e) == nil {
		dt.note(Debug, "link silent", "peer", string(l.peer), "address", l.address)
		if q := dt.probes.start(e, true); q != nil {
			q.own = true
			dt.probes.askNeighbours(q)
		}
	}
	if dt.doubt.storm {
		dt.checkOrphans(e)
	}
}

// checkOrphans looks into neighbours of a peer that has fallen silent while others
// have as well: if they died with it, nobody may be left to notice. All who had a
// link to the peer do the same, so each looks at some of them.
func (dt *detector) checkOrphans(e *entry) {
	d := e.with()
	list := d.neighbours
	d.neighbours = nil
	dt.cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, id := range list[:min(len(list), orphansChecked)] {
		f := dt.table.owner(id, dt.now)
		if f != nil && f != dt.table.self && f.alive() && dt.links.linkTo(f.record.Key) == nil {
			dt.probes.start(f, true)
		}
	}
	if q := dt.probes.of(e); q != nil && len(q.witnesses) == 0 {
		q.addWitnesses(list)
	}
}

// linkBroken has the end of a link looked into that was not said.
func (dt *detector) linkBroken(e *entry) {
	if e.isGuest() {
		return // see checkVisits
	}
	if q := dt.probes.start(e, true); q != nil {
		dt.probes.askNeighbours(q)
	}
	dt.reach.dialEntry(e)
}

// probe sends one random living peer without a link a ping now and then; and soon
// those that were missing and are here again by the word of others, who may have been
// cut off together with us.
func (dt *detector) probe() {
	for range min(len(dt.doubted), doubtedAtOnce) {
		if e := dt.doubted[0]; e.alive() && dt.links.linkTo(e.record.Key) == nil {
			dt.probes.start(e, true)
		}
		dt.doubted = dt.doubted[1:]
	}
	if dt.now < dt.nextProbe {
		return
	}
	every := probeEvery
	if dt.now < dt.alarmTill {
		every = probeAlarmed
	}
	dt.nextProbe = dt.now + every/2 + time.Duration(dt.cfg.Rand.Int64N(int64(every)))
	e := dt.table.pick(func(e *entry) bool {
		return e.alive() && e != dt.table.self && !e.isGuest() && dt.links.linkTo(e.record.Key) == nil && dt.probes.of(e) == nil
	})
	if e != nil {
		dt.probes.start(e, dt.now < dt.alarmTill)
	}
}

// alarm has random peers probed more often for a while, since somebody was found dead.
func (dt *detector) alarm() {
	if dt.now >= dt.alarmTill {
		dt.nextProbe = min(dt.nextProbe, dt.now+probeAlarmed)
	}
	dt.alarmTill = dt.now + alarmFor
}

// cameLate notes that this process was not run for a while: what it should have
// heard meanwhile may lie in its queues. Who was stopped for long hears anew.
func (dt *detector) cameLate(by time.Duration) {
	dt.doubt.doubtTill = max(dt.doubt.doubtTill, dt.now+min(by, quietAfter))
	if by > stoppedAfter {
		dt.forgiveSilence()
	}
	if by > rememberLeft {
		dt.happen(awayLong{})
	}
}

// forgiveSilence is for a peer that was stopped itself: nobody was silent, it was deaf.
func (dt *detector) forgiveSilence() {
	dt.note(Debug, "this process was stopped for a while")
	dt.doubt.lastHeard = dt.now
	for _, l := range dt.links.list {
		l.heard, l.opened = dt.now, max(l.opened, dt.now-handshakeTimeout/2)
		l.askedAt = dt.now
		if l.fetch != nil {
			l.fetch.moved = dt.now
		}
		if l.comparing != nil {
			l.comparing.updated = dt.now
		}
	}
	for _, q := range dt.probes.list {
		q.ended = true
	}
}
