package core

import (
	"net/netip"
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

// dial is a wish for a connection, on its way: to a target of the join or to an entry.
type dial struct {
	id      DialID
	target  *target
	peer    certs.ID
	key     certs.PublicKey
	seeking bool   // a neighbour
	racing  bool   // addresses are being dialled
	call    *call  // and the peer is asked to do the same; nil: it is not
	why     string // the dialled addresses have failed
}

// purpose is why a peer is dialled.
type purpose int

const (
	toCheck  purpose = iota // whether it is here
	toSeek                  // a neighbour
	toRelink                // since a link leads to nowhere, or is stuck
)

// startDial wishes for a connection.
func (c *Core) startDial(d *dial) {
	c.lastDial++
	d.id = c.lastDial
	c.dials[d.id] = d
}

// race has addresses dialled, those that are being dialled already once.
func (c *Core) race(d *dial, list []Candidate) {
	d.racing = true
	c.note(Debug, "dialling", "peer", string(d.peer), "candidates", list)
	timeout := dialTimeout
	if c.deaf && c.ready {
		timeout = isolatedAfter - quietAfter // so that it is known by then
	}
	c.out.Dials = append(c.out.Dials, Dial{ID: d.id, Key: d.key, Candidates: list, Timeout: timeout})
}

// newDial begins with a wish for a connection to a peer.
func (c *Core) newDial(e *entry, why purpose) *dial {
	wish := &dial{peer: e.record.ID, key: e.record.Key, seeking: why == toSeek}
	if wish.seeking {
		c.seeking++
	}
	c.startDial(wish)
	e.with().dialing = wish.id
	return wish
}

// dialEntry dials a peer, unless that is under way or it was tried just now.
func (c *Core) dialEntry(e *entry) { c.dialFor(e, toCheck) }

// dialFor is dialEntry for a purpose. Who is behind a NAT is called as well (punch.go).
// If it has no address, and nobody can call it, the dial has failed already.
func (c *Core) dialFor(e *entry, why purpose) {
	d := e.with()
	if d.dialing != 0 || c.leaving || c.now < d.nextDial || len(c.dials) >= maxDials {
		return
	}
	if why == toCheck && !d.wanted && !c.deaf && !c.checks.take(c.now, maxChecks, checkEvery) {
		return
	}
	meets := c.mustMeet(e)
	wish := c.newDial(e, why)
	called := meets && c.callFor(wish, e)
	list := c.affordable(c.candidates(e, !called, netip.AddrPort{}))
	if len(list) > 0 {
		c.race(wish, list)
	} else if !called {
		c.dialEnded(wish, nowhere, false)
	}
}

// dialFailed is DialFailed.
func (c *Core) dialFailed(id DialID, self bool, why string) {
	d := c.dials[id]
	if d == nil {
		return
	}
	if d.target != nil && self {
		d.target.hopeless = true
	}
	d.racing, d.why = false, why
	if d.call == nil {
		c.dialEnded(d, why, false)
	}
}

// dialEnded takes a dial out of the books. reached says that the peer answered,
// be it with a refusal.
func (c *Core) dialEnded(d *dial, why string, reached bool) {
	if c.dials[d.id] == nil {
		return
	}
	delete(c.dials, d.id)
	if d.call != nil {
		c.endCall(d.call)
	}
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
	deal.failures, deal.why = 0, ""
	// A door that refuses is not asked again at once.
	deal.nextDial = c.now + c.backoff(1, maxBackoff)
	if deal.wanted && c.linkTo(e.record.Key) == nil {
		c.out.Unreachable = append(c.out.Unreachable, e.record.ID)
	}
}

// superfluous ends the dial of a peer to whom a link stands that it has made itself.
func (c *Core) superfluous(l *link) {
	d := c.dials[l.entry.our().dialing]
	if d == nil || d == l.dial {
		return
	}
	c.out.Cancels = append(c.out.Cancels, d.id)
	c.dialEnded(d, "", true)
}

func (c *Core) entryNotReached(e *entry, why string) {
	d := e.with()
	d.failures++
	d.why = why
	if d.wanted {
		c.stay()
	}
	if d.met > 0 && c.now < d.met+dialTimeout+callTimeout {
		d.why = "both sides have dialled, and nothing came through: " + why
	}
	c.deafProven = c.deafProven || c.deaf
	most := maxBackoff
	switch {
	case !e.alive():
		most = lostBackoff
	case len(e.record.Observed) > 0:
		most = punchBackoff
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

// want is Want.
func (c *Core) want(id certs.ID) (soon bool) {
	e := c.table.owner(id, c.now)
	if e == nil || e == c.self || c.leaving || c.linkTo(e.record.Key) != nil {
		return true
	}
	d := e.with()
	if !d.wanted {
		d.wanted = true
		c.wanted = append(c.wanted, e)
	}
	if c.now >= d.nextDial {
		c.dialEntry(e)
	}
	if soon = d.failures == 0 && !c.mustMeet(e); !soon {
		c.stay()
	}
	return soon
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
