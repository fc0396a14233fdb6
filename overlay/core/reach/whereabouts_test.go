package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

const own = "10.9.9.9:5000"

// TestNAT: what those that see us tell about the NAT in front of us.
func TestNAT(t *testing.T) {
	r := newRig(t, own)
	for i, step := range []struct {
		seen string
		nat  base.NAT
	}{
		{"", base.NATUnknown}, {own, base.NATNone}, {"203.0.113.1:4001", base.NATBehind},
		{"203.0.113.1:4001", base.NATEven}, {"203.0.113.1:5001", base.NATSymmetric},
	} {
		if step.seen != "" {
			r.seeing(fmt.Sprint("p", i), step.seen)
		}
		if nat := r.where.Nat(); nat != step.nat {
			t.Errorf("seen at %q by one more: NAT %v, not %v", step.seen, nat, step.nat)
		}
	}
	r.says(own, "203.0.113.1:4001")
}

// TestMajority: where most peers see us is in our record.
func TestMajority(t *testing.T) {
	r := newRig(t, own)
	var links []*link.Link
	for i := range 4 {
		links = append(links, r.seeing(fmt.Sprint("p", i), "203.0.113.1:4001"))
	}
	for i, l := range links {
		r.observe(l, "203.0.113.1:6001")
		r.says(own, map[bool]string{false: "203.0.113.1:4001", true: "203.0.113.1:6001"}[i > 1])
	}
}

// TestSymmetric: behind a symmetric NAT the address that we have announced stays as long as any
// peer confirms it.
func TestSymmetric(t *testing.T) {
	r := newRig(t, own)
	first := r.seeing("one", "203.0.113.1:4001")
	r.seeing("two", "203.0.113.1:5001")
	r.observe(first, "203.0.113.1:4001") // again, and later than two
	r.says(own, "203.0.113.1:4001")
}

// TestObservedNonsense: addresses at which nobody can be seen are ignored, and floods of them are
// bounded.
func TestObservedNonsense(t *testing.T) {
	r := newRig(t, own)
	l := r.seeing("one", own)
	for _, address := range []string{"127.0.0.1:5000", "0.0.0.0:5000", "224.0.0.251:5353", "255.255.255.255:1", "203.0.113.1:0", "[fe80::1]:5000", "203.0.113.1", "nonsense"} {
		r.observe(l, address)
		r.says(own, "")
	}
	for i := range 100 { // a peer that sees us at another address each time
		r.observe(l, fmt.Sprintf("203.0.113.%d:1", i))
	}
	if len(r.where.Seen) != 1 {
		t.Errorf("%d observations of one peer", len(r.where.Seen))
	}
	for i := range 2 * maxObservations { // many of them
		r.seeing(fmt.Sprint("p", i), fmt.Sprintf("203.0.114.%d:1", i))
	}
	if n := len(r.table.Self.Record.Observed); n == 0 || n > pb.MaxObserved || len(r.where.Seen) > maxObservations {
		t.Errorf("%d observed addresses, %d observations", n, len(r.where.Seen))
	}
}

// TestMoved: a host with a new address redials the peers whose links lead to the old one: the
// links that those peers have made.
func TestMoved(t *testing.T) {
	r := newRig(t, own)
	r.seeing("made", own)
	r.linked("taken", "10.1.1.1:5000", nil)
	r.moved("10.8.8.8:5000")
	r.says("10.8.8.8:5000", "")
	if got := r.dialled(); !slices.Equal(got, []certs.ID{"taken"}) {
		t.Errorf("it dials %v", got)
	}
	r.moved("10.8.8.8:5000 10.7.7.7:5000") // an additional address does not cause dials
	r.says("10.8.8.8:5000 10.7.7.7:5000", "")
	if len(r.out.Dials) != 0 {
		t.Errorf("with one more address it dials %v", r.dialled())
	}
}

// TestRemapped: a new mapping of our NAT counts as a move.
func TestRemapped(t *testing.T) {
	r := newRig(t, own)
	made := r.seeing("made", "203.0.113.1:4001")
	r.linked("taken", "10.1.1.1:5000", nil)
	r.observe(made, "203.0.113.1:9999")
	r.says(own, "203.0.113.1:9999")
	if got := r.dialled(); !slices.Equal(got, []certs.ID{"taken"}) {
		t.Errorf("it dials %v", got)
	}
}

// TestRemappedWithoutEnd: a peer that sees us elsewhere each time does not make us redial the
// others without end.
func TestRemappedWithoutEnd(t *testing.T) {
	r := newRig(t, own)
	liar := r.seeing("liar", "203.0.113.1:4001")
	r.linked("taken", "10.1.1.1:5000", nil)
	dials := 0
	for i := range 100 {
		r.observe(liar, fmt.Sprint("203.0.113.1:", 5000+i))
		for _, d := range r.out.Dials {
			dials++
			r.DialFailed(d.ID, false, "no answer")
		}
	}
	if dials != relinksAtOnce {
		t.Errorf("it dials %d times", dials)
	}
}

// TestMapped: with a mapped port we are dialled like any open peer.
func TestMapped(t *testing.T) {
	r := newRig(t, own)
	r.seeing("one", "203.0.113.1:4001")
	r.MappedTo(netip.MustParseAddrPort("203.0.113.1:5000"))
	r.settle()
	if r.says(own+" 203.0.113.1:5000", ""); r.where.Nat() != base.NATOpen {
		t.Errorf("NAT %v", r.where.Nat())
	}
	r.MappedTo(netip.AddrPort{})
	r.settle()
	r.says(own, "203.0.113.1:4001")
}

// TestForwarded: a stranger that comes in from outside shows that a port is open; not if we have
// dialled its IP before, or it is in our LAN.
func TestForwarded(t *testing.T) {
	const from, claims = "198.51.100.77:6000", "203.0.113.1:5000"
	for _, test := range []struct {
		name, from, claims string
		before             func(*rig)
		open               bool
	}{
		{"a stranger", from, claims, nil, true},
		{"at our own address", from, own, nil, false},
		{"at a private address", from, "192.168.1.1:5000", nil, false},
		{"nonsense", from, "nonsense", nil, false},
		{"where nobody sees us", from, "203.0.113.2:5000", nil, false},
		{"from our LAN", "10.9.9.7:6000", claims, nil, false},
		{"from our host", "127.0.0.1:6000", claims, nil, false},
		{"a peer that we know, so a hole may be left", from, claims, func(r *rig) { r.peer("two", from).With().LastAddress = from }, false},
		{"the answer to our own packet", from, claims, func(r *rig) { r.Hosts.Take(ParseAddress(from).Addr(), r.Now) }, false},
		{"the answer to our packet of long ago", from, claims, func(r *rig) { r.Hosts.Take(ParseAddress(from).Addr(), r.Now-strangerAfter-1) }, true},
	} {
		r := newRig(t, own)
		r.Now = time.Hour
		r.seeing("one", "203.0.113.1:4001")
		if test.before != nil {
			test.before(r)
		}
		stranger := r.table.IsStranger("two", keyOf("two"))
		if l := r.linked("two", test.from, nil); stranger {
			r.ReachedByStranger(l, test.claims)
			r.settle()
		}
		if test.open {
			r.says(own+" "+claims, "")
		} else {
			r.says(own, "203.0.113.1:4001")
		}
	}
}

// TestLosingTheNetwork: when a host has lost all of its network its peers name loopback, and find
// each other there although they knew each other by addresses that are gone; when it is back they
// name the network again.
func TestLosingTheNetwork(t *testing.T) {
	r := newRig(t, "192.168.7.2:5000")
	r.seeing("two", "192.168.7.2:5000")
	r.seeing("three", "203.0.113.1:4001")
	seven := r.peer("seven", "192.168.7.2:4002") // on this host
	r.moved("127.0.0.1:5000 [::1]:5000")
	r.says("127.0.0.1:5000 [::1]:5000", "")
	for _, l := range r.links.List { // they lead to nowhere now
		l.Quiet = true
	}
	if got := r.where.Candidates(seven, false, nil); len(got) == 0 || got[0].Address != "127.0.0.1:4002" {
		t.Errorf("a peer of this host is looked for at %v", got)
	}
	r.moved("192.168.7.9:5000")
	r.says("192.168.7.9:5000", "")
	if got := r.where.Candidates(seven, false, nil); slices.ContainsFunc(got, func(c base.Candidate) bool { return strings.HasPrefix(c.Address, "127") }) {
		t.Errorf("with a network again it dials %v", got)
	}
}

// TestManyAddresses: a host with more addresses than a record holds knows itself at each.
func TestManyAddresses(t *testing.T) {
	var list string
	for i := range 40 {
		list += fmt.Sprintf("10.%d.0.1:5000 ", 100+i)
	}
	r := newRig(t, list)
	r.seeing("one", "10.139.0.1:5000")
	r.seeing("two", "10.139.0.1:5000")
	if addresses, observed := r.where.Reachable(); len(addresses) != base.MaxOwnAddresses || len(observed) != 0 {
		t.Errorf("it says %v, %v", addresses, observed)
	}
	if nat := r.where.Nat(); nat != base.NATNone {
		t.Errorf("NAT %v", nat)
	}
}
