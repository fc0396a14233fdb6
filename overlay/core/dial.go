package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Backoff between dials in a row that reach nobody (guesses).
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	lostBackoff  = 2 * time.Second // of the lost; how often they are dialled at all, see heal
	joinBackoff  = 1 * time.Second // at most, between attempts at an address to join
)

// startDial wishes for a connection.
func (c *Core) startDial(d *dial, addresses []string) {
	c.lastDial++
	d.id = c.lastDial
	c.dials[d.id] = d
	timeout := dialTimeout
	if c.deaf && c.ready {
		timeout = isolatedAfter - quietAfter // so that it is known by then
	}
	c.out.Dials = append(c.out.Dials, Dial{ID: d.id, Key: d.key, Addresses: addresses, Timeout: timeout})
}

// dialEntry dials the peer at the addresses of its record, unless that is under
// way or it was tried just now. Without any the dial has failed already.
func (c *Core) dialEntry(e *entry) { c.dialFor(e, false) }

// dialFor is dialEntry; seeking says that a neighbour is sought.
func (c *Core) dialFor(e *entry, seeking bool) {
	d := e.with()
	if d.dialing != 0 || c.leaving || c.now < d.nextDial || len(c.dials) >= maxDials {
		return
	}
	if !seeking && !d.wanted && !c.deaf && !c.checks.take(c.now, maxChecks, checkEvery) {
		return
	}
	if len(e.record.Addresses) == 0 {
		c.entryNotReached(e, "it has no address")
		return
	}
	wish := &dial{peer: e.record.ID, key: e.record.Key, seeking: seeking}
	if seeking {
		c.seeking++
	}
	c.startDial(wish, e.record.Addresses)
	d.dialing = wish.id
}

// DialFailed is the news that a dial has reached nobody. self says that we
// answer there ourselves; why is for people.
func (c *Core) DialFailed(now time.Duration, id DialID, self bool, why string) {
	c.begin(now)
	d := c.dials[id]
	if d == nil {
		return
	}
	if d.target != nil && self {
		d.target.hopeless = true
	}
	c.dialEnded(d, why, false)
}

// dialEnded takes a dial out of the books. reached says that the peer answered,
// be it with a refusal.
func (c *Core) dialEnded(d *dial, why string, reached bool) {
	if c.dials[d.id] == nil {
		return
	}
	delete(c.dials, d.id)
	if d.seeking {
		c.seeking--
	}
	if d.target != nil {
		d.target.ended(c, why)
		return
	}
	e := c.table.get(d.peer, d.key)
	if e == nil {
		return
	}
	deal := e.with()
	deal.dialing = 0
	if !reached {
		c.entryNotReached(e, why)
		return
	}
	deal.failures = 0
	// A door that refuses is not asked again at once.
	deal.nextDial = c.now + c.backoff(1, maxBackoff)
	if deal.wanted && c.linkTo(e.record.Key) == nil {
		c.out.Unreachable = append(c.out.Unreachable, e.record.ID)
	}
}

func (c *Core) entryNotReached(e *entry, why string) {
	d := e.with()
	d.failures++
	c.deafProven = c.deafProven || c.deaf
	most := maxBackoff
	if !e.alive() {
		most = lostBackoff
	}
	d.nextDial = c.now + c.backoff(d.failures, most)
	c.note(Debug, "dial failed", "peer", string(e.record.ID), "why", why)
	if d.wanted && e.state != pb.AnnouncementType_LEAVE {
		c.out.Unreachable = append(c.out.Unreachable, e.record.ID)
	}
}

// backoff is the pause after so many failures, between half and all of
// firstBackoff·2^(failures-1).
func (c *Core) backoff(failures int, most time.Duration) time.Duration {
	d := min(firstBackoff<<min(failures-1, 16), most)
	return d/2 + time.Duration(c.cfg.Rand.Int64N(int64(d/2)+1))
}

// Want says that messages wait for the peer: it is dialled until there is a
// link, or it is gone.
func (c *Core) Want(now time.Duration, id certs.ID) {
	c.begin(now)
	e := c.table.owner(id, now)
	if e == nil || e == c.self || c.leaving || c.linkTo(e.record.Key) != nil {
		return
	}
	d := e.with()
	if !d.wanted {
		d.wanted = true
		c.wanted = append(c.wanted, e)
	}
	if c.now >= d.nextDial {
		c.dialEntry(e)
	}
}

// dialWanted dials again the peers for whom messages wait.
func (c *Core) dialWanted() {
	c.wanted = slices.DeleteFunc(c.wanted, func(e *entry) bool {
		d := e.with()
		if e.state == pb.AnnouncementType_LEAVE || c.linkTo(e.record.Key) != nil {
			d.wanted = false
		}
		if d.wanted && c.now >= d.nextDial {
			c.dialEntry(e)
		}
		return !d.wanted
	})
}
