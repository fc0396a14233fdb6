package core

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/reach"
	"quicpeer/pb"
)

// Unknown fields of a frame are not passed on: it would grow beyond the limit on the way, and
// honest peers would be cut off for it.
func TestUnknownFieldsAreDropped(t *testing.T) {
	junk := func(s *pb.Signed) {
		n := pb.MaxControlFrame - 1000
		field := append([]byte{0xfa, 0x3f, byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)}, make([]byte, n)...) // number 1023
		s.ProtoReflect().SetUnknown(field)
	}
	announcement := say(pb.AnnouncementType_JOIN, 7, "x", 1000, 0)
	junk(announcement.Record)
	broadcast := saidBroadcast(1, "evil", 1000, 1, "x")
	junk(broadcast.Content)
	for _, content := range []proto.Message{propagation(announcement), broadcast} {
		r := newRig(t, nil)
		evil := r.neighbour(1, "evil")
		r.neighbour(2, "bob")
		r.receive(evil, content)
		if len(r.out.Frames) != 1 || len(r.out.Frames[0].Data) > 1000 {
			t.Errorf("%T: %d frames, the first of %d bytes", content, len(r.out.Frames), len(r.out.Frames[0].Data))
		}
	}
}

// A key has few links at most, whichever side has the smaller ID, and one place among the
// neighbours.
func TestLinksOfOneKey(t *testing.T) {
	for _, id := range []string{"-smaller", "z-larger"} {
		r := newRig(t, nil)
		for range 50 {
			l := r.linked(1, id)
			r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
		}
		if r.c.links.LinksUp() > reach.MostLinks || r.c.links.Degree() != 1 {
			t.Errorf("%s has %d links and %d places", id, r.c.links.LinksUp(), r.c.links.Degree())
		}
	}
}

// A peer that ends its links as soon as they are up is dialled more and more seldom.
func TestFlapping(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "bob")
	l := r.neighbour(2, "carol")
	e := r.c.table.Get("carol", testIdentity(2).Key())
	dials := 0
	for until := r.now + time.Minute; r.now < until; r.pass(tickEvery) {
		if l != 0 {
			r.c.Step(r.now, Disconnected{Link: l, Why: "broken"})
			r.drain()
			l = 0
		}
		if e.Our().Dialing != 0 {
			dials++
			l = r.outbound(e.Our().Dialing, 2)
			r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(2, "carol", pb.AnnouncementType_JOIN, 1000, 0)})
		}
	}
	if dials < 2 || dials > 15 {
		t.Errorf("%d dials in a minute", dials)
	}
}

// A receiver that refuses us counts as one that can't be reached.
func TestRefusedReceiver(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "bob")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 2, "carol", 1000, 0)))
	e := r.c.table.Get("carol", testIdentity(2).Key())
	r.c.Step(r.now, Want{To: "carol"})
	r.drain()
	o := r.outbound(e.Our().Dialing, 2)
	r.receive(o, &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL})
	if len(r.out.Unreachable) != 1 {
		t.Errorf("reported as unreachable: %v", r.out.Unreachable)
	}
}
