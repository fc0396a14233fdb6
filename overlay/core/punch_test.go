package core

import (
	"net/netip"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/reach"
	"quicpeer/pb"
)

// natted is the record of a test identity with reflexive addresses.
func natted(identity uint64, id string, seq uint32, own string, observed ...string) *pb.Signed {
	key := testIdentity(identity).Key()
	return testIdentity(identity).SignRecord(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: id, Key: key[:], Network: "net", Epoch: 1000, Seq: seq,
		Addresses: []string{own}, Observed: observed,
	})
}

// tell lets a link announce a peer behind a NAT, so many links away from its peer.
func (r *rig) tell(l base.LinkID, hops uint32, record *pb.Signed) {
	r.t.Helper()
	r.receive(l, propagation(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: record, Hops: hops}))
}

// asked is the number of the last CONNECT among the frames of the last input; 0: there is none.
func (r *rig) asked() (number uint64) {
	for _, m := range r.frames() {
		if c := m.GetRouted().GetConnect(); c != nil && c.GetAnswers() == 0 {
			number = c.GetNumber()
		}
	}
	return number
}

// dialled lists the addresses of the dials of the last input.
func (r *rig) dialled() (list []string) {
	for _, d := range r.out.Dials {
		for _, c := range d.Candidates {
			list = append(list, c.Address)
		}
	}
	return list
}

// connectOf is a CONNECT of a peer, or the answer to one.
func connectOf(identity uint64, id certs.ID, number, answers uint64, observed ...string) *pb.Routed {
	key := testIdentity(identity).Key()
	return routedFrom(id, &pb.Routed{Content: &pb.Routed_Connect{Connect: &pb.Connect{Number: number, Answers: answers, Key: key[:], Observed: observed}}})
}

func syncOf(identity uint64, id certs.ID, answers uint64, observed ...string) *pb.Routed {
	key := testIdentity(identity).Key()
	return routedFrom(id, &pb.Routed{Content: &pb.Routed_Sync{Sync: &pb.Connect{Answers: answers, Key: key[:], Observed: observed}}})
}

// invited lets a peer send CONNECT, and returns the number of the answer; 0: there is none.
func (r *rig) invited(mid base.LinkID, identity uint64, id certs.ID) uint64 {
	r.receive(mid, connectOf(identity, id, 7, 0))
	for _, m := range r.frames() {
		if c := m.GetRouted().GetConnect(); c.GetAnswers() == 7 && m.GetRouted().GetTo() == string(id) {
			return c.GetNumber()
		}
	}
	return 0
}

// withNATted is a rig with a neighbour "mid", which has a link to "far", a peer behind a
// NAT; messages wait for that.
func withNATted(t *testing.T) (r *rig, mid base.LinkID) {
	r = newRig(t, nil)
	mid = r.neighbour(1, "mid")
	r.pass(time.Second)
	r.tell(mid, 1, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	return r, mid
}

// meeting answers a CONNECT, and returns the dial that follows.
func (r *rig) meeting(mid base.LinkID, identity uint64, id certs.ID) base.DialID {
	r.t.Helper()
	r.c.Step(r.now, Want{To: id})
	r.drain()
	number := r.asked()
	answer := connectOf(identity, id, 5, number)
	answer.To = string(r.c.env.Cfg.ID)
	r.receive(mid, answer)
	if r.pass(time.Millisecond); len(r.out.Dials) != 1 {
		r.t.Fatalf("after a SYNC it dials %v", r.out.Dials)
	}
	return r.out.Dials[0].ID
}

// TestNomination: of two links made by dials of both sides at once, the side with the smaller ID
// keeps the first, but prefers one within the LAN; later the newest. The other side keeps both.
func TestNomination(t *testing.T) {
	for _, test := range []struct {
		id            certs.ID
		first, second string
		between       time.Duration
		closes        int // 0: none, else the first or the second
	}{
		{"aaa", "203.0.113.2:4001", "203.0.113.2:4001", 0, 2},
		{"zzz", "203.0.113.2:4001", "203.0.113.2:4001", 0, 0},
		{"aaa", "203.0.113.2:4001", "10.9.9.5:4001", 0, 1},
		{"aaa", "10.9.9.5:4001", "203.0.113.2:4001", 0, 2},
		{"aaa", "10.9.9.5:4001", "203.0.113.2:4001", reach.Simultaneous, 1}, // it has moved
		{"aaa", "203.0.113.2:4001", "203.0.113.2:4001", reach.Simultaneous, 1},
	} {
		r := newRig(t, func(c *base.Config) {
			c.ID, c.Near = test.id, []netip.Prefix{netip.MustParsePrefix("10.9.9.0/24")}
		})
		other := r.neighbour(1, "mid")
		r.tell(other, 1, natted(2, "mmm", 0, "10.9.9.5:4001", "203.0.113.2:4001"))
		dial := r.meeting(other, 2, "mmm")
		connect := func(dial base.DialID, address string) base.LinkID {
			r.last++
			r.c.Step(r.now, Connected{Link: r.last, Dial: dial, Key: testIdentity(2).Key(), Address: address})
			r.drain()
			return r.last
		}
		theirs := connect(0, test.first)
		r.now += test.between
		ours := connect(dial, test.second)
		r.c.Step(r.now, Heard{Link: theirs, Heard: r.now, Used: r.now, RoundTrip: 0})
		record := natted(2, "mmm", 0, "10.9.9.5:4001", "203.0.113.2:4001")
		r.receive(theirs, &pb.HandshakeStart{Version: 1, Network: "net", Id: "mmm", Record: record})
		r.receive(ours, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: record})
		closed := 0
		for _, c := range r.out.Closes {
			closed = map[base.LinkID]int{theirs: 1, ours: 2}[c.Link]
		}
		if closed != test.closes {
			t.Errorf("%s, first at %s, second at %s: closes %v", test.id, test.first, test.second, r.out.Closes)
		}
	}
}
