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

// checkLinks looks for links that are silent, or serve nothing.
func (c *Core) checkLinks() {
	healthy, silent := 0, 0
	for _, l := range c.links {
		if l.state != linkUp {
			continue
		}
		c.lastHeard = max(c.lastHeard, l.heard)
		patience := c.patience(l)
		l.quiet = c.now-l.heard >= patience
		if l.quiet {
			silent++
		} else {
			healthy++
			c.wake(l.heard + patience)
			if e := l.entry; e != nil && e.missing && l.heard > c.missingSince {
				c.found(e)
			}
		}
		c.checkPromises(l)
	}
	if c.deaf = healthy == 0; !c.deaf {
		c.deafProven = false
	}
	c.storm = silent >= stormLinks
	if c.storm {
		c.alarmTill = c.now + alarmFor
	}
	for _, l := range c.links {
		if l.state == linkUp && l.quiet {
			c.linkSilent(l)
		}
		if e := l.entry; l.state == linkUp && l.stuck && e != nil && e.alive() && c.linkTo(l.key) == l {
			c.dialFor(e, toRelink)
		}
	}
	if c.ready && !c.leaving && c.deaf {
		c.listenAnew()
	}
}

// checkPromises closes links whose peer does not do what it is asked to, or that
// serve nothing. Who is far, or behind a slow line, is given longer.
func (c *Core) checkPromises(l *link) {
	slow := l.slowness()
	switch {
	case l.fetch != nil && l.verifying == 0 && c.now > l.fetch.moved+syncTimeout+slow:
		c.blame(l, Remark, "peer does not do what it must", "its table did not come")
		c.close(l, CloseTimeout, "its table did not come")
	case l.comparing != nil && l.verifying == 0 && c.now > l.comparing.updated+syncTimeout+slow:
		c.close(l, CloseTimeout, "a comparison of tables was not answered")
	case l.asked && c.now > l.askedAt+askTimeout+slow:
		c.close(l, CloseTimeout, "a request for neighbourhood was not answered")
	case l.neighbour || l.asked || l.fetch != nil || l.verifying > 0 || !c.ready:
	case l.used > l.opened && c.now > l.used+idleAfter, l.used <= l.opened && c.now > l.opened+unusedAfter:
		c.close(l, CloseIdle, "not used")
	}
}

// listenAnew is for who hears nobody: it dials those whom it had links to, and when
// that fails as well it takes itself to be cut off.
func (c *Core) listenAnew() {
	if c.now >= c.lastHeard+isolatedAfter+c.leniency() && c.now >= c.doubtTill && (c.deafProven || len(c.dials) == 0) {
		c.isolate()
		return
	}
	for _, l := range c.links {
		if e := l.entry; l.state == linkUp && e != nil && e.alive() && c.now >= e.our().nextDial {
			c.dialEntry(e)
		}
	}
}

// leniency is what we add to all silence because we come late to our own work: so may
// what we should have heard. Without it a machine with too much to do calls the living
// lost, and the floods and links that follow leave it even more to do.
func (c *Core) leniency() time.Duration { return min(lagWeight*c.lag, mostPatience) }

// patience is how long a link may be silent. It grows with each time that the peer was
// called lost and was not.
func (c *Core) patience(l *link) time.Duration {
	p := quietAfter
	if e := l.entry; e != nil && e.our().revived > 0 && c.now < e.our().revivedAt+patienceFor {
		for range e.our().revived {
			p += p / 2
		}
	}
	return min(p, mostPatience) + c.leniency() + l.slowness()
}

func (l *link) slowness() time.Duration { return Slowness(l.roundTrip, l.jitter) }

// Slowness is how much more silence than others a link of long round trips, or such that
// differ much, is allowed: QUIC's keepalive comes after one and a half of its probe timeouts
// (a round trip and four mean deviations, RFC 9002, 6.2.1), if that is more than the 500 ms
// that are asked for, and takes another round trip and a half to be answered.
func Slowness(roundTrip, jitter time.Duration) time.Duration {
	return max(0, 3*roundTrip+6*jitter-500*time.Millisecond)
}

// linkSilent has a silent link looked into: the peer's neighbours are asked.
func (c *Core) linkSilent(l *link) {
	e := l.entry
	if newer := c.linkTo(l.key); newer != l && !newer.quiet {
		c.close(l, CloseDead, "another connection lives")
		return
	}
	if e == nil || !e.alive() || c.linkTo(l.key) != l {
		return
	}
	if c.inquiryFor(e) == nil {
		c.note(Debug, "link silent", "peer", string(l.peer), "address", l.address)
		if q := c.inquire(e, true); q != nil {
			q.own = true
			q.askNeighbours(c)
		}
	}
	if c.storm {
		c.checkOrphans(e)
	}
}

// checkOrphans looks into neighbours of a peer that has fallen silent while others
// have as well: if they died with it, nobody may be left to notice. All who had a
// link to the peer do the same, so each looks at some of them.
func (c *Core) checkOrphans(e *entry) {
	d := e.with()
	list := d.neighbours
	d.neighbours = nil
	c.cfg.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, id := range list[:min(len(list), orphansChecked)] {
		f := c.table.owner(id, c.now)
		if f != nil && f != c.self && f.alive() && c.linkTo(f.record.Key) == nil {
			c.inquire(f, true)
		}
	}
	if q := c.inquiryFor(e); q != nil && len(q.witnesses) == 0 {
		q.addWitnesses(list)
	}
}

// linkBroken has the end of a link looked into that was not said.
func (c *Core) linkBroken(e *entry) {
	if e.isGuest() {
		return // see checkVisits
	}
	if q := c.inquire(e, true); q != nil {
		q.askNeighbours(c)
	}
	c.dialEntry(e)
}

// probe sends one random living peer without a link a ping now and then; and soon
// those that were missing and are here again by the word of others, who may have been
// cut off together with us.
func (c *Core) probe() {
	for range min(len(c.doubted), doubtedAtOnce) {
		if e := c.doubted[0]; e.alive() && c.linkTo(e.record.Key) == nil {
			c.inquire(e, true)
		}
		c.doubted = c.doubted[1:]
	}
	if c.now < c.nextProbe {
		return
	}
	every := probeEvery
	if c.now < c.alarmTill {
		every = probeAlarmed
	}
	c.nextProbe = c.now + every/2 + time.Duration(c.cfg.Rand.Int64N(int64(every)))
	e := c.pick(func(e *entry) bool {
		return e.alive() && e != c.self && !e.isGuest() && c.linkTo(e.record.Key) == nil && c.inquiryFor(e) == nil
	})
	if e != nil {
		c.inquire(e, c.now < c.alarmTill)
	}
}

// alarm has random peers probed more often for a while, since somebody was found dead.
func (c *Core) alarm() {
	if c.now >= c.alarmTill {
		c.nextProbe = min(c.nextProbe, c.now+probeAlarmed)
	}
	c.alarmTill = c.now + alarmFor
}

// doubtful says that it may be us who can't hear.
func (c *Core) doubtful() bool { return c.deaf || c.now < c.doubtTill }

// cameLate notes that this process was not run for a while: what it should have
// heard meanwhile may lie in its queues. Who was stopped for long hears anew.
func (c *Core) cameLate(by time.Duration) {
	c.doubtTill = max(c.doubtTill, c.now+min(by, quietAfter))
	if by > stoppedAfter {
		c.forgiveSilence()
	}
	if by > rememberLeft {
		c.unsure()
	}
}

// Slept is the news that the whole machine was asleep, for as long as the clock on the
// wall says; its clock for durations may not have run on.
func (c *Core) Slept(now, asleep time.Duration) {
	c.begin(now)
	c.cameLate(max(asleep, quietAfter))
	c.forgiveSilence()
	c.leaveAnew()
}

// forgiveSilence is for a peer that was stopped itself: nobody was silent, it was deaf.
func (c *Core) forgiveSilence() {
	c.note(Debug, "this process was stopped for a while")
	c.lastHeard = c.now
	for _, l := range c.links {
		l.heard, l.opened = c.now, max(l.opened, c.now-handshakeTimeout/2)
		l.askedAt = c.now
		if l.fetch != nil {
			l.fetch.moved = c.now
		}
		if l.comparing != nil {
			l.comparing.updated = c.now
		}
	}
	for _, q := range c.inquiries {
		q.ended = true
	}
}

// pick returns a random entry that meets the condition, nil if none does. Where
// few do, those behind a gap are a little more likely.
func (c *Core) pick(ok func(*entry) bool) *entry {
	n := len(c.table.entries)
	for range min(n, 16) {
		if e := c.table.entries[c.cfg.Rand.IntN(n)]; ok(e) {
			return e
		}
	}
	start := c.cfg.Rand.IntN(max(n, 1))
	for i := range n {
		if e := c.table.entries[(start+i)%n]; ok(e) {
			return e
		}
	}
	return nil
}
