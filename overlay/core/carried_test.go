package core

import (
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// carriedRig has a neighbour, bob, and knows carol, who has no link.
func carriedRig(t *testing.T) (r *rig, bob base.LinkID) {
	r = newRig(t, func(cfg *base.Config) { cfg.Features = pb.Features() })
	bob = r.neighbour(1, "bob")
	r.c.links.Link(bob).Foreign.Name(pb.Features())
	a := say(pb.AnnouncementType_JOIN, 2, "carol", 1000, 0)
	a.Hops = 1
	r.receive(bob, propagation(a))
	return r, bob
}

// carried is a carried link to carol, before its handshake.
func (r *rig) carried(ours bool) base.LinkID {
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Key: testIdentity(2).Key(), Carried: true, Ours: ours})
	r.drain()
	return r.last
}

// carriedUp is one whose handshake is done.
func (r *rig) carriedUp(epoch uint64) base.LinkID {
	r.t.Helper()
	l := r.carried(false)
	r.receive(l, start(2, "carol", epoch))
	if len(r.out.Up) != 1 || !r.out.Up[0].Carried || r.out.Up[0].Link != l {
		r.t.Fatalf("up are %v", r.out.Up)
	}
	return l
}

// TestCarriedHandshake: the side that has dialled speaks first, and the link is for messages alone:
// nobody becomes a neighbour, no way leads over it, and its end says nothing of a crash.
func TestCarriedHandshake(t *testing.T) {
	r, bob := carriedRig(t)
	theirs := r.carriedUp(1000)
	if f := r.frames(); len(f) != 1 || f[0].GetHandshakeResponse().GetCode() != pb.HandshakeCode_OK || f[0].GetHandshakeResponse().GetObserved() != "" {
		t.Errorf("answers %v", f)
	}
	ours := r.carried(true)
	if f := r.frames(); len(f) != 1 || f[0].GetHandshakeStart() == nil {
		t.Errorf("begins with %v", f)
	}
	r.receive(ours, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(2, "carol", pb.AnnouncementType_JOIN, 1000, 0)})
	if len(r.out.Up) != 1 || len(r.out.Frames) != 0 {
		t.Errorf("up are %v; %d frames", r.out.Up, len(r.out.Frames))
	}
	r.pass(5 * time.Second)
	e := r.c.table.Of("carol")[0]
	if r.c.links.LinkTo(e.Record.Key) != nil || r.c.links.Distance(e) != 2 || slices.Contains(r.c.Neighbours(), "carol") {
		t.Error("a carried link counts as one")
	}
	if over, here := r.c.CarriesTo(e.Record.Tag); !slices.Equal(over, []base.LinkID{bob}) || !here {
		t.Errorf("packets go over %v, %v", over, here)
	}
	if w := r.c.Net().Peers; len(w) != 2 || w[1].Link != 0 || w[1].Carried != ours || r.c.Peers()[1].Carried != ours {
		t.Errorf("%+v", w)
	}
	for _, l := range []base.LinkID{ours, theirs} {
		r.c.Step(r.now, Disconnected{Link: l, Why: "silent"})
		r.drain()
	}
	if len(r.out.Dials)+len(r.out.Frames) > 0 || len(r.c.probes.List) > 0 {
		t.Errorf("the end of carried links has %v", r.out)
	}
}

// TestCarriedEnds: what ends a carried link.
func TestCarriedEnds(t *testing.T) {
	closed := func(r *rig, l base.LinkID, reason base.CloseReason) bool {
		return slices.ContainsFunc(r.out.Closes, func(c base.Close) bool { return c.Link == l && c.Reason == reason })
	}
	for what, test := range map[string]struct {
		do     func(r *rig, bob, l base.LinkID)
		reason base.CloseReason
	}{
		"a frame": {func(r *rig, _, l base.LinkID) { r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST}) }, base.CloseProtocol},
		"a LEAVE": {func(r *rig, bob, _ base.LinkID) {
			r.receive(bob, propagation(say(pb.AnnouncementType_LEAVE, 2, "carol", 1000, 1)))
		}, base.CloseDead},
		"a restart": {func(r *rig, bob, _ base.LinkID) {
			r.receive(bob, propagation(say(pb.AnnouncementType_JOIN, 2, "carol", 1001, 0)))
		}, base.CloseDead},
		"a link to the next run": {func(r *rig, _, _ base.LinkID) { r.carriedUp(1001) }, base.CloseDead},
		"a minute without use":   {func(r *rig, _, _ base.LinkID) { r.pass(carriedIdle + time.Second) }, base.CloseIdle},
		"our own end":            {func(r *rig, _, _ base.LinkID) { r.c.Step(r.now, Leave{}); r.drain() }, base.CloseBye},
	} {
		r, bob := carriedRig(t)
		l := r.carriedUp(1000)
		r.pass(time.Second)
		if test.do(r, bob, l); !closed(r, l, test.reason) {
			t.Errorf("%s: closes %v", what, r.out.Closes)
		}
	}
	for what, first := range map[string]*pb.HandshakeStart{
		"of another network": {Version: 1, Network: "other", Id: "carol", Record: signed(2, "carol", pb.AnnouncementType_JOIN, 1000, 0)},
		"of an older run":    start(2, "carol", 999),
		"of another key":     {Version: 1, Network: "net", Id: "carol", Record: signed(3, "carol", pb.AnnouncementType_JOIN, 1000, 0)},
	} {
		r, _ := carriedRig(t)
		l := r.carried(false)
		if r.receive(l, first); !closed(r, l, base.CloseRefused) || len(r.out.Up) > 0 {
			t.Errorf("one %s: closes %v, up %v", what, r.out.Closes, r.out.Up)
		}
	}
	r, _ := carriedRig(t)
	l := r.carried(true)
	if r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_STALE, Reason: "why"}); !closed(r, l, base.CloseRefused) || r.out.Err != nil {
		t.Errorf("refused: closes %v, %v", r.out.Closes, r.out.Err)
	}
	for range maxCarriedLinks {
		r.carried(false)
	}
	if l := r.carried(false); !closed(r, l, base.CloseRefused) {
		t.Error("takes more carried links than it may have")
	}
	if r.pass(link.HandshakeTimeout + time.Second); len(r.out.Closes) < maxCarriedLinks-1 {
		t.Errorf("those without a handshake stay: closes %d", len(r.out.Closes))
	}
}

// TestCarriesTo: where carried packets go: to a link of the peer itself, or to the neighbour nearest to
// it, if the other end carries and is heard.
func TestCarriesTo(t *testing.T) {
	r, bob := carriedRig(t)
	tag := base.TagOf("carol")
	check := func(what string, here bool, over ...base.LinkID) {
		t.Helper()
		if o, h := r.c.CarriesTo(tag); !slices.Equal(o, over) || h != here {
			t.Errorf("%s: over %v, here %v", what, o, h)
		}
	}
	check("a neighbour knows it", true, bob)
	direct := r.linked(2, "carol")
	check("its own link carries nothing", true, bob)
	r.c.links.Link(direct).Foreign.Name(pb.Features())
	check("its own link", true, direct, bob)
	r.c.links.Link(direct).Mute = true
	check("its own link is mute", true, bob, direct)
	r.c.links.Link(bob).Mute = true
	check("all are mute", true, direct, bob)
	r.c.links.Link(bob).Mute = false
	r.c.links.Link(direct).Heard = r.now - link.FreshWithin - 1
	check("its own link is silent", true, bob)
	r.c.links.Link(bob).Foreign.Name(nil)
	check("nobody carries", true)
	tag = base.TagOf("nobody")
	check("nobody of that tag is here", false)
	tag = base.TagOf("self")
	check("ourselves", false)
	if _, _, ok := r.c.CarriedPeer("carol"); ok {
		t.Error("a link to carol is wanted that nobody carries")
	}
	r.c.links.Link(bob).Foreign.Name(pb.Features())
	if _, _, ok := r.c.CarriedPeer("carol"); !ok {
		t.Error("carol can't be reached over others")
	}
	r.carriedUp(1000)
	for _, id := range []string{"carol", "self", "nobody"} {
		if _, _, ok := r.c.CarriedPeer(certs.ID(id)); ok {
			t.Errorf("another link to %s is wanted", id)
		}
	}
}
