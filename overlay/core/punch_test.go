package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// asked lists the peers among the frames of the last input that are asked to connect, by link,
// and the number of the last CONNECT.
func (r *rig) asked() (list []string, number uint64) {
	for i, m := range r.frames() {
		if c := m.GetRouted().GetConnect(); c != nil && c.GetAnswers() == 0 {
			list, number = append(list, fmt.Sprintf("%d: %s", r.out.Frames[i].Link, m.GetRouted().GetTo())), c.GetNumber()
		}
	}
	return list, number
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

// TestConnect: a peer behind a NAT is dialled half a round trip after the SYNC, and not before.
func TestConnect(t *testing.T) {
	r, mid := withNATted(t)
	soon := r.c.Step(r.now, Want{To: "far"}).OK
	r.drain()
	asked, number := r.asked()
	if soon || !slices.Equal(asked, []string{"1: far"}) {
		t.Fatalf("asks %v to connect; soon: %v", asked, soon)
	}
	if got := r.dialled(); len(got) > 0 {
		t.Errorf("before the SYNC it dials %v", got)
	}
	r.now += 100 * time.Millisecond
	if r.receive(mid, connectOf(2, "far", 5, number+1)); len(r.out.Frames) != 0 {
		t.Errorf("to an answer to another CONNECT it says %v", r.frames())
	}
	for i := range 2 {
		r.receive(mid, connectOf(2, "far", 5, number, "203.0.113.2:7777"))
		f := r.frames()
		if synced := len(f) == 1 && f[0].GetRouted().GetSync().GetAnswers() == 5; synced != (i == 0) || len(r.out.Dials) != 0 {
			t.Fatalf("to the answer, %d, it says %v and dials %v", i, f, r.out.Dials)
		}
	}
	r.pass(49 * time.Millisecond)
	if len(r.out.Dials) != 0 {
		t.Error("dials too early")
	}
	r.pass(2 * time.Millisecond)
	if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:7777", "203.0.113.2:4001", "192.168.1.5:4001"}) {
		t.Fatalf("after the SYNC it dials %v", r.out.Dials)
	}
	first := r.out.Dials[0].ID
	r.pass(reach.ConnectTimeout + time.Second)
	if asked, _ := r.asked(); len(asked) > 0 {
		t.Errorf("asks again: %v", asked)
	}
	r.c.Step(r.now, DialFailed{Dial: first, Why: "no answer"})
	r.drain()
	if n := r.c.Net(); n.Peers[0].Tries != 1 || !strings.Contains(n.Peers[0].Why, "both sides have dialled") {
		t.Errorf("reported as %+v", n.Peers[0])
	}
}

// TestConnected: the other side answers a CONNECT, and dials when it gets the SYNC.
func TestConnected(t *testing.T) {
	r, mid := withNATted(t)
	number := r.invited(mid, 2, "far")
	if number == 0 || len(r.out.Dials) != 0 {
		t.Fatalf("to a CONNECT it says %v and dials %v", r.frames(), r.out.Dials)
	}
	if again := r.invited(mid, 2, "far"); again != number {
		t.Error("a second CONNECT voids the first answer")
	}
	r.receive(mid, syncOf(2, "far", number, "203.0.113.2:7777", "198.51.100.9:9"))
	if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:7777", "203.0.113.2:4001", "192.168.1.5:4001"}) {
		t.Errorf("at the SYNC it dials %v", got)
	}
}

// TestConnectUnanswered: without an answer the dial fails and is tried again. If no path leads to
// the peer, so that it can't be asked, it is dialled at once at all its addresses.
func TestConnectUnanswered(t *testing.T) {
	r, mid := withNATted(t)
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	if r.pass(reach.ConnectTimeout + 10*time.Millisecond); len(r.c.reach.Dials) != 0 || r.c.Net().Peers[0].Tries != 1 {
		t.Fatalf("%d dials are left; %+v", len(r.c.reach.Dials), r.c.Net().Peers[0])
	}
	again := false
	for range 10 {
		r.pass(50 * time.Millisecond)
		asked, _ := r.asked()
		again = again || len(asked) > 0
	}
	if !again {
		t.Error("it does not ask again")
	}
	r.c.Step(r.now, Disconnected{Link: mid, Friendly: true, Why: "gone"})
	r.pass(5 * time.Second)

	r = newRig(t, nil)
	only := r.neighbour(1, "only")
	r.tell(only, 1, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	r.c.Step(r.now, Disconnected{Link: only, Friendly: true, Why: "gone"})
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	if got := r.dialled(); !slices.Contains(got, "203.0.113.2:4001") {
		t.Errorf("without anybody in between it dials %v", got)
	}
}

// TestConnectGoesAround: a link to the peer that may lead nowhere is not the way of a CONNECT, nor
// of its answer; peers in between use theirs.
func TestConnectGoesAround(t *testing.T) {
	r := newRig(t, nil)
	mid, far := r.neighbour(1, "mid"), r.neighbour(2, "far")
	r.tell(mid, 1, natted(2, "far", 1, "192.168.1.5:4001", "203.0.113.2:4001"))
	r.c.Step(r.now, Moved{Own: []netip.AddrPort{netip.MustParseAddrPort("10.1.0.5:5000")}})
	r.drain()
	if asked, _ := r.asked(); !slices.Equal(asked, []string{fmt.Sprintf("%d: far", mid)}) {
		t.Errorf("asks %v to connect", asked)
	}
	if r.invited(mid, 2, "far"); len(r.out.Frames) != 1 || r.out.Frames[0].Link != mid {
		t.Errorf("answers %v", r.out.Frames)
	}
	between := connectOf(3, "eve", 1, 0)
	between.To, between.Passed, between.Parents = "far", []string{"eve", "mid"}, []byte{0, 0}
	if r.receive(mid, between); len(r.out.Frames) != 1 || r.out.Frames[0].Link != far {
		t.Errorf("passes it on to %v", r.out.Frames)
	}
}

// TestConnectNamesTheLatest: whoever answers a CONNECT says where it was seen last, even if most
// others have seen it elsewhere before.
func TestConnectNamesTheLatest(t *testing.T) {
	r, mid := withNATted(t)
	for i := range uint64(3) {
		r.seeing(10+i, fmt.Sprint("x", i), "203.0.113.1:4001")
	}
	r.receive(mid, &pb.Observed{Address: "203.0.113.1:7777"})
	r.pass(2 * time.Second)
	r.receive(mid, connectOf(2, "far", 7, 0))
	if got := r.frames()[0].GetRouted().GetConnect().GetObserved(); !slices.Equal(got, []string{"203.0.113.1:7777"}) {
		t.Errorf("says that it is seen at %v", got)
	}
}

// meeting answers a CONNECT, and returns the dial that follows.
func (r *rig) meeting(mid base.LinkID, identity uint64, id certs.ID) base.DialID {
	r.t.Helper()
	r.c.Step(r.now, Want{To: id})
	r.drain()
	_, number := r.asked()
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

// TestDialIsOver: a link that the other side has made ends our dial and our CONNECT.
func TestDialIsOver(t *testing.T) {
	comes := func(r *rig) {
		l := r.inbound(2)
		r.receive(l, &pb.HandshakeStart{Version: 1, Network: "net", Id: "far", Record: natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001")})
	}
	r, _ := withNATted(t)
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	if comes(r); len(r.c.reach.Dials) != 0 || len(r.c.reach.Meetings) != 0 {
		t.Errorf("%d dials, %d meetings are left", len(r.c.reach.Dials), len(r.c.reach.Meetings))
	}
	r, mid := withNATted(t)
	dial := r.meeting(mid, 2, "far")
	if comes(r); !slices.Equal(r.out.Cancels, []base.DialID{dial}) || len(r.c.reach.Dials) != 0 {
		t.Errorf("cancels %v; %d dials are left", r.out.Cancels, len(r.c.reach.Dials))
	}
	r.receive(mid, syncOf(2, "far", r.invited(mid, 2, "far")))
	if len(r.out.Dials) != 0 {
		t.Errorf("a late SYNC dials %v", r.dialled())
	}
}
