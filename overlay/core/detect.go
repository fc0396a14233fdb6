package core

import (
	"time"
)

// Bounds of detection, guesses unless said otherwise.
const (
	stoppedAfter   = 1 * time.Second  // a tick so late: this process was stopped
	stormLinks     = 2                // silent at once, before others are suspected to have died unseen
	alarmFor       = 10 * time.Second // after a peer was found lost, probes come often
	probeEvery     = 10 * time.Second // of a random peer without a link; the study's figure
	probeAlarmed   = 1 * time.Second
	idleAfter      = 60 * time.Second // for a link that has carried messages
	unusedAfter    = 5 * time.Second  // for a link that has never been used
	askTimeout     = 10 * time.Second // for the answer to a request for neighbourhood
	doubtedAtOnce  = 3                // probed in a tick
	orphansChecked = 3                // of the neighbours of each peer that fell silent in a storm
)

// Failure detection, after SWIM. When a link is silent for quietAfter, its owner asks the peer's
// other neighbours, which the peer itself has named, when they last heard it (probes.go). If none
// of them hears it either, it is suspected of being lost (suspicion.go). Now and then a random
// peer without a link is pinged, so that an entry whose neighbours have all gone is noticed too.
//
// A peer that may be deaf itself allows others more time, as in Lifeguard (Dadgar, Phillips, Currey
// 2018), and at worst accuses nobody (doubt.go). A peer that hears nobody for
// isolatedAfter shows everybody as lost to its user, and tells no other peer (view.go).

// detector finds the peers that are gone.
type detector struct {
	*env
	table  *table
	links  *links
	doubt  *doubt
	reach  *reach
	probes *probes

	alarmTill time.Duration
	nextProbe time.Duration
	doubted   []*entry // found again by what others say; to be probed first
}

// checkLinks looks for links that are silent or unused.
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

// checkPromises closes links whose peer does not do what it was asked to, or that are not used. A
// far peer, or one behind a slow line, gets longer.
func (dt *detector) checkPromises(l *link) {
	slow := l.slowness()
	switch {
	case l.exchange != nil && l.verifying == 0 && dt.now > l.exchange.moved+syncTimeout+slow:
		if !dt.ready {
			dt.links.blame(l, Remark, "peer does not do what it must", "its table did not come")
		}
		dt.links.close(l, CloseTimeout, "its table did not come")
	case l.asked && dt.now > l.askedAt+askTimeout+slow:
		dt.links.close(l, CloseTimeout, "a request for neighbourhood was not answered")
	case l.neighbour || l.asked || l.exchange != nil || l.verifying > 0 || !dt.ready:
	case l.used > l.opened && dt.now > l.used+idleAfter, l.used <= l.opened && dt.now > l.opened+unusedAfter:
		dt.links.close(l, CloseIdle, "not used")
	}
}

// listenAnew is for a peer that hears nobody: it dials the peers that it had links to, and if
// that fails too, it considers itself cut off.
func (dt *detector) listenAnew() {
	if dt.now >= dt.doubt.lastHeard+dt.doubt.stretch(isolatedAfter) && (dt.doubt.deafProven || len(dt.reach.dials) == 0) {
		dt.happen(isolated{})
		return
	}
	for _, l := range dt.links.list {
		if e := l.entry; l.state == linkUp && e != nil && e.alive() && dt.now >= e.our().nextDial {
			dt.reach.dialEntry(e)
		}
	}
}

// linkSilent starts a probe of a silent link's peer: its neighbours are asked.
func (dt *detector) linkSilent(l *link) {
	e := l.entry
	if newer := dt.links.linkTo(l.key); newer != l && !newer.quiet {
		dt.links.close(l, CloseDead, "another connection lives")
		return
	}
	switch {
	case e == nil || dt.links.linkTo(l.key) != l:
		return
	case !e.alive():
		if e.suspect(dt.now) && !dt.doubt.doubtful() {
			dt.happen(accused{e})
		}
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

// checkOrphans probes neighbours of a peer that has fallen silent together with others: if they
// died with it, nobody may be left to notice. All who had a link to the peer do the same, so each
// probes some of them.
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

// linkBroken starts a probe after a link has ended without a goodbye.
func (dt *detector) linkBroken(e *entry) {
	if e.isGuest() {
		return // see checkVisits
	}
	if q := dt.probes.start(e, true); q != nil {
		dt.probes.askNeighbours(q)
	}
	dt.reach.dialEntry(e)
}

// probe starts a probe of one random living peer without a link now and then; and soon of those
// that were missing and are here again by what others say, since they may have been cut off
// together with us.
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

// alarm makes random probes more frequent for a while, since a peer was found dead.
func (dt *detector) alarm() {
	if dt.now >= dt.alarmTill {
		dt.nextProbe = min(dt.nextProbe, dt.now+probeAlarmed)
	}
	dt.alarmTill = dt.now + alarmFor
}

// cameLate is called when this process has not run for long.
func (dt *detector) cameLate(by time.Duration) {
	dt.doubt.atLeast(worstHealth)
	dt.forgiveSilence()
	if by > rememberLeft {
		dt.happen(awayLong{})
	}
}

// forgiveSilence counts all links as heard just now: this process was stopped, so it was deaf and
// no peer was silent.
func (dt *detector) forgiveSilence() {
	dt.note(Debug, "this process was stopped for a while")
	dt.doubt.lastHeard = dt.now
	for _, l := range dt.links.list {
		l.heard, l.opened = dt.now, max(l.opened, dt.now-handshakeTimeout/2)
		l.askedAt = dt.now
		if l.exchange != nil {
			l.exchange.moved = dt.now
		}
	}
	for _, q := range dt.probes.list {
		q.ended = true
	}
}

// isolated: we reach no peer any more.
type isolated struct{}

// awayLong: we were away for so long that other peers may have forgotten who left meanwhile.
type awayLong struct{}
