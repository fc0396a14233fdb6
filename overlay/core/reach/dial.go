// Package reach gets us links: where we and others can be reached, dials, simultaneous opens
// through NATs (as DCUtR), and the choice between several links to one peer.
package reach

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
)

// Bounds of dials, guesses.
const (
	DialTimeout = 3 * time.Second  // of one dial
	ShortLived  = 10 * time.Second // a link that ends before; see Disconnected
	checkEvery  = 1 * time.Second  // a dial that only checks whether a peer is here
	MaxDials    = 64               // at once
	maxChecks   = 4                // dials in a row that only check whether a peer is here
)

// Reach gets us links: it dials others, through NATs as well, and chooses among several links to
// one peer.
type Reach struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	where  *Whereabouts
	doubt  *link.Doubt

	Dials    map[base.DialID]*link.Dial
	LastDial base.DialID
	Seeking  int            // dials under way that seek a neighbour
	wanted   []*table.Entry // messages wait for them
	checks   base.Limiter
	unmet    unmet
	Hosts    Hosts
	Meetings []*link.Dial // that wait for an answer, or for the moment
}

// New returns what gets us links; there are none yet.
func New(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, wh *Whereabouts, db *link.Doubt) *Reach {
	return &Reach{Env: en, table: t, links: ls, routes: rt, where: wh, doubt: db, Dials: make(map[base.DialID]*link.Dial), unmet: unmet{Env: en, table: t, links: ls}}
}

// purpose is why a peer is dialled.
type purpose int

const (
	toCheck  purpose = iota // whether it is here
	ToSeek                  // a neighbour
	ToRelink                // since a link leads to nowhere, or is stuck
)

// StartDial gives a dial its number.
func (re *Reach) StartDial(d *link.Dial) {
	re.LastDial++
	d.ID = re.LastDial
	re.Dials[d.ID] = d
}

// Race dials several addresses at once; an address that is being dialled already is not dialled
// twice.
func (re *Reach) Race(d *link.Dial, list []base.Candidate, timeout time.Duration) {
	d.Racing = true
	re.Note(base.Debug, "dialling", "peer", string(d.Peer), "candidates", list)
	if re.doubt.Deaf && re.Ready {
		timeout = min(timeout, link.IsolatedAfter-link.QuietAfter) // so that the result is known by then
	}
	re.Out.Dials = append(re.Out.Dials, base.Dial{ID: d.ID, Key: d.Key, Candidates: list, Timeout: timeout})
}

// newDial begins a dial to a peer.
func (re *Reach) newDial(e *table.Entry, why purpose) *link.Dial {
	wish := &link.Dial{Peer: e.Record.ID, Key: e.Record.Key, Seeking: why == ToSeek}
	if wish.Seeking {
		re.Seeking++
	}
	re.StartDial(wish)
	e.With().Dialing = wish.ID
	return wish
}

// CanDial reports whether a dial to a peer can begin: none is under way or has just failed.
func (re *Reach) CanDial(e *table.Entry) bool {
	d := e.Our()
	return d.Dialing == 0 && re.Now >= d.NextDial && (d.Wanted || re.unmet.mayDial(e))
}

// DialEntry dials a peer, unless a dial is under way or has just failed.
func (re *Reach) DialEntry(e *table.Entry) { re.DialFor(e, toCheck) }

// DialFor is DialEntry for a purpose. A peer behind a NAT is asked to dial us as well (punch.go);
// if no path leads to it, all its addresses are dialled at once.
func (re *Reach) DialFor(e *table.Entry, why purpose) {
	d := e.With()
	if !re.CanDial(e) || re.Leaving || len(re.Dials) >= MaxDials {
		return
	}
	if why == toCheck && !d.Wanted && !re.doubt.Deaf && !re.checks.Take(re.Now, maxChecks, checkEvery) {
		return
	}
	meets := re.mustMeet(e)
	wish := re.newDial(e, why)
	asked := meets && re.connect(wish)
	briefly := Briefly(d.Failures)
	if d.Wanted || re.unmet.isSlow() {
		briefly = DialTimeout
	}
	re.raceTo(wish, e, !asked, nil, briefly)
}

// Nowhere is the error of a dial without an address.
const Nowhere = "it has no address that can be dialled now"

// raceTo races the addresses of a peer. The dial fails if there is none, unless it has others in
// the race or waits for a meeting.
func (re *Reach) raceTo(d *link.Dial, e *table.Entry, met bool, seen []string, briefly time.Duration) {
	our := e.Our()
	there, others := Cautious(re.where.Candidates(e, met, seen), our.LastAddress, our.Failures, func(address string) bool {
		return met && (slices.Contains(seen, address) || slices.Contains(e.Record.Observed, address))
	})
	if !re.RaceCautiously(d, there, others, briefly, our.Wanted || re.unmet.isBereft()) && d.Meeting == nil {
		re.DialEnded(d, Nowhere, false)
	}
}

// DialFailed handles DialFailed.
func (re *Reach) DialFailed(id base.DialID, self bool, why string) {
	d := re.Dials[id]
	if d == nil {
		return
	}
	if d.Target != nil && self {
		d.Target.Hopeless = true
	}
	d.Racing, d.Why = false, why
	if d.Meeting == nil {
		re.DialEnded(d, why, false)
	}
}

// DialEnded closes a dial. reached says that the peer answered, if only with a refusal.
func (re *Reach) DialEnded(d *link.Dial, why string, reached bool) {
	if re.Dials[d.ID] == nil {
		return
	}
	delete(re.Dials, d.ID)
	if d.Paid == &re.unmet.spent {
		re.unmet.proven = reached
	}
	if reached {
		d.PayBack()
	}
	re.endMeeting(d)
	if d.Seeking {
		re.Seeking--
	}
	if d.Target != nil {
		switch joins := &re.Counts.Joins; {
		case why == "":
			joins.Done++
		case reached:
			joins.Refused++
		default:
			joins.Failed++
		}
		re.Happen(TargetEnded{d.Target, why, reached})
		return
	}
	e := re.table.Get(d.Peer, d.Key)
	if e == nil {
		return
	}
	deal := e.With()
	deal.Dialing = 0
	if !reached {
		re.EntryNotReached(e, why)
		return
	}
	deal.Failures, deal.Why = 0, ""
	// A door that refuses is not asked again at once.
	deal.NextDial = re.Now + re.Backoff(1, base.MaxBackoff)
	if deal.Wanted && re.links.LinkTo(e.Record.Key) == nil {
		re.Out.Unreachable = append(re.Out.Unreachable, re.table.NameOf(e, re.Now))
	}
}

// Superfluous ends our dial to a peer that has made a link to us itself.
func (re *Reach) Superfluous(l *link.Link) {
	d := re.Dials[l.Entry.Our().Dialing]
	if d == nil || d == l.Dial {
		return
	}
	re.Out.Cancels = append(re.Out.Cancels, d.ID)
	re.DialEnded(d, "", true)
}

func (re *Reach) EntryNotReached(e *table.Entry, why string) {
	d := e.With()
	d.Failures++
	d.Why = why
	if d.Wanted {
		re.Happen(base.Staying{})
	}
	if d.Met > 0 && re.Now < d.Met+DialTimeout+ConnectTimeout {
		d.Why = "both sides have dialled, and nothing came through: " + why
		re.Counts.Punches.Failed++
	}
	re.doubt.DeafProven = re.doubt.DeafProven || re.doubt.Deaf
	pauses, most := d.Failures, base.MaxBackoff
	switch {
	case d.LastAddress == "" && !d.Wanted && !re.unmet.isBereft():
		pauses, most = d.Failures+6, unmetBackoff // from 8 to 16 s on
	case !e.Alive():
		most = base.LostBackoff
	case len(e.Record.Observed) > 0:
		most = punchBackoff
	}
	d.NextDial = re.Now + re.Backoff(pauses, most)
	re.Note(base.Debug, "dial failed", "peer", string(e.Record.ID), "why", why)
	if d.Wanted && !e.Over() {
		re.Out.Unreachable = append(re.Out.Unreachable, re.table.NameOf(e, re.Now))
	}
}

// Want handles Want.
func (re *Reach) Want(id certs.ID) (soon bool) {
	e := re.table.ByName(id, re.Now)
	if e == nil || e == re.table.Self || re.Leaving || re.links.LinkTo(e.Record.Key) != nil {
		return true
	}
	d := e.With()
	if !d.Wanted {
		d.Wanted = true
		re.wanted = append(re.wanted, e)
		if d.LastAddress == "" {
			d.NextDial = min(d.NextDial, re.Now+base.FirstBackoff) // nobody has been waiting for it until now
		}
	}
	if re.Now >= d.NextDial {
		re.DialEntry(e)
	}
	return d.Failures == 0 && !re.mustMeet(e)
}

// DialWanted redials the peers for which messages wait.
func (re *Reach) DialWanted() {
	re.wanted = slices.DeleteFunc(re.wanted, func(e *table.Entry) bool {
		d := e.With()
		if e.Over() || re.links.LinkTo(e.Record.Key) != nil {
			d.Wanted = false
		}
		if d.Wanted && re.Now >= d.NextDial {
			re.DialEntry(e)
		}
		return !d.Wanted
	})
}

// Of several links to one peer, one is kept.

// MostLinks is how many links to one peer wait for the side that chooses, a guess: both may dial
// two or three addresses of the other before they know that it is one peer.
const MostLinks = 6

// ChooseLink decides what becomes of earlier links to the peer of a new one. Links to an earlier
// run are dead, and so are silent or stuck ones. Otherwise the side with the smaller ID keeps
// one, and the other side uses any until they are closed: so the two never close different ones,
// though they hear of links in another order and of silence at another time. The larger side
// closes one only where the smaller can't keep it: a silent one that is much older than the new
// one, or one beyond MostLinks. Of two that came up together the one within the LAN is kept;
// else, if both sides have dialled, the first, which is in use already. In all other cases
// one side had a reason to dial again, and the newest is kept.
func (re *Reach) ChooseLink(l *link.Link) {
	kept := 1
	for _, old := range slices.Backward(re.links.List) {
		if old == l || old.Key != l.Key || old.State != link.LinkUp {
			continue
		}
		kept++
		switch {
		case old.Epoch < l.Epoch || old.Stuck || old.Quiet && (re.Cfg.ID < l.Peer || l.Opened >= old.Opened+2*Simultaneous):
			re.links.Close(old, base.CloseDead, "replaced by a new connection")
		case re.Cfg.ID < l.Peer || kept > MostLinks:
			surplus := old
			if re.keepsOlder(old, l) {
				surplus = l
			}
			re.links.Close(surplus, base.CloseDuplicate, "another connection is used")
		}
	}
}

// keepsOlder reports whether of two living links to one peer the older is kept.
func (re *Reach) keepsOlder(old, l *link.Link) bool {
	if l.Opened >= old.Opened+Simultaneous {
		return false
	}
	if near := re.where.NearLink(old); near != re.where.NearLink(l) {
		return near
	}
	return (old.Dial == nil) != (l.Dial == nil)
}

// TargetEnded: the dial of an address to join is over.
type TargetEnded struct {
	Target  *link.Target
	Why     string // why it has failed; empty: a peer has answered
	Reached bool   // a peer has answered, if only with a refusal
}

// Affordable drops the candidates whose host has been dialled too often.
func (re *Reach) Affordable(list []base.Candidate) []base.Candidate {
	return slices.DeleteFunc(list, func(a base.Candidate) bool { return !re.Hosts.Take(ParseAddress(a.Address).Addr(), re.Now) })
}
