package core

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Lies of peers, and forged answers, can't do harm to links, dials and records.

// accept completes a dial that is let in.
func (r *rig) accept(dial base.DialID, identity uint64, id string) base.LinkID {
	l := r.outbound(dial, identity)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(identity, id, pb.AnnouncementType_JOIN, 1000, 0)})
	return l
}

// TestSilentLinkIsKept: the larger side does not choose because of silence in one direction.
func TestSilentLinkIsKept(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.ID = "zzz" })
	r.neighbour(1, "mmm")
	r.passWith(link.QuietAfter+200*time.Millisecond, func(base.LinkID) bool { return false })
	d := &link.Dial{Peer: "mmm", Key: testIdentity(1).Key()}
	r.c.reach.StartDial(d)
	if r.accept(d.ID, 1, "mmm"); len(r.out.Closes) != 0 {
		t.Errorf("it closes %v", r.out.Closes)
	}
}

// TestForwardedIsSeen: the address at which a stranger claims to have dialled us counts only
// while others see us at that IP.
func TestForwardedIsSeen(t *testing.T) {
	r := newRig(t, nil)
	first := r.seeing(1, "one", "203.0.113.1:4001")
	r.pass(2 * time.Second)
	come := func(identity uint64, claims string) (now, later *pb.Record) {
		l := r.inboundFrom(identity, fmt.Sprintf("198.51.100.%d:6000", identity))
		hello := start(identity, fmt.Sprint("x", identity), 1000)
		hello.Observed = claims
		r.receive(l, hello)
		now = r.ownRecord()
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "gone"})
		r.pass(2 * time.Second)
		return now, r.ownRecord()
	}
	if record, _ := come(7, "192.0.2.66:53"); slices.Contains(record.GetAddresses(), "192.0.2.66:53") || r.c.where.Nat() == base.NATOpen {
		t.Errorf("it takes a stranger's word: %v, NAT %v", record, r.c.where.Nat())
	}
	r.receive(first, &pb.Observed{Address: "203.0.113.1:4001"})
	r.seeing(3, "three", "203.0.113.1:4001")
	if _, record := come(8, "203.0.113.1:5000"); !slices.Contains(record.GetAddresses(), "203.0.113.1:5000") {
		t.Fatalf("a stranger has come in: %v", record)
	}
	for _, l := range r.c.links.List {
		r.receive(l.ID, &pb.Observed{Address: "203.0.113.9:4001"})
	}
	r.pass(2 * time.Second)
	if record := r.ownRecord(); slices.Contains(record.GetAddresses(), "203.0.113.1:5000") || !slices.Contains(record.GetObserved(), "203.0.113.9:4001") {
		t.Errorf("the router has a new address: %v", record)
	}
}

// inboundFrom makes an inbound connection from an address.
func (r *rig) inboundFrom(identity uint64, address string) base.LinkID {
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Dial: 0, Key: testIdentity(identity).Key(), Address: address})
	r.drain()
	return r.last
}

// TestMovesAreForgotten: after a move the observations of ended links are dropped, and do not
// make the NAT symmetric.
func TestMovesAreForgotten(t *testing.T) {
	r := newRig(t, nil)
	stay := r.seeing(1, "stay", "203.0.113.1:4001")
	r.receive(stay, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	for i := range 3 {
		x := r.seeing(10+uint64(i), fmt.Sprint("gone", i), fmt.Sprintf("203.0.113.%d:4001", i+1))
		r.pass(20 * time.Second)
		r.c.Step(r.now, Disconnected{Link: x, Friendly: true, Why: "idle"})
		r.drain()
		r.c.Step(r.now, Moved{Own: []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("10.%d.0.5:5000", i))}, Near: nil})
		r.receive(stay, &pb.Observed{Address: fmt.Sprintf("203.0.113.%d:4001", i+2)})
		r.pass(2 * time.Second)
	}
	if got := r.ownRecord().GetObserved(); !slices.Equal(got, []string{"203.0.113.4:4001"}) {
		t.Errorf("seen at 203.0.113.4 it says %v", got)
	}
	r = newRig(t, nil)
	a, b, x := r.seeing(1, "a", "203.0.113.1:4001"), r.seeing(2, "b", "203.0.113.1:4001"), r.seeing(3, "c", "203.0.113.1:4001")
	r.c.Step(r.now, Disconnected{Link: x, Friendly: true, Why: "idle"})
	r.receive(a, &pb.Observed{Address: "203.0.113.1:9001"})
	r.receive(b, &pb.Observed{Address: "203.0.113.1:9001"})
	if r.c.where.Nat() != base.NATEven {
		t.Errorf("all links see the same port: NAT %v", r.c.where.Nat())
	}
	for _, l := range []base.LinkID{a, b} {
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "idle"})
	}
	if r.c.where.Nat() == base.NATNone {
		t.Error("without a link it is behind no NAT")
	}
}

// TestDoorNamesVictims: the candidates of a full peer count only if they are signed, and their
// hosts are dialled as seldom as any.
func TestDoorNamesVictims(t *testing.T) {
	for _, forged := range []bool{true, false} {
		r := newRig(t, func(c *base.Config) { c.Join = []string{"198.51.100.1:5000"} })
		refusal := &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL}
		for i := range pb.MaxCandidates {
			key := testIdentity(100 + uint64(i)).Key()
			named := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: fmt.Sprint("victim", i), Key: key[:], Network: "net", Epoch: 1000}
			for port := range 16 {
				named.Addresses = append(named.Addresses, fmt.Sprintf("192.0.2.66:%d", 1000+100*i+port))
			}
			record := testIdentity(100 + uint64(i)).SignRecord(named)
			if forged {
				record.Signature = make([]byte, len(record.Signature))
			}
			refusal.Candidates = append(refusal.Candidates, record)
		}
		l := r.outbound(r.out.Dials[0].ID, 1)
		r.receive(l, refusal)
		packets := len(r.dialled())
		for range 120 {
			for id, d := range r.c.reach.Dials {
				if d.Racing {
					r.c.Step(r.now, DialFailed{Dial: id, Why: "no answer"})
				}
			}
			r.pass(500 * time.Millisecond)
			for _, d := range r.out.Dials {
				for _, a := range d.Candidates {
					if a.Address != "198.51.100.1:5000" {
						packets++
					}
				}
			}
		}
		most := 2 * (table.WantNeighbours + int(time.Minute/reach.UnmetEvery) + 1) // two addresses in a dial
		if forged && packets != 0 || packets > most || !forged && packets == 0 {
			t.Errorf("forged %v: a host is dialled %d times in a minute, of %d", forged, packets, most)
		}
	}
}

// TestFoundIsAnother: a peer that answers in the place of another is left alone, and not dialled
// again and again.
func TestFoundIsAnother(t *testing.T) {
	r := newRig(t, nil)
	r.neighbour(1, "zed")
	r.pass(5 * time.Second)
	dials := 0
	for i := range 100 {
		r.c.Step(r.now, Found{ID: "ghost", Fingerprint: fmt.Sprint("invented", i%2), Addresses: []string{"10.9.9.5:5000"}})
		r.drain()
		for _, d := range r.out.Dials {
			dials++
			l := r.accept(d.ID, 1, "zed")
			if got := r.c.links.Link(l).State; got == link.LinkUp {
				t.Fatal("a link to another peer stands")
			}
			r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "closed"})
		}
		r.pass(50 * time.Millisecond)
	}
	if dials == 0 || dials > 2*join.FoundTries*2 || r.c.links.Neighbours() != 1 {
		t.Errorf("%d dials, %d neighbours", dials, r.c.links.Neighbours())
	}
}

// TestFoundAndGone: new peers of a LAN are joined even after many have come and gone, at one host too.
func TestFoundAndGone(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(join.MaxFound + 3) {
		id := fmt.Sprint("p", i)
		r.c.Step(r.now, Found{ID: certs.ID(id), Fingerprint: testIdentity(100 + i).Key().String(), Addresses: []string{fmt.Sprintf("10.9.9.10:%d", 5000+i)}})
		r.drain()
		if len(r.out.Dials) == 0 {
			t.Fatalf("%s is not dialled", id)
		}
		l := r.accept(r.out.Dials[0].ID, 100+i, id)
		r.pass(time.Second)
		r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 100+i, id, 1000, 1)))
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "leaves"})
		r.drain()
	}
}

// TestOnlyDialsAreGivenBack: an inbound link does not pay for our dials at its IP.
func TestOnlyDialsAreGivenBack(t *testing.T) {
	r := newRig(t, nil)
	dials := 0
	for range 100 {
		for r.c.reach.Hosts.Take(netip.MustParseAddr("198.51.100.7"), r.now) {
			dials++
		}
		l := r.inboundFrom(2, "198.51.100.7:4000")
		r.receive(l, start(2, "evil", 1000))
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "x"})
		r.drain()
	}
	if dials != reach.DialsOfHost {
		t.Errorf("%d dials at one IP at once", dials)
	}
}

// TestSubnetIsNotDialled: a record can't make us dial all hosts of a subnet.
func TestSubnetIsNotDialled(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Near = []netip.Prefix{netip.MustParsePrefix("10.9.9.0/24")} })
	mid := r.neighbour(1, "mid")
	for i, address := range []string{"10.9.9.255:1900", "10.9.9.7:1900"} {
		id := certs.ID(fmt.Sprint("liar", i))
		r.tell(mid, 1, natted(2+uint64(i), string(id), 0, address))
		r.c.Step(r.now, Want{To: id})
		if r.drain(); (len(r.out.Dials) == 0) != (i == 0) {
			t.Errorf("it dials %v", r.dialled())
		}
	}
}
