package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// at parses addresses of ours, with their subnets.
func at(list string) (own []netip.AddrPort, near []netip.Prefix) {
	for _, a := range strings.Fields(list) {
		ap := netip.MustParseAddrPort(a)
		own = append(own, ap)
		if !ap.Addr().IsLoopback() {
			prefix, _ := ap.Addr().Prefix(16)
			near = append(near, prefix)
		}
	}
	return own, near
}

// rigAt is a rig with these addresses.
func rigAt(t *testing.T, list string) *rig {
	return newRig(t, func(c *base.Config) { c.Addresses, c.Near = at(list) })
}

// told lets a neighbour, whose link has the given address, tell the rig of a peer that it wants a
// link to. It returns the addresses dialled.
func (r *rig) told(neighbour, addresses string) []string {
	r.t.Helper()
	r.last++
	l := r.last
	r.c.Step(r.now, Connected{Link: l, Dial: 0, Key: testIdentity(1).Key(), Address: neighbour})
	r.drain()
	r.receive(l, start(1, "one", 1000))
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	key := testIdentity(7).Key()
	record := testIdentity(7).SignRecord(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: "seven", Key: key[:], Network: "net", Epoch: 1, Addresses: strings.Fields(addresses),
	})
	r.receive(l, propagation(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: record, Hops: 1}))
	list := dialled(r, 7)
	r.c.Step(r.now, Want{To: "seven"})
	r.drain()
	return append(list, dialled(r, 7)...)
}

// dialled returns the addresses of an identity that the last input has dialled.
func dialled(r *rig, identity uint64) []string {
	var list []string
	for _, d := range r.out.Dials {
		for _, c := range d.Candidates {
			if d.Key == testIdentity(identity).Key() {
				list = append(list, c.Address)
			}
		}
	}
	return list
}

// TestLoopbackOfOthers: only peers that are on the same host, as far as they can tell, dial the
// loopback address of a record.
func TestLoopbackOfOthers(t *testing.T) {
	const here, lan, elsewhere = "127.0.0.1:4001", "192.168.7.5:4001", "[fe80::1%eth0]:4001"
	for _, test := range []struct {
		name, own, neighbour, record, want string
	}{
		{"nobody has a network", "127.0.0.1:5000 [::1]:5000", here, "127.0.0.1:4002 [::1]:4002", "127.0.0.1:4002 [::1]:4002"},
		{"we have one", "192.168.7.2:5000", lan, "127.0.0.1:4002 [::1]:4002", ""},
		{"we have one, and were told by a neighbour on this host", "192.168.7.2:5000", here, "127.0.0.1:4002", ""},
		{"we have one, and so has the other", "192.168.7.2:5000", lan, "127.0.0.1:4002 192.168.7.3:4002", "192.168.7.3:4002"},
		{"we have a way out", "127.0.0.1:5000", elsewhere, "127.0.0.1:4002", ""},
	} {
		if got := strings.Join(rigAt(t, test.own).told(test.neighbour, test.record), " "); got != test.want {
			t.Errorf("%s: dials %q, not %q", test.name, got, test.want)
		}
	}
}

// TestFullDoorNamesLoopback: a door that names others can't make a newcomer dial its own host.
func TestFullDoorNamesLoopback(t *testing.T) {
	for own, want := range map[string]int{"192.168.7.2:5000": 0, "127.0.0.1:5000": 1} {
		r := newRig(t, func(c *base.Config) { c.Addresses, c.Near = at(own); c.Join = []string{"door:1"} })
		key := testIdentity(7).Key()
		record := testIdentity(7).SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "seven", Key: key[:], Network: "net", Epoch: 1, Addresses: []string{"127.0.0.1:4002"},
		})
		r.receive(r.outbound(r.out.Dials[0].ID, 1), &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: []*pb.Signed{record}})
		if got := dialled(r, 7); len(got) != want {
			t.Errorf("at %s it dials %v", own, got)
		}
	}
}

// TestLosingTheNetwork: when a host has lost all of its network its peers name loopback, and find
// each other there although they knew each other by addresses that are gone; when it is back they
// name the network again.
func TestLosingTheNetwork(t *testing.T) {
	r := rigAt(t, "192.168.7.2:5000")
	one := r.neighbour(1, "one")
	r.seeing(2, "two", "192.168.7.2:5000")
	r.seeing(3, "three", "203.0.113.1:4001")
	r.pass(2 * time.Second)
	r.told("192.168.7.2:4009", "192.168.7.2:4002") // seven, on this host
	for _, d := range r.out.Dials {
		r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "no answer"})
	}
	r.pass(2 * time.Second)
	own, near := at("127.0.0.1:5000 [::1]:5000")
	r.c.Step(r.now, Moved{Own: own, Near: near})
	r.drain()
	if record := r.own(one); !slices.Equal(record.GetAddresses(), []string{"127.0.0.1:5000", "[::1]:5000"}) || len(record.GetObserved()) != 0 {
		t.Errorf("without a network it says %v", record)
	}
	for _, l := range r.c.links.List { // they lead to nowhere now
		l.Quiet = true
	}
	e := r.c.table.Owner("seven", r.now)
	if got := r.c.where.Candidates(e, false, nil); len(got) == 0 || got[0].Address != "127.0.0.1:4002" {
		t.Errorf("a peer of this host is looked for at %v", got)
	}
	r.pass(2 * time.Second)
	own, near = at("192.168.7.9:5000")
	r.c.Step(r.now, Moved{Own: own, Near: near})
	r.drain()
	if record := r.own(one); !slices.Equal(record.GetAddresses(), []string{"192.168.7.9:5000"}) || len(record.GetObserved()) != 0 {
		t.Errorf("with a network again it says %v", record)
	}
	if got := r.c.where.Candidates(e, false, nil); slices.ContainsFunc(got, func(c base.Candidate) bool { return strings.HasPrefix(c.Address, "127") }) {
		t.Errorf("with a network again it dials %v", got)
	}
}

// TestManyAddresses: a host with more addresses than a record holds knows itself at each.
func TestManyAddresses(t *testing.T) {
	var list string
	for i := range 40 {
		list += fmt.Sprintf("10.%d.0.1:5000 ", 100+i)
	}
	r := rigAt(t, list)
	r.seeing(1, "one", "10.139.0.1:5000")
	r.seeing(2, "two", "10.139.0.1:5000")
	if addresses, observed := r.c.where.Reachable(); len(addresses) != base.MaxOwnAddresses || len(observed) != 0 {
		t.Errorf("it says %v, %v", addresses, observed)
	}
	if nat := r.c.where.Nat(); nat != base.NATNone {
		t.Errorf("NAT %v", nat)
	}
}

// TestLinkLocalCable: two laptops, a cable and nothing else.
func TestLinkLocalCable(t *testing.T) {
	r := rigAt(t, "169.254.7.5:5000")
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Dial: 0, Key: testIdentity(1).Key(), Address: "169.254.9.9:5000"})
	r.drain()
	hello := start(1, "one", 1000)
	hello.Observed = "169.254.7.5:5000"
	r.receive(r.last, hello)
	n := r.c.Net()
	if n.NAT != base.NATNone || len(n.Peers) != 1 || !n.Peers[0].Near || len(n.Addresses) != 1 || n.Addresses[0].Source != SourceInterface {
		t.Errorf("%+v", n)
	}
}
