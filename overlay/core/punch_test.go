package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
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
func (r *rig) tell(l LinkID, hops uint32, record *pb.Signed) {
	r.t.Helper()
	r.receive(l, propagation(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: record, Hops: hops}))
}

// calls lists the calls among the frames of the last input, by link.
func (r *rig) calls() (list []string, number uint64) {
	for i, m := range r.frames() {
		if c := m.GetCall(); c != nil {
			list, number = append(list, fmt.Sprintf("%d: %s", r.out.Frames[i].Link, c.GetId())), c.GetNumber()
		}
		if c := m.GetRouted().GetCall(); c != nil {
			list, number = append(list, "routed: "+m.GetRouted().GetTo()), c.GetNumber()
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

func goFor(identity uint64, id string, number uint64, observed string) *pb.Go {
	key := testIdentity(identity).Key()
	return &pb.Go{Number: number, Id: id, Key: key[:], Observed: observed}
}

func callTo(identity uint64, id string, number uint64) *pb.Call {
	key := testIdentity(identity).Key()
	return &pb.Call{Number: number, Id: id, Key: key[:]}
}

// withNATted is a rig with a neighbour "mid", which has a link to "far", a peer behind a
// NAT; messages wait for that.
func withNATted(t *testing.T) (r *rig, mid LinkID) {
	r = newRig(t, nil)
	mid = r.neighbour(1, "mid")
	r.pass(time.Second)
	r.tell(mid, 1, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	return r, mid
}

// TestCall: a peer behind a NAT is dialled after the Go, and not before.
func TestCall(t *testing.T) {
	r, mid := withNATted(t)
	soon := r.c.Step(r.now, Want{To: "far"}).OK
	r.drain()
	calls, number := r.calls()
	if soon || len(calls) != 1 || calls[0] != "1: far" {
		t.Fatalf("calls %v; soon: %v", calls, soon)
	}
	if got := r.dialled(); len(got) > 0 {
		t.Errorf("before the Go it dials %v", got)
	}
	r.receive(mid, goFor(2, "far", number, "203.0.113.2:7777"))
	if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:7777", "203.0.113.2:4001", "192.168.1.5:4001"}) {
		t.Errorf("after the Go it dials %v", r.out.Dials)
	}
	first := r.out.Dials[0].ID
	r.pass(callTimeout + time.Second)
	if calls, _ := r.calls(); len(calls) > 0 {
		t.Errorf("calls again: %v", calls)
	}
	r.c.Step(r.now, DialFailed{Dial: first, Why: "no answer"})
	r.drain()
	if n := r.c.Net(); n.Peers[0].Tries != 1 || !strings.Contains(n.Peers[0].Why, "both sides have dialled") {
		t.Errorf("reported as %+v", n.Peers[0])
	}
}

// TestCallWays: a neighbour that refuses, or does not answer, is followed by the next, and at
// last by the peer itself over the overlay. If no route leads to the peer, so that it can't be
// told, it is dialled at once at all its addresses.
func TestCallWays(t *testing.T) {
	r, mid := withNATted(t)
	other := r.neighbour(3, "other")
	r.tell(other, 1, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	r.c.Step(r.now, Heard{Link: mid, Heard: r.now, Used: r.now, RoundTrip: 50 * time.Millisecond})
	r.c.Step(r.now, Heard{Link: other, Heard: r.now, Used: r.now, RoundTrip: 20 * time.Millisecond})
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	calls, number := r.calls()
	if len(calls) != 1 || calls[0] != "2: far" {
		t.Fatalf("the nearest is not called first: %v", calls)
	}
	r.receive(other, &pb.Refusal{Number: number + 1, Reason: "another call"})
	if calls, _ := r.calls(); len(calls) > 0 {
		t.Fatalf("calls after the refusal of another call: %v", calls)
	}
	r.receive(other, &pb.Refusal{Number: number, Reason: "no"})
	if calls, _ := r.calls(); !slices.Equal(calls, []string{"1: far"}) {
		t.Fatalf("after a refusal it calls %v", calls)
	}
	r.pass(callTimeout + 10*time.Millisecond)
	if calls, _ := r.calls(); !slices.Equal(calls, []string{"routed: far"}) {
		t.Fatalf("after silence it calls %v", calls)
	}

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

// TestRoutedCall: without a common neighbour the caller measures the round trip to the other and
// dials half of it after its Go.
func TestRoutedCall(t *testing.T) {
	r := newRig(t, nil)
	mid := r.neighbour(1, "mid")
	r.tell(mid, 3, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	calls, number := r.calls()
	if !slices.Equal(calls, []string{"routed: far"}) {
		t.Fatalf("calls %v", calls)
	}
	r.now += 100 * time.Millisecond
	r.receive(mid, routedFrom("far", &pb.Routed{Content: &pb.Routed_Called{Called: callTo(2, "far", number)}}))
	if len(r.frames()) != 1 || r.frames()[0].GetRouted().GetGo().GetNumber() != number || len(r.out.Dials) != 0 {
		t.Fatalf("to the answer it says %v and dials %v", r.frames(), r.out.Dials)
	}
	r.pass(49 * time.Millisecond)
	if len(r.out.Dials) != 0 {
		t.Error("dials too early")
	}
	r.pass(2 * time.Millisecond)
	if !slices.Contains(r.dialled(), "203.0.113.2:4001") {
		t.Errorf("dials %v", r.dialled())
	}

	// The called side.
	r = newRig(t, nil)
	mid = r.neighbour(1, "mid")
	r.tell(mid, 3, natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001"))
	r.receive(mid, routedFrom("far", &pb.Routed{Content: &pb.Routed_Go{Go: goFor(2, "far", 7, "")}}))
	if len(r.out.Dials) != 0 {
		t.Fatal("dials at a Go without a call")
	}
	r.receive(mid, routedFrom("far", &pb.Routed{Content: &pb.Routed_Call{Call: callTo(2, "far", 7)}}))
	if len(r.frames()) != 1 || r.frames()[0].GetRouted().GetCalled().GetNumber() != 7 || len(r.out.Dials) != 0 {
		t.Fatalf("to a call it says %v and dials %v", r.frames(), r.out.Dials)
	}
	r.receive(mid, routedFrom("far", &pb.Routed{Content: &pb.Routed_Go{Go: goFor(2, "far", 7, "198.51.100.9:9")}}))
	if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:4001", "192.168.1.5:4001"}) {
		t.Errorf("at the Go it dials %v", got)
	}
}

// TestCoordinator: a coordinator sends the Go so that both get it at the same time; for
// neighbours only, and at a limited rate.
func TestCoordinator(t *testing.T) {
	r := newRig(t, nil)
	a, b, stranger := r.neighbour(1, "a"), r.neighbour(2, "b"), r.linked(3, "stranger")
	r.c.Step(r.now, Heard{Link: a, Heard: r.now, Used: r.now, RoundTrip: 20 * time.Millisecond})
	r.c.Step(r.now, Heard{Link: b, Heard: r.now, Used: r.now, RoundTrip: 120 * time.Millisecond})
	r.receive(a, callTo(2, "b", 5))
	if m := r.frames(); len(m) != 1 || r.out.Frames[0].Link != b || m[0].GetGo().GetId() != "a" || m[0].GetGo().GetNumber() != 5 {
		t.Fatalf("the farther one hears %v first", m)
	}
	begin := r.now
	for r.now < begin+time.Second && !slices.ContainsFunc(r.frames(), func(m *pb.PeerMessage) bool { return m.GetGo().GetId() == "b" }) {
		r.pass(time.Millisecond)
	}
	if waited := r.now - begin; waited < 49*time.Millisecond || waited > 52*time.Millisecond {
		t.Errorf("the nearer one hears it %v later", waited)
	}
	refused := func(l LinkID, m *pb.Call, why string) {
		t.Helper()
		r.receive(l, m)
		if f := r.frames(); len(f) != 1 || r.out.Frames[0].Link != l || !strings.Contains(f[0].GetCallRefused().GetReason(), why) {
			t.Errorf("a call to %s, not to be served since %s: %v", m.GetId(), why, f)
		}
	}
	refused(stranger, callTo(2, "b", 6), "the caller is not a neighbour")
	refused(a, callTo(3, "stranger", 6), "the called one is not a neighbour")
	refused(a, callTo(1, "a", 6), "the called one is not a neighbour")
	refused(a, callTo(9, "nobody", 6), "the called one is not a neighbour")
	refused(a, callTo(2, "another", 6), "the called one is not a neighbour")
	for range callsAtOnce - 1 {
		r.receive(a, callTo(2, "b", 7))
	}
	refused(a, callTo(2, "b", 8), "too many")
	r.pass(callEvery)
	r.receive(a, callTo(2, "b", 9))
	if f := r.frames(); len(f) != 2 || f[0].GetGo() == nil || f[1].GetGo() == nil {
		t.Errorf("after a while: %v", f)
	}
}

// meeting answers a call by a Go, and returns the dial that follows.
func (r *rig) meeting(mid LinkID, identity uint64, id certs.ID) DialID {
	r.t.Helper()
	r.c.Step(r.now, Want{To: id})
	r.drain()
	_, number := r.calls()
	r.receive(mid, goFor(identity, string(id), number, ""))
	if len(r.out.Dials) != 1 {
		r.t.Fatalf("at a Go it dials %v", r.out.Dials)
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
		{"aaa", "10.9.9.5:4001", "203.0.113.2:4001", simultaneous, 1}, // it has moved
		{"aaa", "203.0.113.2:4001", "203.0.113.2:4001", simultaneous, 1},
	} {
		r := newRig(t, func(c *Config) {
			c.ID, c.Near = test.id, []netip.Prefix{netip.MustParsePrefix("10.9.9.0/24")}
		})
		other := r.neighbour(1, "mid")
		r.tell(other, 1, natted(2, "mmm", 0, "10.9.9.5:4001", "203.0.113.2:4001"))
		dial := r.meeting(other, 2, "mmm")
		connect := func(dial DialID, address string) LinkID {
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
			closed = map[LinkID]int{theirs: 1, ours: 2}[c.Link]
		}
		if closed != test.closes {
			t.Errorf("%s, first at %s, second at %s: closes %v", test.id, test.first, test.second, r.out.Closes)
		}
	}
}

// TestDialIsOver: a link that the other side has made ends our dial and our call.
func TestDialIsOver(t *testing.T) {
	comes := func(r *rig) {
		l := r.inbound(2)
		r.receive(l, &pb.HandshakeStart{Version: 1, Network: "net", Id: "far", Record: natted(2, "far", 0, "192.168.1.5:4001", "203.0.113.2:4001")})
	}
	r, _ := withNATted(t)
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	if comes(r); len(r.c.reach.dials) != 0 || len(r.c.reach.punch.calls) != 0 {
		t.Errorf("%d dials, %d calls are left", len(r.c.reach.dials), len(r.c.reach.punch.calls))
	}
	r, mid := withNATted(t)
	dial := r.meeting(mid, 2, "far")
	if comes(r); !slices.Equal(r.out.Cancels, []DialID{dial}) || len(r.c.reach.dials) != 0 {
		t.Errorf("cancels %v; %d dials are left", r.out.Cancels, len(r.c.reach.dials))
	}
	r.receive(mid, goFor(2, "far", 9, "203.0.113.2:4001"))
	if len(r.out.Dials) != 0 {
		t.Errorf("a late Go dials %v", r.dialled())
	}
}
