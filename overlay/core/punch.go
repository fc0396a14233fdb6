package core

import (
	"net/netip"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Through NATs. Whoever is behind one is dialled only at the same moment at which it dials
// itself: then the first packet of each side opens its own NAT for what comes from the
// other, and QUIC's repetition of that packet does the rest. A neighbour that both have
// (the coordinator) tells them to go:
//
//	caller                   coordinator                 called
//	   | Call ---------------->|                           |
//	   |<----------------- Go  |  Go --------------------->|  so that both have it at once
//	   | Initial ------------------------>|<---------------- Initial
//
// If both dials succeed the side with the smaller ID keeps one connection (chooseLink).
// Who has no common neighbour with the other calls it over the overlay, takes the time
// that this takes, says Go and dials half of that later. A packet that came earlier could
// spoil a NAT that lets strangers' packets make entries (a bare Linux masquerade does), so
// nobody is dialled at an observed address before the Go, except where no way at all
// leads to the peer: then nobody can say it.
//
// A Go makes us send packets to addresses that others have named. So it counts only from a
// neighbour, for a peer of the table, at IPs which that has signed in its record; a link
// that serves stays; and all of it is bounded, here and in hosts.

// Bounds and times, guesses unless said otherwise.
const (
	callTimeout   = 1 * time.Second // for the Go: several round trips
	simultaneous  = 2 * time.Second // two links that come up in this time are of the same meeting
	punchBackoff  = 2 * time.Minute // at most, between two tries at a peer behind a NAT
	callsAtOnce   = 32              // that a neighbour may have us arrange
	callEvery     = 1 * time.Second // then
	gosAtOnce     = 32              // that we follow on the word of one neighbour, or of those who call over the overlay
	goEvery       = 1 * time.Second
	gosOfPeer     = 6 // of these, to one peer
	goOfPeerEvery = 10 * time.Second
	maxDelayed    = 256
	maxAnswered   = 32 // calls over the overlay that wait for their Go
)

// call is a wish to be brought together with a peer.
type call struct {
	number uint64
	dial   *dial
	asked  []LinkID      // coordinators
	routed bool          // it has gone over the overlay
	sent   time.Duration // the last try
}

// delayed is something that is to be done a little later.
type delayed struct {
	at   time.Duration
	what deferred
}

// deferred is one of the types below.
type deferred interface{ do(re *reach) }

type (
	// sayGo tells one of two neighbours to dial the other.
	sayGo struct {
		to, about LinkID
		number    uint64
	}
	// meetCalled dials a peer that has answered our call, and hears the Go now.
	meetCalled struct{ call *call }
	// meetSilent dials a peer anew if its link has stayed silent.
	meetSilent struct {
		id    certs.ID
		key   certs.PublicKey
		link  LinkID
		heard time.Duration // over the link, when this was put off
		seen  netip.AddrPort
	}
)

// answeredCall is a call over the overlay that we have answered.
type answeredCall struct {
	number uint64
	key    certs.PublicKey
	at     time.Duration
}

// punches is what a core has to do with NATs of others and its own.
type punches struct {
	calls    []*call
	delayed  []delayed
	answered []answeredCall
	answers  limiter // from, in a routed frame, is nobody's word: these leave the Gos of neighbours alone
}

// mustMeet says that a peer is not simply dialled.
func (re *reach) mustMeet(e *entry) bool {
	d := e.our()
	return e.alive() && (len(e.record.Observed) > 0 || d.wanted && d.failures > 0)
}

// callFor has the peer of a dial told to dial us; false says that nobody can.
func (re *reach) callFor(d *dial, e *entry) bool {
	k := &call{number: re.cfg.Rand.Uint64(), dial: d}
	if !re.callOnce(k, e) {
		return false
	}
	d.call = k
	re.punch.calls = append(re.punch.calls, k)
	return true
}

// callOnce asks the next coordinator, the nearest first; at last the peer itself.
func (re *reach) callOnce(k *call, e *entry) bool {
	var best *link
	for _, l := range re.links.list {
		if l.state == linkUp && l.neighbour && !l.quiet && l.slot >= 0 && e.hops[l.slot] == 1 && l.key != e.record.Key &&
			!slices.Contains(k.asked, l.id) && (best == nil || l.roundTrip < best.roundTrip) {
			best = l
		}
	}
	k.sent = re.now
	re.wake(re.now + callTimeout)
	if best != nil {
		re.note(Debug, "called by way of a neighbour", "peer", string(e.record.ID), "neighbour", string(best.peer))
		k.asked = append(k.asked, best.id)
		re.links.send(best, &pb.Call{Number: k.number, Id: string(e.record.ID), Key: e.record.Key[:]})
		return true
	}
	own := re.cfg.Identity.Key()
	if k.routed || re.routes.nextHop(e.record.ID, []string{string(re.cfg.ID)}) == nil {
		return false
	}
	k.routed = true
	re.note(Debug, "called over the overlay", "peer", string(e.record.ID))
	return re.routes.sendRouted(e.record.ID, &pb.Routed{Content: &pb.Routed_Call{Call: &pb.Call{Number: k.number, Id: string(re.cfg.ID), Key: own[:]}}})
}

// again tries the next way of a call, or gives it up.
func (re *reach) again(k *call, why string) {
	e := re.table.get(k.dial.peer, k.dial.key)
	if e != nil && re.callOnce(k, e) {
		return
	}
	re.endCall(k)
	if d := k.dial; !d.racing {
		if d.why != "" {
			why = d.why
		}
		re.dialEnded(d, why, false)
	}
}

func (re *reach) endCall(k *call) {
	k.dial.call = nil
	re.punch.calls = slices.DeleteFunc(re.punch.calls, func(other *call) bool { return other == k })
}

// expireCalls takes the next step where no Go comes, and does what was put off.
func (re *reach) expireCalls() {
	for _, k := range slices.Clone(re.punch.calls) {
		if re.now >= k.sent+callTimeout {
			re.again(k, "no neighbour has brought us together with it")
		} else {
			re.wake(k.sent + callTimeout)
		}
	}
	due := re.punch.delayed
	re.punch.delayed = nil
	for _, d := range due {
		if re.now >= d.at {
			d.what.do(re)
		} else {
			re.later(d)
		}
	}
}

// later does something then; at once if that is within a millisecond, or if too much waits.
func (re *reach) later(d delayed) {
	if d.at <= re.now+time.Millisecond || len(re.punch.delayed) >= maxDelayed {
		d.what.do(re)
		return
	}
	re.punch.delayed = append(re.punch.delayed, d)
	re.wake(d.at)
}

func (d sayGo) do(re *reach) {
	l, other := re.links.link(d.to), re.links.link(d.about)
	if l != nil && l.state == linkUp && other != nil && other.state == linkUp {
		re.links.send(l, &pb.Go{Number: d.number, Id: string(other.peer), Key: other.key[:], Observed: other.address})
	}
}

func (d meetCalled) do(re *reach) {
	e := re.table.get(d.call.dial.peer, d.call.dial.key)
	if e != nil && slices.Contains(re.punch.calls, d.call) {
		re.meet(e, netip.AddrPort{})
	}
}

func (d meetSilent) do(re *reach) {
	e, l := re.table.get(d.id, d.key), re.links.linkTo(d.key)
	silent := l == nil || l.id == d.link && l.heard == d.heard && re.now >= d.heard+freshWithin-time.Millisecond
	if e != nil && e.alive() && silent {
		re.meetNow(e, d.seen)
	}
}

// receiveCall has two neighbours dial each other: the nearer one is told later, so that
// both hear it at the same time.
func (re *reach) receiveCall(l *link, m *pb.Call) {
	refuse := func(why string) {
		re.note(Debug, "a call is refused", "from", string(l.peer), "to", m.GetId(), "why", why)
		re.links.send(l, &pb.Refusal{Number: m.GetNumber(), Reason: why})
	}
	other := re.links.linkTo(certs.PublicKey(m.GetKey()))
	switch {
	case !l.neighbour:
		refuse("the caller is not a neighbour")
	case other == nil || other == l || !other.neighbour || other.quiet || string(other.peer) != m.GetId():
		refuse("the called one is not a neighbour")
	case !l.calls.take(re.now, callsAtOnce-1, callEvery) || !other.called.take(re.now, callsAtOnce-1, callEvery):
		refuse("too many calls")
	default:
		half := max(l.roundTrip, other.roundTrip) / 2
		re.later(delayed{re.now + half - l.roundTrip/2, sayGo{l.id, other.id, m.GetNumber()}})
		re.later(delayed{re.now + half - other.roundTrip/2, sayGo{other.id, l.id, m.GetNumber()}})
	}
}

// receiveCallRefused tries another way.
func (re *reach) receiveCallRefused(l *link, m *pb.Refusal) {
	for _, k := range re.punch.calls {
		if k.number == m.GetNumber() && len(k.asked) > 0 && k.asked[len(k.asked)-1] == l.id {
			re.again(k, m.GetReason())
			return
		}
	}
}

// receiveGo dials a peer that does the same at this moment.
func (re *reach) receiveGo(l *link, m *pb.Go) {
	e := re.table.get(certs.ID(m.GetId()), certs.PublicKey(m.GetKey()))
	if e == nil || e == re.table.self || !e.alive() || re.leaving {
		return
	}
	ours := slices.ContainsFunc(re.punch.calls, func(k *call) bool {
		return k.number == m.GetNumber() && k.dial.key == e.record.Key && slices.Contains(k.asked, l.id)
	})
	if !ours && (!l.neighbour || l.tooManyGos(re.now, e)) {
		re.note(Debug, "a go is not followed", "peer", m.GetId(), "by", string(l.peer))
		return
	}
	seen := parseAddress(m.GetObserved())
	near := seen.Addr().IsLoopback() && parseAddress(l.address).Addr().IsLoopback() // on this very host
	if !near && !signedHost(e.record, seen.Addr()) {
		seen = netip.AddrPort{}
	}
	re.meet(e, seen)
}

// meet dials a peer that expects it; seen is where the coordinator sees it. A link that
// serves is not given up on somebody's word: only when nothing has come over it for a
// moment, as over that of a peer that has moved away.
func (re *reach) meet(e *entry, seen netip.AddrPort) {
	l := re.links.linkTo(e.record.Key)
	switch {
	case l != nil && re.now < l.opened+simultaneous:
		return // the other has been faster
	case l == nil || re.dials[e.our().dialing] != nil:
		re.meetNow(e, seen)
	default:
		re.later(delayed{l.heard + freshWithin, meetSilent{e.record.ID, e.record.Key, l.id, l.heard, seen}})
	}
}

func (re *reach) meetNow(e *entry, seen netip.AddrPort) {
	d := e.with()
	wish := re.dials[d.dialing]
	if re.leaving || wish == nil && len(re.dials) >= maxDials {
		return
	}
	d.met = re.now
	if wish == nil {
		wish = re.newDial(e, toCheck)
	}
	if wish.call != nil {
		re.endCall(wish.call)
	}
	list := re.affordable(re.where.candidates(e, true, seen))
	switch {
	case len(list) > 0:
		re.race(wish, list)
	case !wish.racing:
		re.dialEnded(wish, nowhere, false)
	}
}

// nowhere is why a dial fails that has nothing to dial.
const nowhere = "it has no address that can be dialled now"

// receiveRoutedCall answers a call that came over the overlay.
func (re *reach) receiveRoutedCall(from certs.ID, m *pb.Call) {
	e := re.table.get(from, certs.PublicKey(m.GetKey()))
	if e == nil || e == re.table.self || !e.alive() || m.GetId() != string(from) ||
		!e.with().answers.take(re.now, gosOfPeer-1, goOfPeerEvery) || !re.punch.answers.take(re.now, gosAtOnce-1, goEvery) {
		return
	}
	if len(re.punch.answered) == maxAnswered {
		re.punch.answered = slices.Delete(re.punch.answered, 0, 1)
	}
	re.punch.answered = append(re.punch.answered, answeredCall{m.GetNumber(), e.record.Key, re.now})
	own := re.cfg.Identity.Key()
	re.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Called{Called: &pb.Call{Number: m.GetNumber(), Id: string(re.cfg.ID), Key: own[:]}}})
}

// receiveCalled says Go to a peer that has answered our call, and dials it when it hears that.
func (re *reach) receiveCalled(from certs.ID, m *pb.Call) {
	for _, k := range re.punch.calls {
		e := re.table.get(k.dial.peer, k.dial.key)
		if k.number != m.GetNumber() || !k.routed || e == nil || e.record.ID != from || k.dial.key != certs.PublicKey(m.GetKey()) {
			continue
		}
		own := re.cfg.Identity.Key()
		re.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Go{Go: &pb.Go{Number: k.number, Id: string(re.cfg.ID), Key: own[:]}}})
		half := (re.now - k.sent) / 2
		k.sent = re.now // the call lives until then
		re.later(delayed{re.now + half, meetCalled{k}})
		return
	}
}

// receiveRoutedGo is the end of a call that we have answered.
func (re *reach) receiveRoutedGo(from certs.ID, m *pb.Go) {
	i := slices.IndexFunc(re.punch.answered, func(a answeredCall) bool {
		return a.number == m.GetNumber() && a.key == certs.PublicKey(m.GetKey()) && re.now < a.at+probeTime
	})
	e := re.table.get(from, certs.PublicKey(m.GetKey()))
	if i < 0 || e == nil || !e.alive() || re.leaving {
		return
	}
	re.punch.answered = slices.Delete(re.punch.answered, i, i+1)
	re.meet(e, netip.AddrPort{})
}

// punched notes, for people, that a link stands after a meeting.
func (re *reach) punched(l *link) {
	if e := l.entry; e != nil && e.our().met > 0 && re.now < e.our().met+dialTimeout+callTimeout && !re.where.isNear(parseAddress(l.address).Addr()) {
		l.punched = true
	}
}
