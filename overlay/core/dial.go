package core

import (
	"net/netip"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Backoff between dials in a row that reach nobody (guesses).
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	lostBackoff  = 2 * time.Second // of the lost; how often they are dialled at all, see heal
	joinBackoff  = 1 * time.Second // at most, between attempts at an address to join
)

// reach gets us links: it dials others, through NATs as well, and chooses among several
// links to one peer.
type reach struct {
	*env
	table  *table
	links  *links
	routes *routes
	where  *whereabouts
	doubt  *doubt
	gossip *gossip

	dials    map[DialID]*dial
	lastDial DialID
	seeking  int      // dials under way that seek a neighbour
	wanted   []*entry // messages wait for them
	checks   limiter
	hosts    hosts
	punch    punches
}

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
func (re *reach) startDial(d *dial) {
	re.lastDial++
	d.id = re.lastDial
	re.dials[d.id] = d
}

// race has addresses dialled, those that are being dialled already once.
func (re *reach) race(d *dial, list []Candidate) {
	d.racing = true
	re.note(Debug, "dialling", "peer", string(d.peer), "candidates", list)
	timeout := dialTimeout
	if re.doubt.deaf && re.ready {
		timeout = isolatedAfter - quietAfter // so that it is known by then
	}
	re.out.Dials = append(re.out.Dials, Dial{ID: d.id, Key: d.key, Candidates: list, Timeout: timeout})
}

// newDial begins with a wish for a connection to a peer.
func (re *reach) newDial(e *entry, why purpose) *dial {
	wish := &dial{peer: e.record.ID, key: e.record.Key, seeking: why == toSeek}
	if wish.seeking {
		re.seeking++
	}
	re.startDial(wish)
	e.with().dialing = wish.id
	return wish
}

// dialEntry dials a peer, unless that is under way or it was tried just now.
func (re *reach) dialEntry(e *entry) { re.dialFor(e, toCheck) }

// dialFor is dialEntry for a purpose. Who is behind a NAT is called as well (punch.go).
// If it has no address, and nobody can call it, the dial has failed already.
func (re *reach) dialFor(e *entry, why purpose) {
	d := e.with()
	if d.dialing != 0 || re.leaving || re.now < d.nextDial || len(re.dials) >= maxDials {
		return
	}
	if why == toCheck && !d.wanted && !re.doubt.deaf && !re.checks.take(re.now, maxChecks, checkEvery) {
		return
	}
	meets := re.mustMeet(e)
	wish := re.newDial(e, why)
	called := meets && re.callFor(wish, e)
	list := re.affordable(re.where.candidates(e, !called, netip.AddrPort{}))
	if len(list) > 0 {
		re.race(wish, list)
	} else if !called {
		re.dialEnded(wish, nowhere, false)
	}
}

// dialFailed is DialFailed.
func (re *reach) dialFailed(id DialID, self bool, why string) {
	d := re.dials[id]
	if d == nil {
		return
	}
	if d.target != nil && self {
		d.target.hopeless = true
	}
	d.racing, d.why = false, why
	if d.call == nil {
		re.dialEnded(d, why, false)
	}
}

// dialEnded takes a dial out of the books. reached says that the peer answered,
// be it with a refusal.
func (re *reach) dialEnded(d *dial, why string, reached bool) {
	if re.dials[d.id] == nil {
		return
	}
	delete(re.dials, d.id)
	if d.call != nil {
		re.endCall(d.call)
	}
	if d.seeking {
		re.seeking--
	}
	if d.target != nil {
		re.happen(targetEnded{d.target, why})
		return
	}
	e := re.table.get(d.peer, d.key)
	if e == nil {
		return
	}
	deal := e.with()
	deal.dialing = 0
	if !reached {
		re.entryNotReached(e, why)
		return
	}
	deal.failures, deal.why = 0, ""
	// A door that refuses is not asked again at once.
	deal.nextDial = re.now + re.backoff(1, maxBackoff)
	if deal.wanted && re.links.linkTo(e.record.Key) == nil {
		re.out.Unreachable = append(re.out.Unreachable, e.record.ID)
	}
}

// superfluous ends the dial of a peer to whom a link stands that it has made itself.
func (re *reach) superfluous(l *link) {
	d := re.dials[l.entry.our().dialing]
	if d == nil || d == l.dial {
		return
	}
	re.out.Cancels = append(re.out.Cancels, d.id)
	re.dialEnded(d, "", true)
}

func (re *reach) entryNotReached(e *entry, why string) {
	d := e.with()
	d.failures++
	d.why = why
	if d.wanted {
		re.happen(staying{})
	}
	if d.met > 0 && re.now < d.met+dialTimeout+callTimeout {
		d.why = "both sides have dialled, and nothing came through: " + why
	}
	re.doubt.deafProven = re.doubt.deafProven || re.doubt.deaf
	most := maxBackoff
	switch {
	case !e.alive():
		most = lostBackoff
	case len(e.record.Observed) > 0:
		most = punchBackoff
	}
	d.nextDial = re.now + re.backoff(d.failures, most)
	re.note(Debug, "dial failed", "peer", string(e.record.ID), "why", why)
	if d.wanted && e.state != pb.AnnouncementType_LEAVE {
		re.out.Unreachable = append(re.out.Unreachable, e.record.ID)
	}
}

// want is Want.
func (re *reach) want(id certs.ID) (soon bool) {
	e := re.table.owner(id, re.now)
	if e == nil || e == re.table.self || re.leaving || re.links.linkTo(e.record.Key) != nil {
		return true
	}
	d := e.with()
	if !d.wanted {
		d.wanted = true
		re.wanted = append(re.wanted, e)
	}
	if re.now >= d.nextDial {
		re.dialEntry(e)
	}
	return d.failures == 0 && !re.mustMeet(e)
}

// dialWanted dials again the peers for whom messages wait.
func (re *reach) dialWanted() {
	re.wanted = slices.DeleteFunc(re.wanted, func(e *entry) bool {
		d := e.with()
		if e.state == pb.AnnouncementType_LEAVE || re.links.linkTo(e.record.Key) != nil {
			d.wanted = false
		}
		if d.wanted && re.now >= d.nextDial {
			re.dialEntry(e)
		}
		return !d.wanted
	})
}

// Of several links to one peer one is kept.

// mostLinks to one peer wait for the side that chooses, a guess: both may dial two or three
// addresses of the other before they know that it is one.
const mostLinks = 6

// chooseLink deals with earlier links to the peer of a new one. Those of an earlier run
// are dead, and so is one that was silent, or stuck. Else the side with the smaller ID keeps one,
// and the other side uses any until they are closed, so that the two never close different
// ones: it hears of links in another order, and of silence at another time. It closes one
// only where the smaller can't keep that: a silent one long after which the new one came,
// or one of more than mostLinks. Of two that came up together the one within the LAN is
// kept, else the first, which serves already, if both sides have dialled. In all other
// cases somebody had a reason to dial again, and the newest is.
func (re *reach) chooseLink(l *link) {
	kept := 1
	for _, old := range slices.Backward(re.links.list) {
		if old == l || old.key != l.key || old.state != linkUp {
			continue
		}
		kept++
		switch {
		case old.epoch < l.epoch || old.stuck || old.quiet && (re.cfg.ID < l.peer || l.opened >= old.opened+2*simultaneous):
			re.links.close(old, CloseDead, "replaced by a new connection")
		case re.cfg.ID < l.peer || kept > mostLinks:
			surplus := old
			if re.keepsOlder(old, l) {
				surplus = l
			}
			re.links.close(surplus, CloseDuplicate, "another connection is used")
		}
	}
}

// keepsOlder says that of two living links to one peer the older is kept.
func (re *reach) keepsOlder(old, l *link) bool {
	if l.opened >= old.opened+simultaneous {
		return false
	}
	if near := re.where.nearLink(old); near != re.where.nearLink(l) {
		return near
	}
	return (old.dial == nil) != (l.dial == nil)
}
