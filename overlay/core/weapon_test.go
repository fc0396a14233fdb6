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

// TestSyncIsNotAWeapon: a SYNC counts at IPs that the peer has signed, and at a limited rate; so
// does a CONNECT.
func TestSyncIsNotAWeapon(t *testing.T) {
	for _, address := range []string{"198.51.100.1:4001", "0.0.0.0:80", "255.255.255.255:80", "224.0.0.1:80", "127.0.0.1:80", "x", "203.0.113.2"} {
		r, mid := withNATted(t)
		r.receive(mid, syncOf(2, "far", 0, address))
		if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:4001", "192.168.1.5:4001"}) {
			t.Errorf("a SYNC with %s dials %v", address, got)
		}
	}
	count := func(r *rig, f func(i int)) int {
		followed := make(map[base.DialID]bool)
		for i := range 200 {
			f(i)
			for _, d := range r.out.Dials {
				followed[d.ID] = true
				r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
			}
			r.drain()
		}
		return len(followed)
	}
	r, mid := withNATted(t)
	r.c.env.ReadyAt = -time.Hour // it has not just come
	r.c.table.Of("far")[0].With().LastAddress = "203.0.113.2:4001"
	if n := count(r, func(int) { r.receive(mid, syncOf(2, "far", 0, "203.0.113.2:4001")) }); n != reach.MeetingsOfPeer {
		t.Errorf("%d SYNCs of one peer are followed", n)
	}
	for most, met := range map[int]bool{reach.MeetingsAtOnce: true, 2: false} { // one to a peer never met is worth twenty-five
		r = newRig(t, nil)
		r.c.env.ReadyAt = -time.Hour
		mid = r.neighbour(1, "mid")
		if n := count(r, func(i int) {
			id := certs.ID(fmt.Sprintf("far%d", i))
			r.tell(mid, 1, natted(100+uint64(i), string(id), 0, "192.168.1.5:4001", fmt.Sprintf("203.0.113.%d:4001", i+1)))
			if list := r.c.table.Of(id); met && len(list) > 0 { // so many are believed
				list[0].With().LastAddress = fmt.Sprintf("203.0.113.%d:4001", i+1)
			}
			r.receive(mid, syncOf(100+uint64(i), id, 0))
		}); n != most {
			t.Errorf("%d SYNCs of one link are followed; met before: %v", n, met)
		}
	}
	r.neighbour(2, "called")
	key, arranged := testIdentity(1).Key(), 0
	for range 200 {
		m := routedFrom("mid", &pb.Routed{Content: &pb.Routed_Connect{Connect: &pb.Connect{Key: key[:]}}})
		m.To = "called"
		r.receive(mid, m)
		arranged += len(r.frames())
	}
	if arranged != 2*reach.MeetingsAtOnce {
		t.Errorf("%d SYNCs are sent for the CONNECTs of one link", arranged)
	}
}

// TestOneHostIsDialledSoOften: a host is dialled at a limited rate, however many members claim to
// be there.
func TestOneHostIsDialledSoOften(t *testing.T) {
	for name, lie := range map[string]func(i int) *pb.Signed{
		"addresses": func(i int) *pb.Signed {
			return natted(100+uint64(i), fmt.Sprintf("liar%d", i), 0, fmt.Sprintf("198.51.100.7:%d", 1000+i))
		},
		"observed": func(i int) *pb.Signed {
			return natted(100+uint64(i), fmt.Sprintf("liar%d", i), 0, "10.1.1.1:1", fmt.Sprintf("198.51.100.7:%d", 1000+i))
		},
	} {
		r := newRig(t, nil)
		mid := r.neighbour(1, "mid")
		packets := 0
		for i := range 300 {
			r.tell(mid, 1, lie(i))
			r.c.Step(r.now, Want{To: certs.ID(fmt.Sprintf("liar%d", i))})
			r.drain()
			if number := r.asked(); number != 0 {
				r.receive(mid, syncOf(100+uint64(i), certs.ID(fmt.Sprintf("liar%d", i)), number))
			}
			for _, d := range r.out.Dials {
				for _, c := range d.Candidates {
					if strings.HasPrefix(c.Address, "198.51.100.7:") {
						packets++
					}
				}
				r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
			}
			r.drain()
			for id := range r.c.reach.Dials {
				r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
			}
			r.drain()
		}
		if packets == 0 || packets > reach.DialsOfHost {
			t.Errorf("%s: one host is dialled %d times at once", name, packets)
		}
	}
}

// TestNothingToDial: a meeting at a host that was dialled too often fails at once, and
// is tried again later.
func TestNothingToDial(t *testing.T) {
	r, mid := withNATted(t)
	for _, ip := range []string{"203.0.113.2", "192.168.1.5"} {
		for r.c.reach.Hosts.Take(netip.MustParseAddr(ip), r.now) {
		}
	}
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	r.receive(mid, syncOf(2, "far", r.asked(), "203.0.113.2:4001"))
	r.pass(time.Millisecond)
	if len(r.out.Dials) != 0 || len(r.c.reach.Dials) != 0 || r.c.Net().Peers[0].Why == "" {
		t.Errorf("it dials %v; %d dials are left; %+v", r.out.Dials, len(r.c.reach.Dials), r.c.Net().Peers[0])
	}
}
