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
// If both dials succeed, the side with the smaller ID keeps one connection (ChooseLink). An
// earlier packet could spoil a NAT at which strangers' packets make entries (a bare Linux
// masquerade is one), so nobody is dialled at an observed address before the SYNC, unless no path
// at all leads to the peer: then nobody can agree with it.
//
// A SYNC makes us send packets to addresses that others have named. So it counts once, from a peer
// of the table that had our CONNECT, and at IPs that this peer has signed in its record; it never
// replaces a link in use; and all of it is limited, here and in hosts.

// Bounds and times, guesses unless said otherwise.
const (
	ConnectTimeout     = 1 * time.Second // for the answer to a CONNECT: several round trips
	Simultaneous       = 2 * time.Second // two links that come up within it are of the same meeting
	punchBackoff       = 2 * time.Minute // at most, between two tries at a peer behind a NAT
	MeetingsAtOnce     = 32              // SYNCs that we follow, of all that come over one link
	meetingEvery       = 1 * time.Second
	MeetingsOfPeer     = 6 // of these, of one peer
	meetingOfPeerEvery = 10 * time.Second
)

// mustMeet reports whether dialling the peer takes a simultaneous open.
func (re *Reach) mustMeet(e *table.Entry) bool {
	d := e.Our()
	return e.Alive() && (len(e.Record.Observed) > 0 || d.Wanted && d.Failures > 0)
}

// connect asks the peer of a dial, over others, to dial us when we dial it; false if no path
// leads to it.
func (re *Reach) connect(d *link.Dial) bool {
	ours := re.step(re.Cfg.Rand.Uint64(), 0)
	if !re.routes.SendRouted(d.Peer, &pb.Routed{Content: &pb.Routed_Connect{Connect: ours}}) {
		return false
	}
	re.Note(base.Debug, "called over the overlay", "peer", string(d.Peer))
	d.Meeting = &link.Meeting{Number: ours.Number, Sent: re.Now, Due: re.Now + ConnectTimeout}
	re.Meetings = append(re.Meetings, d)
	re.Wake(d.Meeting.Due)
	return true
}

// step makes a step of a meeting.
func (re *Reach) step(number, answers uint64) *pb.Connect {
	own := re.Cfg.Identity.Key()
	return &pb.Connect{Number: number, Answers: answers, Key: own[:], Observed: re.where.latest()}
}

// ReceiveConnect answers a CONNECT; or it says SYNC to a peer that has answered ours, and dials at
// the moment at which that arrives.
func (re *Reach) ReceiveConnect(from certs.ID, m *pb.Connect) {
	e := re.table.Get(from, certs.PublicKey(m.GetKey()))
	if e == nil || !e.Alive() {
		return
	}
	if m.GetAnswers() == 0 {
		d := e.With()
		if d.Invited == 0 {
			d.Invited = re.Cfg.Rand.Uint64()
		}
		re.routes.SendRouted(from, &pb.Routed{Content: &pb.Routed_Connect{Connect: re.step(d.Invited, m.GetNumber())}})
		return
	}
	wish := re.Dials[e.Our().Dialing]
	if wish == nil || wish.Meeting == nil || wish.Meeting.Answered || wish.Meeting.Number != m.GetAnswers() {
		return
	}
	re.routes.SendRouted(from, &pb.Routed{Content: &pb.Routed_Sync{Sync: re.step(0, m.GetNumber())}})
	k := wish.Meeting
	k.Answered, k.Due, k.Observed = true, re.Now+(re.Now-k.Sent)/2, m.GetObserved()
	re.Wake(k.Due)
}

// ReceiveSync dials a peer that has had our answer and dials us at this moment. A link in use is
// not replaced because of it: if it leads nowhere, since the peer has moved, it soon is silent.
func (re *Reach) ReceiveSync(l *link.Link, from certs.ID, m *pb.Connect) {
	e := re.table.Get(from, certs.PublicKey(m.GetKey()))
	if e == nil || !e.Alive() || m.GetAnswers() == 0 || m.GetAnswers() != e.Our().Invited {
		return
	}
	d := e.With()
	d.Invited = 0
	old := re.links.LinkTo(e.Record.Key)
	used := old != nil && re.Now < old.Heard+link.FreshWithin && re.Dials[d.Dialing] == nil
	if used || !l.Meetings.Take(re.Now, MeetingsAtOnce-1, meetingEvery) || !d.Meetings.Take(re.Now, MeetingsOfPeer-1, meetingOfPeerEvery) {
		re.Note(base.Debug, "a SYNC is not followed", "peer", string(from), "by", string(l.Peer), "linked", used)
		return
	}
	re.meet(e, m.GetObserved())
}

// KeepMeetings dials when it is time to, and ends meetings that nobody has answered.
func (re *Reach) KeepMeetings() {
	for _, d := range slices.Clone(re.Meetings) {
		e := re.table.Get(d.Peer, d.Key)
		switch {
		case re.Now < d.Meeting.Due:
			re.Wake(d.Meeting.Due)
		case d.Meeting.Answered && e != nil:
			re.meet(e, d.Meeting.Observed)
		default:
			re.endMeeting(d)
			if !d.Racing {
				re.DialEnded(d, cmp.Or(d.Why, "it has not answered over others"), false)
			}
		}
	}
}

func (re *Reach) endMeeting(d *link.Dial) {
	d.Meeting = nil
	re.Meetings = slices.DeleteFunc(re.Meetings, func(other *link.Dial) bool { return other == d })
}

// meet dials a peer that dials us at this moment, also where it says that others see it.
func (re *Reach) meet(e *table.Entry, seen []string) {
	d := e.With()
	wish := re.Dials[d.Dialing]
	if wish == nil && len(re.Dials) >= MaxDials {
		return
	}
	if wish == nil {
		wish = re.newDial(e, toCheck)
	}
	d.Met = re.Now
	re.endMeeting(wish)
	re.raceTo(wish, e, true, seen)
}

// Punched logs that a link has come up by a meeting.
func (re *Reach) Punched(l *link.Link) {
	if e := l.Entry; e != nil && e.Our().Met > 0 && re.Now < e.Our().Met+DialTimeout+ConnectTimeout && !re.where.isNear(ParseAddress(l.Address).Addr()) {
		l.Punched = true
	}
}
