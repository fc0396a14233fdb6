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

// TestGoIsNotAWeapon: a Go counts only from a neighbour, for a peer of the table, at IPs that
// this peer has signed, and at a limited rate.
func TestGoIsNotAWeapon(t *testing.T) {
	r, mid := withNATted(t)
	stranger := r.linked(3, "stranger")
	for what, f := range map[string]func(){
		"from a stranger":          func() { r.receive(stranger, goFor(2, "far", 1, "203.0.113.2:4001")) },
		"for nobody":               func() { r.receive(mid, goFor(7, "nobody", 1, "203.0.113.2:4001")) },
		"for another key":          func() { r.receive(mid, goFor(7, "far", 1, "203.0.113.2:4001")) },
		"for ourselves":            func() { r.receive(mid, goFor(0, "self", 1, "203.0.113.2:4001")) },
		"about a peer with a link": func() { r.receive(mid, goFor(3, "stranger", 1, "10.1.1.1:5000")) },
	} {
		if f(); len(r.out.Dials) != 0 {
			t.Errorf("a Go %s dials %v", what, r.dialled())
		}
	}
	for _, address := range []string{"198.51.100.1:4001", "0.0.0.0:80", "255.255.255.255:80", "224.0.0.1:80", "127.0.0.1:80", "x", "203.0.113.2"} {
		r, mid := withNATted(t)
		r.receive(mid, goFor(2, "far", 1, address))
		if got := r.dialled(); !slices.Equal(got, []string{"203.0.113.2:4001", "192.168.1.5:4001"}) {
			t.Errorf("a Go to %s dials %v", address, got)
		}
	}
	count := func(r *rig, g func(i int)) (n int) {
		for i := range 200 {
			g(i)
			for _, d := range r.out.Dials {
				n++
				r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
			}
			r.drain()
		}
		return n
	}
	r, mid = withNATted(t)
	if n := count(r, func(i int) { r.receive(mid, goFor(2, "far", uint64(i), "203.0.113.2:4001")) }); n != gosOfPeer {
		t.Errorf("%d Gos for one peer are followed", n)
	}
	r = newRig(t, nil)
	mid = r.neighbour(1, "mid")
	if n := count(r, func(i int) {
		id := fmt.Sprintf("far%d", i)
		r.tell(mid, 1, natted(100+uint64(i), id, 0, "192.168.1.5:4001", fmt.Sprintf("203.0.113.%d:4001", i+1)))
		r.receive(mid, goFor(100+uint64(i), id, 1, ""))
	}); n != gosAtOnce {
		t.Errorf("%d Gos in all are followed", n)
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
			if _, number := r.calls(); number != 0 {
				r.receive(mid, goFor(100+uint64(i), fmt.Sprintf("liar%d", i), number, ""))
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
			for id := range r.c.reach.dials {
				r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
			}
			r.drain()
		}
		if packets == 0 || packets > dialsOfHost {
			t.Errorf("%s: one host is dialled %d times at once", name, packets)
		}
	}
}

// TestGoWithNothingToDial: a meeting at a host that was dialled too often fails at once, and
// is tried again later.
func TestGoWithNothingToDial(t *testing.T) {
	r, mid := withNATted(t)
	for _, ip := range []string{"203.0.113.2", "192.168.1.5"} {
		for r.c.reach.hosts.take(netip.MustParseAddr(ip), r.now) {
		}
	}
	r.c.Step(r.now, Want{To: "far"})
	r.drain()
	_, number := r.calls()
	r.receive(mid, goFor(2, "far", number, "203.0.113.2:4001"))
	if len(r.out.Dials) != 0 || len(r.c.reach.dials) != 0 || r.c.Net().Peers[0].Why == "" {
		t.Errorf("it dials %v; %d dials are left; %+v", r.out.Dials, len(r.c.reach.dials), r.c.Net().Peers[0])
	}
}

// TestHosts: an answered dial does not count, and time makes room.
func TestHosts(t *testing.T) {
	var h hosts
	ip := netip.MustParseAddr("198.51.100.7")
	take := func(now time.Duration) (n int) {
		for n < 1000 && h.take(ip, now) {
			n++
		}
		return n
	}
	if n := take(0); n != dialsOfHost {
		t.Errorf("%d at once", n)
	}
	if n := take(5 * hostDialEvery); n != 5 {
		t.Errorf("%d after five periods", n)
	}
	h.answered(ip)
	if n := take(5 * hostDialEvery); n != 1 {
		t.Errorf("%d after an answer", n)
	}
	for i := range 2 * maxHosts {
		h.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Hour)
	}
	if len(h.list) > maxHosts {
		t.Errorf("%d hosts are remembered", len(h.list))
	}
	if !h.take(netip.MustParseAddr("127.0.0.1"), 0) {
		t.Error("our own host is counted")
	}
	six := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	h = hosts{}
	for h.take(six("2001:db8::1"), 0) {
	}
	if h.take(six("2001:db8::2"), 0) || !h.take(six("2001:db8:1::1"), 0) {
		t.Error("in IPv6 a /64 is one host")
	}
}
