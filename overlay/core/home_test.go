package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// acquaintance is a peer of an earlier run, by its test identity.
func acquaintance(identity uint64, id string, addresses ...string) base.Acquaintance {
	return base.Acquaintance{ID: certs.ID(id), Key: testIdentity(identity).Key(), Addresses: addresses}
}

// dialledTo returns the first addresses of the dials of the last input.
func (r *rig) dialledTo() []string {
	var list []string
	for _, d := range r.out.Dials {
		list = append(list, d.Candidates[0].Address)
	}
	return list
}

// TestComingHome: a peer that begins without an address to join is ready at once, looks for its
// acquaintances by their keys, and becomes one network with the first that answers.
func TestComingHome(t *testing.T) {
	r := newRig(t, func(c *base.Config) {
		c.Met = []base.Acquaintance{acquaintance(1, "one", "10.0.0.1:5000", "10.9.9.9:5000"), acquaintance(2, "two", "10.0.0.2:5000"), acquaintance(3, "none")}
	})
	if !slices.Contains(r.out.Events, base.Event(base.Ready{})) {
		t.Fatal("it is not ready at once")
	}
	if got := r.dialledTo(); !slices.Equal(got, []string{"10.0.0.1:5000", "10.0.0.2:5000"}) {
		t.Fatalf("it dials %v", got)
	}
	d := r.out.Dials[0]
	if d.Key != testIdentity(1).Key() || len(d.Candidates) != 1 {
		t.Fatalf("it dials %+v, not one key at the one address that is not its own", d)
	}
	l := r.outbound(d.ID, 1)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "one", pb.AnnouncementType_JOIN, 7, 0)})
	asked := slices.ContainsFunc(r.frames(), func(m *pb.PeerMessage) bool { return m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST })
	if !r.has("one") || !asked {
		t.Error("the two networks do not become one")
	}
}

// TestAcquaintancesAsDoors: while the addresses to join are silent, acquaintances are doors as
// well.
func TestAcquaintancesAsDoors(t *testing.T) {
	r := newRig(t, func(c *base.Config) {
		c.Join, c.JoinTimeout = []string{"dead:5000"}, 10*time.Second
		c.Met = []base.Acquaintance{acquaintance(1, "one", "10.0.0.1:5000")}
	})
	if got := r.dialledTo(); !slices.Equal(got, []string{"dead:5000"}) {
		t.Fatalf("it dials %v at first", got)
	}
	r.pass(join.SearchAfter + 2*tickEvery)
	if got := r.dialledTo(); !slices.Equal(got, []string{"10.0.0.1:5000"}) {
		t.Fatalf("it dials %v then", got)
	}
	l := r.outbound(r.out.Dials[0].ID, 1)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "one", pb.AnnouncementType_JOIN, 7, 0)})
	r.brings(l, say(pb.AnnouncementType_JOIN, 1, "one", 7, 0))
	r.pass(tickEvery)
	if !r.c.env.Ready {
		t.Error("the acquaintance is not a door")
	}
}

// TestClockBackAlone: a peer comes home with an earlier epoch, since its clock and its state went
// back. It raises its epoch and comes in, though it is a network of its own already.
func TestClockBackAlone(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Met = []base.Acquaintance{acquaintance(1, "one", "10.0.0.1:5000")} })
	l := r.outbound(r.out.Dials[0].ID, 1)
	r.receive(l, &pb.HandshakeResponse{
		Code: pb.HandshakeCode_STALE, Record: signed(0, "self", pb.AnnouncementType_LEAVE, 5000, 3),
	})
	if r.out.Err != nil || r.out.Epoch != 5001 {
		t.Fatalf("error %v, epoch %d", r.out.Err, r.out.Epoch)
	}
	r.pass(time.Second)
	if len(r.out.Dials) == 0 {
		t.Error("it does not try again")
	}
}

// TestGoneAreLookedFor: a peer that has left is dialled, and so is a lost one even after the table
// has dropped it: it may be in the other part of a network that was cut for days.
func TestGoneAreLookedFor(t *testing.T) {
	for name, end := range map[string]*pb.Announcement{
		"left":          say(pb.AnnouncementType_LEAVE, 1, "one", 1000, 1),
		"lost for long": aged(say(pb.AnnouncementType_LOST, 1, "one", 1000, 0), table.RememberFor-time.Second),
	} {
		r := newRig(t, nil)
		l := r.neighbour(1, "one")
		r.neighbour(2, "two")
		e := r.c.table.Get("one", testIdentity(1).Key())
		e.With().LastAddress = "10.0.0.1:5000"
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "cut"})
		r.receive(2, propagation(end))
		r.pass(2 * time.Minute)
		if name == "lost for long" && r.c.table.Get("one", testIdentity(1).Key()) != nil {
			t.Fatal("it is still in the table")
		}
		dialled := slices.Contains(r.dialledTo(), "10.0.0.1:5000")
		for i := 0; i < 5 && !dialled; i++ {
			for id := range r.c.reach.Dials {
				r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
			}
			r.pass(time.Minute)
			dialled = slices.Contains(r.dialledTo(), "10.0.0.1:5000")
		}
		if !dialled {
			t.Errorf("%s: nobody dials it any more", name)
		}
	}
}

// TestToldEpoch: a refusal without a record raises the epoch of a peer that comes home, but never
// so high that no later one would fit, since it is not proved.
func TestToldEpoch(t *testing.T) {
	for _, test := range []struct{ told, want uint64 }{
		{999, 0}, {1000, 1001}, {pb.MaxToldEpoch, pb.MaxToldEpoch + 1}, {pb.MaxToldEpoch + 1, 0}, {1<<64 - 1, 0},
	} {
		r := newRig(t, func(c *base.Config) { c.Met = []base.Acquaintance{acquaintance(1, "one", "10.0.0.1:5000")} })
		l := r.outbound(r.out.Dials[0].ID, 1)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_STALE, Epoch: test.told})
		if r.out.Epoch != test.want || r.out.Err != nil {
			t.Errorf("told %d: the epoch becomes %d, not %d; error %v", test.told, r.out.Epoch, test.want, r.out.Err)
		}
	}
}
