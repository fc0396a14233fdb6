package core

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestFalseDuplicate: of two doors one says that our ID is in use, by a record that it has made up, before
// or after the other lets us in: we stay, and do not believe it. If no door lets us in, we stop.
func TestFalseDuplicate(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second string // what the two doors say
		stops         bool
	}{
		{"before", "duplicate", "ok", false}, {"after", "ok", "duplicate", false}, {"both", "duplicate", "duplicate", true},
	} {
		r := newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1", "b:1"}, 10*time.Second })
		dials := r.out.Dials
		stopped := false
		for i, answer := range []string{test.first, test.second} {
			if answer == "ok" {
				r.welcome(dials[i].ID, uint64(i+1))
				continue
			}
			made := uint64(100 + i)
			r.receive(r.outbound(dials[i].ID, uint64(i+1)), &pb.HandshakeResponse{
				Code: pb.HandshakeCode_DUPLICATE_ID, Record: signed(made, "self", pb.AnnouncementType_JOIN, 1, 0),
			})
			stopped = stopped || r.out.Err != nil
		}
		if stopped != test.stops || len(r.c.table.Of("self")) != 1 {
			t.Errorf("%s: stops %v, knows %v", test.name, stopped, r.c.table.Of("self"))
		}
	}
}

// shown are the names that have come and gone, those gone with a minus.
func shownNames(list []base.Event) (names []certs.ID) {
	for _, e := range list {
		switch e := e.(type) {
		case base.Joined:
			names = append(names, e.ID)
		case base.Left:
			names = append(names, "-"+e.ID)
		}
	}
	return names
}

// TestClaimants: another key of an ID is shown by a longer name, after a moment, and never in place of
// whoever has the ID. It gets the ID once that has been lost for long.
func TestClaimants(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 7, "bob", 500, 0), say(pb.AnnouncementType_JOIN, 8, "bob", 1, 0)))
	alias := certs.Alias("bob", testIdentity(8).Key())
	if got := shownNames(r.out.Events); !slices.Equal(got, []certs.ID{"bob"}) {
		t.Fatalf("shows %v", got)
	}
	if r.pass(claimantAfter + tickEvery); r.c.Record(alias) == nil || r.c.Record("bob").Key != testIdentity(7).Key() {
		t.Fatal("the claimant is not shown, or as bob")
	}
	r.receive(l, propagation(say(pb.AnnouncementType_LOST, 7, "bob", 500, 0)))
	r.pass(table.SuspectAlone + tickEvery)
	if r.c.Record("bob") != nil || r.c.Record(alias) == nil {
		t.Error("a claimant has the ID of a peer that was just lost")
	}
	r.c.table.Get("bob", testIdentity(7).Key()).Said -= table.HoldsFor
	r.pass(tickEvery)
	if bob := r.c.Record("bob"); bob == nil || bob.Key != testIdentity(8).Key() || r.c.Record(alias) != nil {
		t.Error("a claimant does not get the ID of a peer that was lost for long")
	}
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 7, "bob", 501, 0)))
	r.pass(claimantAfter + tickEvery)
	if r.c.Record("bob").Key != testIdentity(8).Key() || r.c.Record(certs.Alias("bob", testIdentity(7).Key())) == nil {
		t.Error("whoever comes back takes the ID again")
	}
}

// TestClaimantSpeaksAtOnce: what a claimant says to everyone before it is shown, or known, is shown right
// after that.
func TestClaimantSpeaksAtOnce(t *testing.T) {
	for _, known := range []bool{true, false} {
		r := newRig(t, nil)
		l := r.neighbour(1, "one")
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 7, "bob", 500, 0)))
		frames := []proto.Message{propagation(say(pb.AnnouncementType_JOIN, 8, "bob", 1, 0)), saidBroadcast(8, "bob", 1, 1, "I am another")}
		if !known {
			slices.Reverse(frames)
		}
		var said []string
		for _, f := range frames {
			r.receive(l, f)
			said = append(said, r.texts()...)
		}
		r.pass(claimantAfter + tickEvery)
		if said = append(said, r.texts()...); !slices.Equal(said, []string{"I am another"}) {
			t.Errorf("its record has come before: %v; shows %q", known, said)
		}
	}
}
