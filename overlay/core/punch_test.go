package core

import (
	"net/netip"
	"slices"
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
		if c := m.GetRouted().GetConnect(); c != nil {
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

// syncOf is a SYNC for a meeting with a peer.
func syncOf(identity uint64, id certs.ID, number uint64, observed ...string) *pb.Sync {
	key := testIdentity(identity).Key()
	return &pb.Sync{Number: number, Id: string(id), Key: key[:], Observed: observed}
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
	r.receive(mid, syncOf(identity, id, r.asked()))
	if len(r.out.Dials) != 1 {
		r.t.Fatalf("after a SYNC it dials %v", r.out.Dials)
	}
	return r.out.Dials[0].ID
}

// TestIntroduce: the last peer in between tells the two to dial each other so that both do it at
// the same time: whoever hears it sooner waits.
func TestIntroduce(t *testing.T) {
	ms := time.Millisecond
	for _, test := range []struct {
		caller, called time.Duration // round trips of the links
		took           uint32        // of the CONNECT until the last peer before, in ms
		wait           [2]uint32     // of the caller and of the called, in ms
	}{
		{0, 0, 0, [2]uint32{0, 0}},
		{50 * ms, 50 * ms, 0, [2]uint32{0, 0}},
		{20 * ms, 80 * ms, 0, [2]uint32{30, 0}},
		{80 * ms, 20 * ms, 0, [2]uint32{0, 30}},
		{20 * ms, 80 * ms, 45, [2]uint32{0, 15}},
		{20 * ms, 9 * time.Second, 0, [2]uint32{pb.MaxAfter, 0}},
		{20 * ms, 80 * ms, 1<<32 - 1, [2]uint32{0, pb.MaxAfter}},
	} {
		r := newRig(t, nil)
		caller, called := r.neighbour(1, "caller"), r.neighbour(2, "called")
		r.c.Step(r.now, Heard{Link: caller, Heard: r.now, RoundTrip: test.caller})
		r.c.Step(r.now, Heard{Link: called, Heard: r.now, RoundTrip: test.called})
		r.drain()
		key := testIdentity(1).Key()
		r.receive(caller, &pb.Routed{
			From: "caller", To: "called", Passed: []string{"caller"}, Parents: []byte{0},
			Content: &pb.Routed_Connect{Connect: &pb.Connect{Number: 7, Key: key[:], Observed: []string{"203.0.113.2:7"}, Took: test.took}},
		})
		var wait [2]uint32
		frames := r.frames()
		for _, m := range frames {
			if s := m.GetRouted().GetSync(); s != nil && s.GetNumber() == 7 && s.GetId() == "called" && m.GetRouted().GetTo() == "caller" {
				wait[0] = s.GetAfter()
			} else if s := m.GetSync(); s != nil && s.GetNumber() == 7 && s.GetId() == "caller" && slices.Equal(s.GetObserved(), []string{"203.0.113.2:7"}) {
				wait[1] = s.GetAfter()
			} else {
				t.Errorf("%+v: it sends %v", test, m)
			}
		}
		if len(frames) != 2 || wait != test.wait {
			t.Errorf("%+v: %d frames, and they wait %d and %d ms", test, len(frames), wait[0], wait[1])
		}
	}
}

// TestConnectTakes: each peer adds to a CONNECT that it passes on how long the way to it took.
func TestConnectTakes(t *testing.T) {
	r := newRig(t, nil)
	caller, mid := r.neighbour(1, "caller"), r.neighbour(2, "mid")
	r.c.Step(r.now, Heard{Link: caller, Heard: r.now, RoundTrip: 50 * time.Millisecond})
	r.tell(mid, 1, natted(3, "far", 0, "192.168.1.5:4001"))
	r.drain()
	key := testIdentity(1).Key()
	m := &pb.Routed{
		From: "caller", To: "far", Passed: []string{"caller"}, Parents: []byte{0},
		Content: &pb.Routed_Connect{Connect: &pb.Connect{Number: 7, Key: key[:], Took: 10}},
	}
	r.receive(caller, m)
	var took []uint32
	for _, m := range r.frames() {
		took = append(took, m.GetRouted().GetConnect().GetTook())
	}
	if !slices.Equal(took, []uint32{35}) || m.GetConnect().GetTook() != 10 {
		t.Errorf("passed on with %v; that received says %d", took, m.GetConnect().GetTook())
	}
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
