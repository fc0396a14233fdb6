package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
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

// TestAddressesAreAnnounced: whatever changes our addresses, each linked peer hears of it at once,
// but of one change a second at most.
func TestAddressesAreAnnounced(t *testing.T) {
	const home, nat, mapped, away = "10.9.9.9:5000", "203.0.113.1:4001", "203.0.113.1:5000", "10.8.8.8:5000"
	r := newRig(t, nil)
	linked, neighbour := r.seeing(1, "one", home), r.neighbour(2, "two")
	seenAt := func(address string) func() { return func() { r.receive(linked, &pb.Observed{Address: address}) } }
	step := func(in Input) func() { return func() { r.c.Step(r.now, in); r.drain() } }
	for _, test := range []struct {
		name                string
		do                  func()
		addresses, observed string // nothing: no announcement
	}{
		{"seen at its own address", seenAt(home), "", ""},
		{"seen elsewhere", seenAt(nat), home, nat},
		{"seen there again", seenAt(nat), "", ""},
		{"a mapped port", step(Mapped{Address: netip.MustParseAddrPort(mapped)}), home + " " + mapped, ""},
		{"none any more", step(Mapped{}), home, nat},
		{"moved", step(Moved{Own: []netip.AddrPort{netip.MustParseAddrPort(away)}}), away, nat},
	} {
		r.pass(renewPause)
		test.do()
		for _, l := range []base.LinkID{linked, neighbour} {
			record := r.own(l)
			if a, o := strings.Join(record.GetAddresses(), " "), strings.Join(record.GetObserved(), " "); a != test.addresses || o != test.observed {
				t.Errorf("%s: it says %q and %q, not %q and %q", test.name, a, o, test.addresses, test.observed)
			}
		}
	}
	r.pass(renewPause)
	changes := 0
	for i := range 100 {
		seenAt(fmt.Sprintf("203.0.113.%d:1", i))()
		if r.own(neighbour) != nil {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("%d records in a moment", changes)
	}
	if r.pass(renewPause + tickEvery); !slices.Equal(r.own(neighbour).GetObserved(), []string{"203.0.113.99:1"}) {
		t.Errorf("in the end it says %v", r.own(neighbour))
	}
	r.c.Step(r.now, Seen{Link: neighbour, Address: "198.51.100.2:5000"})
	if r.drain(); len(r.frames()) != 1 || r.frames()[0].GetObserved().GetAddress() != "198.51.100.2:5000" {
		t.Errorf("to a peer that has moved it says %v", r.frames())
	}
}

// TestLinkLocalCable: two laptops, a cable and nothing else.
func TestLinkLocalCable(t *testing.T) {
	r := newRig(t, func(c *base.Config) {
		c.Addresses = []netip.AddrPort{netip.MustParseAddrPort("169.254.7.5:5000")}
		c.Near = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16")}
	})
	l := r.inboundFrom(1, "169.254.9.9:5000")
	hello := start(1, "one", 1000)
	hello.Observed = "169.254.7.5:5000"
	r.receive(l, hello)
	n := r.c.Net()
	if n.NAT != base.NATNone || len(n.Peers) != 1 || !n.Peers[0].Near || len(n.Addresses) != 1 || n.Addresses[0].Source != SourceInterface {
		t.Errorf("%+v", n)
	}
}

// ownRecord is our record, as others read it.
func (r *rig) ownRecord() *pb.Record {
	record, _ := pb.ParseRecord(r.c.table.Self.Record.Signed)
	return record
}
