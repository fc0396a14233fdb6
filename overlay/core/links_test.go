package core

import (
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// TestTwoLinks: when both sides have dialled, the one with the smaller ID closes
// the older link, the other none; a link of an earlier run is closed by both.
func TestTwoLinks(t *testing.T) {
	for _, test := range []struct {
		id     certs.ID
		epoch  uint64 // of the peer at its second handshake
		closes bool
		reason base.CloseReason
	}{
		{"aaa", 1000, true, base.CloseDuplicate},
		{"zzz", 1000, false, 0},
		{"aaa", 1001, true, base.CloseDead},
		{"zzz", 1001, true, base.CloseDead},
	} {
		r := newRig(t, func(c *base.Config) { c.ID = test.id })
		first := r.neighbour(1, "mmm")
		second := r.inbound(1)
		r.receive(second, start(1, "mmm", test.epoch))
		switch {
		case r.c.links.Link(second).State != link.LinkUp || len(r.out.Up) != 1:
			t.Errorf("%s: the second link is not up", test.id)
		case !test.closes && len(r.out.Closes) != 0:
			t.Errorf("%s closes %v", test.id, r.out.Closes)
		case test.closes && (len(r.out.Closes) != 1 || r.out.Closes[0].Link != first || r.out.Closes[0].Reason != test.reason):
			t.Errorf("%s closes %v", test.id, r.out.Closes)
		}
		if r.c.links.LinkTo(testIdentity(1).Key()).ID != second {
			t.Errorf("%s does not use the newest link", test.id)
		}
	}
}

// TestLateWords: late inputs about an ended link or dial change nothing.
func TestLateWords(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "over"})
	r.drain()
	before := string(r.c.table.Digest())
	r.receive(l, propagation(say(1, 2, "two", 1, 0)))
	r.c.Step(r.now, Disconnected{Link: l, Why: "again"})
	r.c.Step(r.now, Heard{Link: l, Heard: r.now, Used: r.now, RoundTrip: 0})
	r.c.Step(r.now, DialFailed{Dial: 77, Why: "no such dial"})
	r.drain()
	if !r.out.Empty() || string(r.c.table.Digest()) != before {
		t.Errorf("%+v", r.out)
	}
}

// TestEndedTicksOn: a core that has ended does not ask to be woken at once for ever.
func TestEndedTicksOn(t *testing.T) {
	r := newRig(t, nil)
	r.c.fail(&base.StartedElsewhereError{})
	r.now = r.c.Next()
	r.c.Step(r.now, Tick{})
	if r.c.Next() <= r.now {
		t.Errorf("wants to be woken at %v, it is %v", r.c.Next(), r.now)
	}
}

// TestNetOfALinkedPeer: earlier failures are not reported once a link stands.
func TestNetOfALinkedPeer(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "one")
	e := r.c.table.Get("one", testIdentity(1).Key())
	r.c.reach.EntryNotReached(e, "no answer")
	if p := r.c.Net().Peers[0]; p.Link == 0 || p.Tries != 0 || p.Why != "" || p.Next != 0 {
		t.Errorf("it says %+v", p)
	}
}

// TestStuckLink: a stuck link carries nothing that can go another way, its peer is redialled, and
// the new link replaces it.
func TestStuckLink(t *testing.T) {
	for _, id := range []certs.ID{"aaa", "zzz"} {
		r := newRig(t, func(c *base.Config) { c.ID = id })
		bob, carol := r.neighbour(1, "bob"), r.neighbour(2, "carol")
		r.pass(20 * time.Second)
		if !r.route("bob", 1, []byte("x")) || r.out.Frames[0].Link != bob {
			t.Fatalf("%s: not over the link that stands", id)
		}
		r.c.Step(r.now, Stuck{Link: bob, Stuck: true})
		if !r.route("bob", 1, []byte("x")) || r.out.Frames[0].Link != carol {
			t.Errorf("%s: it goes over the link that is stuck", id)
		}
		r.pass(time.Second)
		if len(r.out.Dials) != 1 || r.out.Dials[0].Key != testIdentity(1).Key() {
			t.Fatalf("%s dials %v", id, r.out.Dials)
		}
		dial := r.out.Dials[0].ID
		if r.pass(2 * time.Second); len(r.out.Dials) > 0 || len(r.out.Closes) > 0 {
			t.Errorf("%s dials again, or closes the link before there is another: %v, %v", id, r.out.Dials, r.out.Closes)
		}
		again := r.outbound(dial, 1)
		r.receive(again, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "bob", pb.AnnouncementType_JOIN, 1000, 0)})
		if len(r.out.Closes) != 1 || r.out.Closes[0].Link != bob || r.out.Closes[0].Reason != base.CloseDead {
			t.Errorf("%s closes %v", id, r.out.Closes)
		}
	}
}
