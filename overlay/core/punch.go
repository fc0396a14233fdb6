package core

import (
	"net/netip"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Hole punching, as DCUtR (libp2p) does it. A peer behind a NAT is dialled only at the moment at
// which it dials too: the first packet of each side opens its own NAT for the other's packets,
// and QUIC's retransmission of that packet does the rest. A common neighbour, the coordinator,
// tells both to go:
//
//	caller                   coordinator                 called
//	   | Call ---------------->|                           |
//	   |<----------------- Go  |  Go --------------------->|  so that both have it at once
//	   | Initial ------------------------>|<---------------- Initial
//
// If both dials succeed, the side with the smaller ID keeps one connection (chooseLink). A peer
// without a common neighbour calls the other over the overlay, measures the round trip, says Go
// and dials half a round trip later. An earlier packet could spoil a NAT at which strangers'
// packets make entries (a bare Linux masquerade is one), so nobody is dialled at an observed
// address before the Go, unless no route at all leads to the peer: then nobody can say Go.
//
// A Go makes us send packets to addresses that others have named. So it counts only from a
// neighbour, for a peer of the table, and at IPs that this peer has signed in its record; it
// never replaces a link in use; and all of it is limited, here and in hosts.

// Bounds and times, guesses unless said otherwise.
const (
	callTimeout   = 1 * time.Second // for the Go: several round trips
	simultaneous  = 2 * time.Second // two links that come up within it are of the same meeting
	punchBackoff  = 2 * time.Minute // at most, between two tries at a peer behind a NAT
	callsAtOnce   = 32              // calls that a neighbour may have us arrange
	callEvery     = 1 * time.Second // then
	gosAtOnce     = 32              // Gos that we follow of one neighbour, or of all callers over the overlay
	goEvery       = 1 * time.Second
	gosOfPeer     = 6 // of these, to one peer
	goOfPeerEvery = 10 * time.Second
	maxDelayed    = 256
	maxAnswered   = 32 // calls over the overlay that wait for their Go
)

// call is a request to be brought together with a peer.
type call struct {
	number uint64
	dial   *dial
	asked  []LinkID      // coordinators
	routed bool          // it has gone over the overlay
	sent   time.Duration // the last try
}

// delayed is an action put off for a moment.
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
	// meetCalled dials a peer that has answered our call and hears the Go now.
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

// punches is the state of hole punching, for other peers and for ourselves.
type punches struct {
	calls    []*call
	delayed  []delayed
	answered []answeredCall
	answers  limiter // a limit apart from that of neighbours' Gos, since the sender of a routed frame is not signed
}

// mustMeet reports whether dialling the peer takes a simultaneous open.
func (re *reach) mustMeet(e *entry) bool {
	d := e.our()
	return e.alive() && (len(e.record.Observed) > 0 || d.wanted && d.failures > 0)
}

// callFor asks others to tell the peer of a dial to dial us; false if nobody can.
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

// again tries the next way of a call, or ends it.
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

// expireCalls takes the next step of calls without a Go, and does what was put off.
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

// later does something at a time; at once if that is within a millisecond or too much waits
// already.
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

// receiveCall has two neighbours dial each other: the nearer one is told later, so that both get
// the Go at the same time.
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

// receiveGo dials a peer that dials us at this moment.
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

// meet dials a peer that expects it; seen is where the coordinator sees it. A link in use is not
// replaced because somebody else says so, unless nothing has come over it for a moment, as when
// its peer has moved away.
func (re *reach) meet(e *entry, seen netip.AddrPort) {
	l := re.links.linkTo(e.record.Key)
	switch {
	case l != nil && re.now < l.opened+simultaneous:
		return // the other side was faster
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

// nowhere is the error of a dial without an address.
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

// receiveCalled says Go to a peer that has answered our call, and dials at the moment at which
// the Go arrives.
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

// receiveRoutedGo follows the Go for a call that we have answered.
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

// punched logs that a link has come up by a meeting.
func (re *reach) punched(l *link) {
	if e := l.entry; e != nil && e.our().met > 0 && re.now < e.our().met+dialTimeout+callTimeout && !re.where.isNear(parseAddress(l.address).Addr()) {
		l.punched = true
	}
}
