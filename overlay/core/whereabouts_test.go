package core

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/pb"
)

// own is our record in the last announcement on a link, nil without one.
func (r *rig) own(l base.LinkID) *pb.Record {
	var last *pb.Record
	for i, m := range r.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			if record, err := pb.ParseRecord(a.GetRecord()); err == nil && record.GetId() == "self" && r.out.Frames[i].Link == l {
				last = record
			}
		}
	}
	return last
}

// seeing makes a link to a door, which says where it sees us.
func (r *rig) seeing(identity uint64, id, observed string) base.LinkID {
	r.t.Helper()
	d := &link.Dial{Peer: "x", Key: testIdentity(identity).Key()}
	r.c.reach.StartDial(d)
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Dial: d.ID, Key: testIdentity(identity).Key(), Address: "198.51.100.1:5000"})
	r.drain()
	r.receive(r.last, &pb.HandshakeResponse{
		Code: pb.HandshakeCode_OK, Observed: observed,
		Record: natted(identity, id, 0, "198.51.100.1:5000"),
	})
	return r.last
}

// TestObserved: a reflexive address that is not our own is in our record, and linked peers hear
// of it at once.
func TestObserved(t *testing.T) {
	r := newRig(t, nil)
	first := r.seeing(1, "one", "10.9.9.9:5000")
	if r.own(first) != nil || r.c.where.Nat() != base.NATNone {
		t.Fatalf("seen at its own address it says %v, NAT %v", r.own(first), r.c.where.Nat())
	}
	second := r.seeing(2, "two", "203.0.113.1:4001")
	for _, l := range []base.LinkID{first, second} {
		if record := r.own(l); !slices.Equal(record.GetObserved(), []string{"203.0.113.1:4001"}) || !slices.Equal(record.GetAddresses(), []string{"10.9.9.9:5000"}) {
			t.Errorf("it says %v", record)
		}
	}
	if r.c.where.Nat() != base.NATBehind {
		t.Errorf("NAT %v", r.c.where.Nat())
	}
	r.pass(time.Second)
	r.seeing(3, "three", "203.0.113.1:4001")
	if r.own(second) != nil || r.c.where.Nat() != base.NATEven {
		t.Errorf("seen there again it says %v, NAT %v", r.own(second), r.c.where.Nat())
	}

	// A NAT with another mapping for each peer.
	r.pass(time.Second)
	l := r.seeing(4, "four", "203.0.113.1:5001")
	if r.own(l) != nil || r.c.where.Nat() != base.NATSymmetric {
		t.Errorf("seen at another port it says %v, NAT %v", r.own(l), r.c.where.Nat())
	}

	// Two peers see us elsewhere now: only with a third are they the majority.
	for i, l := range []base.LinkID{second, l} {
		r.pass(2 * time.Second)
		r.receive(l, &pb.Observed{Address: "203.0.113.1:6001"})
		if record := r.own(first); (record != nil) != (i == 1) {
			t.Errorf("after %d: %v", i+1, record)
		}
	}
	if !slices.Equal(r.c.table.Self.Record.Observed, []string{"203.0.113.1:6001"}) {
		t.Errorf("its record says %v", r.c.table.Self.Record.Observed)
	}
}

// TestSymmetric: behind a symmetric NAT the address that we have announced stays as long as any
// peer confirms it.
func TestSymmetric(t *testing.T) {
	r := newRig(t, nil)
	first := r.seeing(1, "one", "203.0.113.1:4001")
	r.pass(2 * time.Second)
	r.seeing(2, "two", "203.0.113.1:5001")
	r.pass(2 * time.Second)
	r.receive(first, &pb.Observed{Address: "203.0.113.1:4001"}) // again, and later than two
	if record := r.own(first); record != nil || !slices.Equal(r.c.table.Self.Record.Observed, []string{"203.0.113.1:4001"}) {
		t.Errorf("it says %v", r.c.table.Self.Record.Observed)
	}
}

// TestObservedNonsense: addresses at which nobody can be seen are ignored, and floods of them are
// bounded.
func TestObservedNonsense(t *testing.T) {
	r := newRig(t, nil)
	l := r.seeing(1, "one", "10.9.9.9:5000")
	for _, address := range []string{"127.0.0.1:5000", "0.0.0.0:5000", "224.0.0.251:5353", "255.255.255.255:1", "203.0.113.1:0", "[fe80::1]:5000", "203.0.113.1", "nonsense"} {
		r.pass(2 * time.Second)
		r.receive(l, &pb.Observed{Address: address})
		if r.own(l) != nil || len(r.c.table.Self.Record.Observed) != 0 {
			t.Errorf("%s: it says %v", address, r.c.table.Self.Record.Observed)
		}
	}
	changes := 0
	for i := range 100 { // a peer that sees us at another address each time
		r.receive(l, &pb.Observed{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1).String()})
		if r.own(l) != nil {
			changes++
		}
	}
	if changes > 1 || len(r.c.where.Seen) > reach.MaxObservations {
		t.Errorf("%d records in a moment, %d observations", changes, len(r.c.where.Seen))
	}
	for i := range 20 { // many of them
		r.pass(2 * time.Second)
		r.seeing(10+uint64(i), "p"+string(rune('a'+i)), netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 114, byte(i)}), 1).String())
	}
	if n := len(r.c.table.Self.Record.Observed); n == 0 || n > pb.MaxObserved || len(r.c.where.Seen) > reach.MaxObservations {
		t.Errorf("%d observed addresses, %d observations", n, len(r.c.where.Seen))
	}
}

// TestMoved: a host with a new address announces it at once, and redials the peers whose links
// lead to the old one: the links that those peers have made.
func TestMoved(t *testing.T) {
	r := newRig(t, nil)
	made := r.seeing(1, "made", "10.9.9.9:5000")
	taken := r.neighbour(2, "taken")
	r.pass(time.Second)
	now := []netip.AddrPort{netip.MustParseAddrPort("10.8.8.8:5000")}
	r.c.Step(r.now, Moved{Own: now, Near: []netip.Prefix{netip.MustParsePrefix("10.8.8.0/24")}})
	r.drain()
	for _, l := range []base.LinkID{made, taken} {
		if record := r.own(l); !slices.Equal(record.GetAddresses(), []string{"10.8.8.8:5000"}) {
			t.Errorf("it says %v", record)
		}
	}
	if len(r.out.Dials) != 1 || r.out.Dials[0].Key != testIdentity(2).Key() {
		t.Errorf("it dials %v", r.out.Dials)
	}
	// An additional address does not cause dials.
	r.pass(3 * time.Second)
	r.c.Step(r.now, Moved{Own: append(now, netip.MustParseAddrPort("10.7.7.7:5000")), Near: nil})
	r.drain()
	if record := r.own(made); len(record.GetAddresses()) != 2 || len(r.out.Dials) != 0 {
		t.Errorf("with one more address it says %v and dials %v", record, r.out.Dials)
	}
}

// TestRemapped: a new mapping of our NAT counts as a move.
func TestRemapped(t *testing.T) {
	r := newRig(t, nil)
	made := r.seeing(1, "made", "203.0.113.1:4001")
	r.neighbour(2, "taken")
	r.pass(time.Second)
	r.receive(made, &pb.Observed{Address: "203.0.113.1:9999"})
	if record := r.own(made); !slices.Equal(record.GetObserved(), []string{"203.0.113.1:9999"}) {
		t.Errorf("it says %v", record)
	}
	if len(r.out.Dials) != 1 || r.out.Dials[0].Key != testIdentity(2).Key() {
		t.Errorf("it dials %v", r.out.Dials)
	}
	// A peer that has moved learns where it is seen.
	r.c.Step(r.now, Seen{Link: made, Address: "198.51.100.2:5000"})
	r.drain()
	if m := r.frames(); len(m) != 1 || m[0].GetObserved().GetAddress() != "198.51.100.2:5000" {
		t.Errorf("to a peer that has moved it says %v", m)
	}
}

// TestRemappedWithoutEnd: a peer that sees us elsewhere each time does not make us redial the
// others without end.
func TestRemappedWithoutEnd(t *testing.T) {
	r := newRig(t, nil)
	liar := r.seeing(1, "liar", "203.0.113.1:4001")
	r.neighbour(2, "taken")
	r.pass(time.Second)
	dials := 0
	for i := range 100 {
		r.receive(liar, &pb.Observed{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 1}), 5000+uint16(i)).String()})
		for _, d := range r.out.Dials {
			dials++
			r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
		}
		r.drain()
	}
	if dials != reach.RelinksAtOnce {
		t.Errorf("it dials %d times", dials)
	}
}

// TestMapped: with a mapped port we are dialled like any open peer.
func TestMapped(t *testing.T) {
	r := newRig(t, nil)
	l := r.seeing(1, "one", "203.0.113.1:4001")
	r.pass(2 * time.Second)
	r.c.Step(r.now, Mapped{Address: netip.MustParseAddrPort("203.0.113.1:5000")})
	r.drain()
	if record := r.own(l); !slices.Equal(record.GetAddresses(), []string{"10.9.9.9:5000", "203.0.113.1:5000"}) || len(record.GetObserved()) != 0 || r.c.where.Nat() != base.NATOpen {
		t.Errorf("with a mapped port it says %v, NAT %v", record, r.c.where.Nat())
	}
	r.pass(2 * time.Second)
	r.c.Step(r.now, Mapped{Address: netip.AddrPort{}})
	r.drain()
	if record := r.own(l); len(record.GetAddresses()) != 1 || len(record.GetObserved()) != 1 {
		t.Errorf("without it again it says %v", record)
	}
}

// TestForwarded: a stranger that comes in from outside shows that a port is open; not if we have
// dialled its IP before, or it is in our LAN.
func TestForwarded(t *testing.T) {
	come := func(r *rig, from, claims string) *pb.Record {
		r.t.Helper()
		r.pass(2 * time.Second)
		r.last++
		r.c.Step(r.now, Connected{Link: r.last, Dial: 0, Key: testIdentity(2).Key(), Address: from})
		r.drain()
		hello := start(2, "two", 1000)
		hello.Observed = claims
		r.receive(r.last, hello)
		return r.ownRecord()
	}
	near := func(c *base.Config) { c.Near = []netip.Prefix{netip.MustParsePrefix("10.9.9.0/24")} }
	for _, test := range []struct {
		from, claims string
		open         bool
	}{
		{"198.51.100.77:6000", "203.0.113.1:5000", true},
		{"198.51.100.77:6000", "10.9.9.9:5000", false},
		{"198.51.100.77:6000", "192.168.1.1:5000", false},
		{"198.51.100.77:6000", "nonsense", false},
		{"10.9.9.7:6000", "203.0.113.1:5000", false},
		{"127.0.0.1:6000", "203.0.113.1:5000", false},
	} {
		r := newRig(t, near)
		r.seeing(1, "one", "203.0.113.1:4001")
		record := come(r, test.from, test.claims)
		if open := len(record.GetObserved()) == 0 && slices.Contains(record.GetAddresses(), "203.0.113.1:5000"); open != test.open {
			t.Errorf("from %s, who has dialled %s: %v", test.from, test.claims, record)
		}
	}
	r := newRig(t, near)
	r.seeing(1, "one", "203.0.113.1:4001")
	r.linked(2, "two") // we know it, so a hole may be left
	if record := come(r, "198.51.100.77:6000", "203.0.113.1:5000"); len(record.GetObserved()) == 0 {
		t.Errorf("a peer that we know: %v", record)
	}
	r = newRig(t, near)
	r.seeing(1, "one", "203.0.113.1:4001")
	r.c.reach.Hosts.Take(netip.MustParseAddr("198.51.100.77"), r.now)
	if record := come(r, "198.51.100.77:6000", "203.0.113.1:5000"); len(record.GetObserved()) == 0 {
		t.Errorf("the answer to our own packet: %v", record)
	}
}

// ownRecord is our record, as others read it.
func (r *rig) ownRecord() *pb.Record {
	record, _ := pb.ParseRecord(r.c.table.Self.Record.Signed)
	return record
}
