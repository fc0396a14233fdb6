package simtest

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	within  = netip.MustParseAddrPort("192.168.1.2:4242")
	another = netip.MustParseAddrPort("192.168.1.3:4242")
	friend  = netip.MustParseAddrPort("198.51.100.1:4242")
	sibling = netip.MustParseAddrPort("198.51.100.1:9999") // another port there
	enemy   = netip.MustParseAddrPort("198.51.100.2:4242")
)

func newRouter(kind Kind) *router {
	return &router{kind: kind, wan: netip.MustParseAddr("203.0.113.1"), life: time.Minute, rand: rand.New(rand.NewPCG(1, 2)), strays: map[flow]time.Time{}}
}

// TestRouter: which senders each kind lets in, and at which port it shows one host to two
// others.
func TestRouter(t *testing.T) {
	now := time.Unix(0, 0)
	for _, test := range []struct {
		kind                     Kind
		stranger, port, expected bool // get in: any address, another port of a host that was sent to, an address that was sent to
		even, keeps              bool // the same port to all, the inner one
	}{
		{Open, false, false, true, true, true},
		{FullCone, true, true, true, true, true},
		{Restricted, false, false, true, true, true},
		{Symmetric, false, false, true, false, false},
	} {
		r := newRouter(test.kind)
		if _, ok := r.in(now, enemy, netip.AddrPortFrom(r.wan, 4242)); ok {
			t.Errorf("kind %d lets in what nothing was sent for", test.kind)
		}
		r = newRouter(test.kind)
		outer := r.out(now, within, friend)
		for _, from := range []struct {
			who  netip.AddrPort
			gets bool
		}{{enemy, test.stranger}, {sibling, test.port}, {friend, test.expected}} {
			inner, ok := r.in(now, from.who, outer)
			if ok != from.gets || ok && inner != within {
				t.Errorf("kind %d: from %v gets in: %v, to %v", test.kind, from.who, ok, inner)
			}
		}
		r = newRouter(test.kind)
		outer = r.out(now, within, friend)
		if even := r.out(now, within, enemy) == outer; even != test.even {
			t.Errorf("kind %d shows the same port: %v", test.kind, even)
		}
		if keeps := outer.Port() == within.Port(); keeps != test.keeps {
			t.Errorf("kind %d keeps the port: %v", test.kind, keeps)
		}
		if r.out(now, within, friend) != outer {
			t.Errorf("kind %d changes its mind", test.kind)
		}
		if second := r.out(now, another, friend); second == outer {
			t.Errorf("kind %d gives two hosts one port", test.kind)
		}
		if _, ok := r.in(now.Add(2*time.Minute), friend, outer); ok {
			t.Errorf("kind %d: an idle mapping lives on", test.kind)
		}
		r.out(now, within, friend)
		r.reset()
		r.shift = 1000
		if again := r.out(now, within, friend); again == outer {
			t.Errorf("kind %d: the same port after a rebind", test.kind)
		}
	}
}

// TestPoisoned: an unexpected packet to an open router spoils the port for its sender.
func TestPoisoned(t *testing.T) {
	now := time.Unix(0, 0)
	r := newRouter(Open)
	r.in(now, friend, netip.AddrPortFrom(r.wan, 4242))
	if r.out(now, within, friend).Port() == 4242 || r.out(now, within, enemy).Port() != 4242 {
		t.Error("it is another one's port that is spoilt")
	}
	if r = newRouter(Open); r.out(now, within, friend).Port() != 4242 {
		t.Error("spoilt by nothing")
	}
}

func TestFirewall(t *testing.T) {
	now := time.Unix(0, 0)
	r := newRouter(Firewall)
	if _, ok := r.in(now, friend, enemy); ok {
		t.Error("lets in what nothing was sent for")
	}
	if from := r.out(now, enemy, friend); from != enemy {
		t.Errorf("translates to %v", from)
	}
	if to, ok := r.in(now, friend, enemy); !ok || to != enemy {
		t.Errorf("does not let in an answer: %v", to)
	}
}
