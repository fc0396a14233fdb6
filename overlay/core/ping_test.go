package core

import (
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// linkPongs returns the pings of links that the last input has answered.
func (r *rig) linkPongs() (list []uint64) {
	for _, m := range r.frames() {
		if p := m.GetLinkPong(); p != nil {
			list = append(list, p.GetNumber())
		}
	}
	return list
}

// TestPingFlood: pings of a link are answered at a limited rate, whatever comes, and the link stays.
func TestPingFlood(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	answered := 0
	for n := range uint64(1000) {
		r.receive(l, &pb.LinkPing{Number: n})
		answered += len(r.linkPongs())
	}
	if answered < pingBurst || answered > pingBurst+1 {
		t.Errorf("%d are answered at once", answered)
	}
	r.pass(10 * pingEvery)
	r.receive(l, &pb.LinkPing{Number: 7})
	if got := r.linkPongs(); len(got) != 1 || got[0] != 7 || r.c.links.Link(l) == nil {
		t.Errorf("after a while: %v", got)
	}
}

// TestPongsThatLie: a pong that nobody has asked for, of another number, or on another link than the ping,
// ends no ping.
func TestPongsThatLie(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	r.c.links.Link(one).Foreign.Name(pb.Features())
	r.c.Step(r.now, Ping{To: "one", Number: 5})
	r.drain()
	var number uint64
	for _, m := range r.frames() {
		if p := m.GetLinkPing(); p != nil {
			number = p.GetNumber()
		}
	}
	if number == 0 {
		t.Fatal("no ping goes out")
	}
	r.receive(two, &pb.LinkPong{Number: number})
	r.receive(one, &pb.LinkPong{Number: number + 1})
	if len(r.out.Pongs) != 0 || len(r.c.pings.list) != 1 {
		t.Fatal("a lie counts")
	}
	r.now += 30 * time.Millisecond
	r.receive(one, &pb.LinkPong{Number: number})
	if want := (base.Pong{Number: 5, How: base.PingDirect, Took: 30 * time.Millisecond, Link: one, Address: r.c.links.Link(one).Address}); len(r.out.Pongs) != 1 || r.out.Pongs[0] != want {
		t.Errorf("the outcome is %+v", r.out.Pongs)
	}
	r.receive(one, &pb.LinkPong{Number: number})
	if len(r.out.Pongs) != 0 {
		t.Error("it is answered twice")
	}
}

// TestPingsAreBounded: so many are on their way at once, and each ends.
func TestPingsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.c.links.Link(one).Foreign.Name(pb.Features())
	for n := range uint64(maxPings + 1) {
		r.c.Step(r.now, Ping{To: "one", Number: n})
		r.drain()
	}
	if len(r.out.Pongs) != 1 || r.out.Pongs[0].Why == "" || len(r.c.pings.list) != maxPings {
		t.Errorf("one too many: %+v", r.out.Pongs)
	}
	r.now += pingFor
	r.c.Step(r.now, Tick{})
	r.drain()
	ended := len(r.out.Pongs)
	if ended != maxPings || len(r.c.pings.list) != 0 {
		t.Errorf("%d have ended", ended)
	}
}
