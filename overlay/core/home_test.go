package core

import (
	"errors"
	"slices"
	"strings"
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

// TestSearchPace: however many acquaintances there are, eight are dialled at once and four a
// second; each of them once, and then more and more seldom.
func TestSearchPace(t *testing.T) {
	r := newRig(t, func(c *base.Config) {
		for i := range join.MaxAcquaintances + 10 {
			c.Met = append(c.Met, acquaintance(uint64(1+i%20), string(wireID(i)), "10.0."+string(rune('0'+i%10))+".1:5000"))
		}
	})
	if n := len(r.out.Dials); n != join.SearchAtOnce {
		t.Errorf("%d dials at once", n)
	}
	fail := func() {
		for id := range r.c.reach.Dials {
			r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
		}
		r.drain()
	}
	fail()
	total := join.SearchAtOnce
	for range 60 {
		r.pass(time.Second)
		if n := len(r.out.Dials); n > 5 {
			t.Fatalf("%d dials in a second", n)
		} else {
			total += n
		}
		fail()
	}
	if total < 20 {
		t.Errorf("only %d dials in a minute", total)
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

// TestAcquaintancesDead: if acquaintances do not answer either, the error counts them.
func TestAcquaintancesDead(t *testing.T) {
	r := newRig(t, func(c *base.Config) {
		c.Join, c.JoinTimeout = []string{"dead:5000"}, 10*time.Second
		c.Met = []base.Acquaintance{acquaintance(1, "one", "10.0.0.1:5000")}
	})
	for range 44 {
		for id := range r.c.reach.Dials {
			r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
		}
		r.pass(tickEvery)
		if r.out.Err != nil {
			break
		}
	}
	var e *base.JoinError
	if !errors.As(r.out.Err, &e) || len(e.Failures) != 2 || !strings.Contains(e.Failures[1], "1 peers") {
		t.Errorf("it ends with %v", r.out.Err)
	}
}

// TestLeaverIsLookedFor: a peer that had a link to us and said goodbye is dialled again now and
// then, and so is the door that the user gave; the network as a whole does so about once a
// second.
func TestLeaverIsLookedFor(t *testing.T) {
	for _, members := range []int{2, 200} {
		r := newRig(t, nil)
		l := r.neighbour(1, "one")
		r.c.table.Get("one", testIdentity(1).Key()).With().LastAddress = "10.0.0.1:5000"
		keep := r.neighbour(2, "two")
		for i := range members - 2 {
			r.receive(keep, propagation(say(pb.AnnouncementType_JOIN, uint64(10+i), string(wireID(i)), 1, 0)))
		}
		r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 1, "one", 1000, 1)))
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "goodbye"})
		r.drain()
		dials := 0
		const minutes = 60
		for range minutes * 60 {
			r.pass(time.Second)
			for _, d := range r.out.Dials {
				if d.Candidates[0].Address == "10.0.0.1:5000" {
					dials++
				}
				r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
			}
		}
		most := minutes * 60 / max(15, members/2)
		if dials == 0 || dials > most {
			t.Errorf("with %d members: %d dials in %d minutes, want 1 to %d", members, dials, minutes, most)
		}
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

// TestJoinAtRunTime: the outcome of a Join is reported once; an address that did not let us in is
// dropped, and one that did is looked for once the peer there has gone.
func TestJoinAtRunTime(t *testing.T) {
	r := newRig(t, nil)
	r.c.Step(r.now, Join{Address: "dead:1"})
	r.drain()
	r.c.Step(r.now, DialFailed{Dial: r.out.Dials[0].ID, Why: "no answer"})
	r.drain()
	if len(r.out.Joined) != 1 || r.out.Joined[0] != (base.Joining{Address: "dead:1", ID: "", Why: "no answer"}) || len(r.c.join.Targets) != 0 {
		t.Fatalf("reported %+v, %d targets left", r.out.Joined, len(r.c.join.Targets))
	}
	r.c.Step(r.now, Join{Address: "door:1"})
	r.drain()
	l := r.outbound(r.out.Dials[0].ID, 1)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "one", pb.AnnouncementType_JOIN, 7, 0)})
	if len(r.out.Joined) != 1 || r.out.Joined[0] != (base.Joining{Address: "door:1", ID: "one", Why: ""}) {
		t.Fatalf("reported %+v", r.out.Joined)
	}
	r.neighbour(2, "two")
	r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 1, "one", 7, 1)))
	r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "goodbye"})
	r.pass(time.Minute)
	if !slices.Contains(r.dialledTo(), "door:1") {
		t.Errorf("it dials %v, not the door again", r.dialledTo())
	}
}

// TestLostForLong: a lost peer is dialled even after the table has dropped it: it may be in the
// other part of a network that was cut for days.
func TestLostForLong(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.neighbour(2, "two")
	e := r.c.table.Get("one", testIdentity(1).Key())
	e.With().LastAddress = "10.0.0.1:5000"
	r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "cut"})
	r.receive(2, propagation(aged(say(pb.AnnouncementType_LOST, 1, "one", 1000, 0), table.RememberFor-time.Second)))
	r.pass(2 * time.Minute)
	if r.c.table.Get("one", testIdentity(1).Key()) != nil {
		t.Fatal("it is still in the table")
	}
	for range 5 {
		for id := range r.c.reach.Dials {
			r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
		}
		r.pass(time.Minute)
		if slices.Contains(r.dialledTo(), "10.0.0.1:5000") {
			return
		}
	}
	t.Error("nobody dials it any more")
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
