package core

import (
	"cmp"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Hole punching, as DCUtR of libp2p does it (Seemann, Inden, Vyzovitis: Decentralized Hole
// Punching, DINPS 2022). A peer behind a NAT is dialled at the moment at which it dials too, a
// simultaneous open: the first packet of each side opens its own NAT for the other's packets, and
// QUIC's retransmission of that packet does the rest. The two agree on the moment over others:
//
//	caller                  peers in between                called
//	   | CONNECT ------------------------------------------>|
//	   |<------------------------------------------ CONNECT |
//	   | SYNC --------------------------------------------->|
//	   |  half a round trip later                           |  at once
//	   | Initial --------------------->|<---------- Initial |
//
// If both dials succeed, the side with the smaller ID keeps one connection (chooseLink). An
// earlier packet could spoil a NAT at which strangers' packets make entries (a bare Linux
// masquerade is one), so nobody is dialled at an observed address before the SYNC, unless no path
// at all leads to the peer: then nobody can agree with it.
//
// A SYNC makes us send packets to addresses that others have named. So it counts once, from a peer
// of the table that had our CONNECT, and at IPs that this peer has signed in its record; it never
// replaces a link in use; and all of it is limited, here and in hosts.

// Bounds and times, guesses unless said otherwise.
const (
	connectTimeout     = 1 * time.Second // for the answer to a CONNECT: several round trips
	simultaneous       = 2 * time.Second // two links that come up within it are of the same meeting
	punchBackoff       = 2 * time.Minute // at most, between two tries at a peer behind a NAT
	meetingsAtOnce     = 32              // SYNCs that we follow, of all that come over one link
	meetingEvery       = 1 * time.Second
	meetingsOfPeer     = 6 // of these, of one peer
	meetingOfPeerEvery = 10 * time.Second
)

// mustMeet reports whether dialling the peer takes a simultaneous open.
func (re *reach) mustMeet(e *entry) bool {
	d := e.our()
	return e.alive() && (len(e.record.Observed) > 0 || d.wanted && d.failures > 0)
}

// connect asks the peer of a dial, over others, to dial us when we dial it; false if no path
// leads to it.
func (re *reach) connect(d *dial) bool {
	ours := re.step(re.cfg.Rand.Uint64(), 0)
	if !re.routes.sendRouted(d.peer, &pb.Routed{Content: &pb.Routed_Connect{Connect: ours}}) {
		return false
	}
	re.note(Debug, "called over the overlay", "peer", string(d.peer))
	d.meeting = &meeting{number: ours.Number, sent: re.now, due: re.now + connectTimeout}
	re.meetings = append(re.meetings, d)
	re.wake(d.meeting.due)
	return true
}

// step makes a step of a meeting.
func (re *reach) step(number, answers uint64) *pb.Connect {
	own := re.cfg.Identity.Key()
	return &pb.Connect{Number: number, Answers: answers, Key: own[:], Observed: re.where.latest()}
}

// receiveConnect answers a CONNECT; or it says SYNC to a peer that has answered ours, and dials at
// the moment at which that arrives.
func (re *reach) receiveConnect(from certs.ID, m *pb.Connect) {
	e := re.table.get(from, certs.PublicKey(m.GetKey()))
	if e == nil || !e.alive() {
		return
	}
	if m.GetAnswers() == 0 {
		d := e.with()
		if d.invited == 0 {
			d.invited = re.cfg.Rand.Uint64()
		}
		re.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Connect{Connect: re.step(d.invited, m.GetNumber())}})
		return
	}
	wish := re.dials[e.our().dialing]
	if wish == nil || wish.meeting == nil || wish.meeting.answered || wish.meeting.number != m.GetAnswers() {
		return
	}
	re.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Sync{Sync: re.step(0, m.GetNumber())}})
	k := wish.meeting
	k.answered, k.due, k.observed = true, re.now+(re.now-k.sent)/2, m.GetObserved()
	re.wake(k.due)
}

// receiveSync dials a peer that has had our answer and dials us at this moment. A link in use is
// not replaced because of it: if it leads nowhere, since the peer has moved, it soon is silent.
func (re *reach) receiveSync(l *link, from certs.ID, m *pb.Connect) {
	e := re.table.get(from, certs.PublicKey(m.GetKey()))
	if e == nil || !e.alive() || m.GetAnswers() == 0 || m.GetAnswers() != e.our().invited {
		return
	}
	d := e.with()
	d.invited = 0
	old := re.links.linkTo(e.record.Key)
	used := old != nil && re.now < old.heard+freshWithin && re.dials[d.dialing] == nil
	if used || !l.meetings.take(re.now, meetingsAtOnce-1, meetingEvery) || !d.meetings.take(re.now, meetingsOfPeer-1, meetingOfPeerEvery) {
		re.note(Debug, "a SYNC is not followed", "peer", string(from), "by", string(l.peer), "linked", used)
		return
	}
	re.meet(e, m.GetObserved())
}

// keepMeetings dials when it is time to, and ends meetings that nobody has answered.
func (re *reach) keepMeetings() {
	for _, d := range slices.Clone(re.meetings) {
		e := re.table.get(d.peer, d.key)
		switch {
		case re.now < d.meeting.due:
			re.wake(d.meeting.due)
		case d.meeting.answered && e != nil:
			re.meet(e, d.meeting.observed)
		default:
			re.endMeeting(d)
			if !d.racing {
				re.dialEnded(d, cmp.Or(d.why, "it has not answered over others"), false)
			}
		}
	}
}

func (re *reach) endMeeting(d *dial) {
	d.meeting = nil
	re.meetings = slices.DeleteFunc(re.meetings, func(other *dial) bool { return other == d })
}

// meet dials a peer that dials us at this moment, also where it says that others see it.
func (re *reach) meet(e *entry, seen []string) {
	d := e.with()
	wish := re.dials[d.dialing]
	if wish == nil && len(re.dials) >= maxDials {
		return
	}
	if wish == nil {
		wish = re.newDial(e, toCheck)
	}
	d.met = re.now
	re.endMeeting(wish)
	re.raceTo(wish, e, true, seen)
}

// punched logs that a link has come up by a meeting.
func (re *reach) punched(l *link) {
	if e := l.entry; e != nil && e.our().met > 0 && re.now < e.our().met+dialTimeout+connectTimeout && !re.where.isNear(parseAddress(l.address).Addr()) {
		l.punched = true
	}
}
