package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Bounds of dials, guesses.
const (
	dialTimeout = 3 * time.Second  // of one dial
	shortLived  = 10 * time.Second // a link that ends before; see Disconnected
	checkEvery  = 1 * time.Second  // a dial that only checks whether a peer is here
	maxDials    = 64               // at once
	maxChecks   = 4                // dials in a row that only check whether a peer is here
)

// reach gets us links: it dials others, through NATs as well, and chooses among several links to
// one peer.
type reach struct {
	*env
	table  *table
	links  *links
	routes *routes
	where  *whereabouts
	doubt  *doubt

	dials    map[DialID]*dial
	lastDial DialID
	seeking  int      // dials under way that seek a neighbour
	wanted   []*entry // messages wait for them
	checks   limiter
	hosts    hosts
	meetings []*dial // that wait for an answer, or for the moment
}

// purpose is why a peer is dialled.
type purpose int

const (
	toCheck  purpose = iota // whether it is here
	toSeek                  // a neighbour
	toRelink                // since a link leads to nowhere, or is stuck
)

// startDial gives a dial its number.
func (re *reach) startDial(d *dial) {
	re.lastDial++
	d.id = re.lastDial
	re.dials[d.id] = d
}

// race dials several addresses at once; an address that is being dialled already is not dialled
// twice.
func (re *reach) race(d *dial, list []Candidate) {
	d.racing = true
	re.note(Debug, "dialling", "peer", string(d.peer), "candidates", list)
	timeout := dialTimeout
	if re.doubt.deaf && re.ready {
		timeout = isolatedAfter - quietAfter // so that the result is known by then
	}
	re.out.Dials = append(re.out.Dials, Dial{ID: d.id, Key: d.key, Candidates: list, Timeout: timeout})
}

// newDial begins a dial to a peer.
func (re *reach) newDial(e *entry, why purpose) *dial {
	wish := &dial{peer: e.record.ID, key: e.record.Key, seeking: why == toSeek}
	if wish.seeking {
		re.seeking++
	}
	re.startDial(wish)
	e.with().dialing = wish.id
	return wish
}

// dialEntry dials a peer, unless a dial is under way or has just failed.
func (re *reach) dialEntry(e *entry) { re.dialFor(e, toCheck) }

// dialFor is dialEntry for a purpose. A peer behind a NAT is asked to dial us as well (punch.go);
// if no path leads to it, all its addresses are dialled at once.
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
	asked := meets && re.connect(wish)
	re.raceTo(wish, e, !asked, nil)
}

// nowhere is the error of a dial without an address.
const nowhere = "it has no address that can be dialled now"

// raceTo races the addresses of a peer. The dial fails if there is none, unless it has others in
// the race or waits for a meeting.
func (re *reach) raceTo(d *dial, e *entry, met bool, seen []string) {
	list := re.affordable(re.where.candidates(e, met, seen))
	switch {
	case len(list) > 0:
		re.race(d, list)
	case !d.racing && d.meeting == nil:
		re.dialEnded(d, nowhere, false)
	}
}

// dialFailed handles DialFailed.
func (re *reach) dialFailed(id DialID, self bool, why string) {
	d := re.dials[id]
	if d == nil {
		return
	}
	if d.target != nil && self {
		d.target.hopeless = true
	}
	d.racing, d.why = false, why
	if d.meeting == nil {
		re.dialEnded(d, why, false)
	}
}

// dialEnded closes a dial. reached says that the peer answered, if only with a refusal.
func (re *reach) dialEnded(d *dial, why string, reached bool) {
	if re.dials[d.id] == nil {
		return
	}
	delete(re.dials, d.id)
	re.endMeeting(d)
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

// superfluous ends our dial to a peer that has made a link to us itself.
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
	if d.met > 0 && re.now < d.met+dialTimeout+connectTimeout {
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

// want handles Want.
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

// dialWanted redials the peers for which messages wait.
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

// Of several links to one peer, one is kept.

// mostLinks is how many links to one peer wait for the side that chooses, a guess: both may dial
// two or three addresses of the other before they know that it is one peer.
const mostLinks = 6

// chooseLink decides what becomes of earlier links to the peer of a new one. Links to an earlier
// run are dead, and so are silent or stuck ones. Otherwise the side with the smaller ID keeps
// one, and the other side uses any until they are closed: so the two never close different ones,
// though they hear of links in another order and of silence at another time. The larger side
// closes one only where the smaller can't keep it: a silent one that is much older than the new
// one, or one beyond mostLinks. Of two that came up together the one within the LAN is kept;
// else, if both sides have dialled, the first, which is in use already. In all other cases
// one side had a reason to dial again, and the newest is kept.
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

// keepsOlder reports whether of two living links to one peer the older is kept.
func (re *reach) keepsOlder(old, l *link) bool {
	if l.opened >= old.opened+simultaneous {
		return false
	}
	if near := re.where.nearLink(old); near != re.where.nearLink(l) {
		return near
	}
	return (old.dial == nil) != (l.dial == nil)
}

// targetEnded: the dial of an address to join is over.
type targetEnded struct {
	target *target
	why    string // why it has failed; empty: a peer has answered
}

// affordable drops the candidates whose host has been dialled too often.
func (re *reach) affordable(list []Candidate) []Candidate {
	return slices.DeleteFunc(list, func(a Candidate) bool { return !re.hosts.take(parseAddress(a.Address).Addr(), re.now) })
}
