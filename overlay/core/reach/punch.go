package reach

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Hole punching. A peer behind a NAT is dialled at the moment at which it dials too, a simultaneous
// open: the first packet of each side opens its own NAT for the other's packets, and QUIC's
// retransmission of that packet does the rest. In libp2p's DCUtR (Seemann, Inden, Vyzovitis:
// Decentralized Hole Punching, DINPS 2022) the two agree on the moment by measuring the round trip
// over others. Here the last peer in between names it, which takes half a round trip instead of
// one and a half, since it knows how long the CONNECT took and how far the called peer is:
//
//	caller                 last peer in between            called
//	   | CONNECT --------------------->|                       |
//	   |<------------------------ SYNC | SYNC ---------------->|
//	   | Initial ---------------------------->|<------ Initial |
//
// The SYNC that arrives first says to wait for the other one. If both dials succeed, the side with
// the smaller ID keeps one connection (ChooseLink). An earlier packet could spoil a NAT at which
// strangers' packets make entries (a bare Linux masquerade is one), so nobody is dialled at an
// observed address before the SYNC, unless no path at all leads to the peer: then nobody can name
// the moment.
//
// A SYNC makes us send packets to addresses that others have named. So it counts once for each
// CONNECT of ours, and else only if the peer at the other end of a link says it itself, at a limited
// rate; for a peer of the table, and at IPs that this has signed in its record. It never replaces a
// link in use, and hosts limits how often any host is dialled.

// Bounds and times, guesses unless said otherwise.
const (
	ConnectTimeout     = 1 * time.Second // for the SYNC: several round trips
	Simultaneous       = 2 * time.Second // two links that come up within it are of the same meeting
	punchBackoff       = 2 * time.Minute // at most, between two tries at a peer behind a NAT
	MeetingsAtOnce     = 32              // CONNECTs that we take from one link; and SYNCs that we follow from one
	meetingEvery       = 1 * time.Second
	MeetingsOfPeer     = 6 // SYNCs that we follow to one peer
	meetingOfPeerEvery = 10 * time.Second
)

// mustMeet reports whether dialling the peer takes a simultaneous open.
func (re *Reach) mustMeet(e *table.Entry) bool {
	d := e.Our()
	return e.Alive() && (len(e.Record.Observed) > 0 || d.Wanted && d.Failures > 0)
}

// connect asks for a meeting with the peer of a dial; false if no path leads to it.
func (re *Reach) connect(d *link.Dial) bool {
	number, own := re.Cfg.Rand.Uint64(), re.Cfg.Identity.Key()
	k := &pb.Connect{Number: number, Key: own[:], Observed: re.where.latest()}
	tries := 0
	if e := re.table.Get(d.Peer, d.Key); e != nil {
		tries = e.Our().Failures
	}
	if re.routes.SendAround(d.Peer, &pb.Routed{Content: &pb.Routed_Connect{Connect: k}}, tries) == 0 {
		return false
	}
	re.Note(base.Debug, "called over the overlay", "peer", string(d.Peer))
	re.arrange(d, link.Meeting{Number: number, Due: re.Now + ConnectTimeout})
	return true
}

// Introduce takes a CONNECT under way to a peer at the other end of a link of ours, and tells both
// when to dial each other. It returns false for anything else.
func (re *Reach) Introduce(l *link.Link, m *pb.Routed) bool {
	if m.GetConnect() == nil {
		return false
	}
	called := re.links.LinkToID(certs.ID(m.GetTo()))
	if called == nil || called == l || !re.routes.Serves(called) {
		return false
	}
	m, err := pb.OpenRouted(m)
	if err != nil || !l.Connects.Take(re.Now, MeetingsAtOnce-1, meetingEvery) {
		re.Note(base.Debug, "a CONNECT is dropped", "from", m.GetFrom(), "to", string(called.Peer), "by", string(l.Peer), "why", err)
		return true
	}
	k := m.GetConnect()
	there, back := called.RoundTrip/2, time.Duration(k.GetTook())*time.Millisecond+l.RoundTrip/2
	after := func(d time.Duration) uint32 { return uint32(min(d.Milliseconds(), pb.MaxAfter)) }
	re.links.Send(called, &pb.Sync{
		Number: k.GetNumber(), Id: m.GetFrom(), Key: k.GetKey(), Observed: k.GetObserved(), After: after(max(back-there, 0)),
	})
	re.routes.SendBack(l.ID, certs.ID(m.GetFrom()), &pb.Routed{Content: &pb.Routed_Sync{Sync: &pb.Sync{
		Number: k.GetNumber(), Id: m.GetTo(), Key: called.Key[:], Observed: []string{called.Address}, After: after(max(there-back, 0)),
	}}})
	return true
}

// ReceiveSync agrees to dial a peer that dials us at the same moment: one that we have called, or
// one that calls us, as the peer at the other end of the link says itself. In the latter case a link
// in use is not replaced: if it leads nowhere, since the peer has moved, it soon is silent.
func (re *Reach) ReceiveSync(l *link.Link, m *pb.Sync, itself bool) {
	e := re.table.Get(certs.ID(m.GetId()), certs.PublicKey(m.GetKey()))
	if e == nil || e == re.table.Self || !e.Alive() || re.Leaving {
		return
	}
	d := e.With()
	wish := re.Dials[d.Dialing]
	if wish == nil || wish.Meeting == nil || wish.Meeting.Agreed || wish.Meeting.Number != m.GetNumber() {
		old := re.links.LinkTo(e.Record.Key)
		used := old != nil && re.Now < old.Heard+link.FreshWithin && wish == nil
		if !itself || used || len(re.Dials) >= MaxDials || !d.Meetings.Take(re.Now, MeetingsOfPeer-1, meetingOfPeerEvery) || !re.mayMeet(l, e) {
			re.Note(base.Debug, "a SYNC is not followed", "peer", m.GetId(), "by", string(l.Peer), "linked", used)
			return
		}
	}
	if wish == nil {
		wish = re.newDial(e, toCheck)
		if d.LastAddress == "" {
			wish.Paid, wish.Price = &l.Meetings, unmetMeeting
		}
	}
	re.arrange(wish, link.Meeting{
		Number: m.GetNumber(), Agreed: true, Due: re.Now + time.Duration(m.GetAfter())*time.Millisecond, Observed: m.GetObserved(),
	})
	re.KeepMeetings()
}

// mayMeet limits the SYNCs of a link that we follow, and of these the ones to peers never met.
func (re *Reach) mayMeet(l *link.Link, e *table.Entry) bool {
	price := meetingEvery
	if e.Our().LastAddress == "" {
		price = unmetMeeting
	}
	return l.Meetings.Spend(re.Now, (MeetingsAtOnce-1)*meetingEvery, price)
}

// arrange puts a meeting in the place of what was arranged for a dial before.
func (re *Reach) arrange(d *link.Dial, m link.Meeting) {
	if d.Meeting == nil {
		re.Meetings = append(re.Meetings, d)
	}
	d.Meeting = &m
	re.Wake(m.Due)
}

// KeepMeetings dials the peers whose moment has come, also where others see them, and gives up
// those that nobody has brought us together with.
func (re *Reach) KeepMeetings() {
	for _, d := range slices.Clone(re.Meetings) {
		m, e := d.Meeting, re.table.Get(d.Peer, d.Key)
		if re.Now < m.Due {
			re.Wake(m.Due)
			continue
		}
		re.endMeeting(d)
		switch {
		case m.Agreed && e != nil:
			e.With().Met = re.Now
			re.raceTo(d, e, true, m.Observed, DialTimeout)
		case !d.Racing:
			re.DialEnded(d, cmp.Or(d.Why, "nobody has brought us together with it"), false)
		}
	}
}

func (re *Reach) endMeeting(d *link.Dial) {
	d.Meeting = nil
	re.Meetings = slices.DeleteFunc(re.Meetings, func(other *link.Dial) bool { return other == d })
}

// Punched logs that a link has come up by a meeting.
func (re *Reach) Punched(l *link.Link) {
	if e := l.Entry; e != nil && e.Our().Met > 0 && re.Now < e.Our().Met+DialTimeout+ConnectTimeout && !re.where.isNear(ParseAddress(l.Address).Addr()) {
		if !slices.ContainsFunc(re.links.List, func(other *link.Link) bool { return other.Key == l.Key && other.Punched }) { // else both dials have come through
			re.Counts.Punches.Done++
		}
		l.Punched = true
	}
}
