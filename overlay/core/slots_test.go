package core

import (
	"fmt"
	"slices"
	"testing"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// knocks lets a newcomer dial us from an address, and returns what it is answered.
func (r *rig) knocks(identity uint64, address string) (base.LinkID, *pb.HandshakeResponse) {
	r.t.Helper()
	l := r.inboundFrom(identity, address)
	r.receive(l, start(identity, fmt.Sprint("p", identity), 1000))
	for i, m := range r.frames() {
		if r.out.Frames[i].Link == l && m.GetHandshakeResponse() != nil {
			return l, m.GetHandshakeResponse()
		}
	}
	r.t.Fatalf("%d is not answered: %v", identity, r.frames())
	return 0, nil
}

// crowded is a rig whose links all lead to one host, but for some.
func crowded(t *testing.T, honest int) *rig {
	r := newRig(t, nil)
	for i := range honest {
		if _, answer := r.knocks(uint64(1+i), fmt.Sprintf("203.0.113.%d:5000", 1+i)); answer.GetCode() != pb.HandshakeCode_OK {
			t.Fatal(answer)
		}
	}
	for i := range link.MaxLinks - honest {
		if _, answer := r.knocks(uint64(1000+i), fmt.Sprintf("198.51.100.7:%d", 1000+i)); answer.GetCode() != pb.HandshakeCode_OK {
			t.Fatal(answer)
		}
	}
	return r
}

// TestSlotsOfOneHost: a host that takes all our links keeps nobody of another host out, and gets no
// more of them; its neighbours, and those of other hosts, keep theirs.
func TestSlotsOfOneHost(t *testing.T) {
	r := crowded(t, 3)
	neighbour := r.c.links.List[3].ID
	r.receive(neighbour, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	if _, answer := r.knocks(2000, "198.51.100.7:9999"); answer.GetCode() != pb.HandshakeCode_FULL {
		t.Errorf("one more of the same host: %v", answer)
	}
	for i := range 100 {
		_, answer := r.knocks(uint64(3000+i), fmt.Sprintf("192.0.2.%d:5000", i))
		if answer.GetCode() != pb.HandshakeCode_OK {
			t.Fatalf("newcomer %d of another host: %v", i, answer)
		}
		if len(r.out.Closes) != 1 || r.out.Closes[0].Reason != base.CloseIdle || r.c.links.Link(r.out.Closes[0].Link).Host() != base.HostOf("198.51.100.7:1") {
			t.Fatalf("closes %v", r.out.Closes)
		}
		r.c.Step(r.now, Disconnected{Link: r.out.Closes[0].Link, Why: "closed"})
		r.drain()
	}
	if up := r.c.links.LinksUp(); up != link.MaxLinks || r.c.links.Link(neighbour) == nil {
		t.Errorf("%d links, the neighbour's is %v", up, r.c.links.Link(neighbour))
	}
}

// TestSlotsOfManyHosts: hosts with as many links as each other don't displace each other.
func TestSlotsOfManyHosts(t *testing.T) {
	r := newRig(t, nil)
	for i := range link.MaxLinks {
		r.knocks(uint64(1000+i), fmt.Sprintf("198.51.100.%d:%d", i/2, 1000+i))
	}
	if _, answer := r.knocks(2000, "198.51.100.3:9999"); answer.GetCode() != pb.HandshakeCode_FULL {
		t.Errorf("a third of a host: %v", answer)
	}
	if _, answer := r.knocks(2001, "192.0.2.1:5000"); answer.GetCode() != pb.HandshakeCode_OK {
		t.Errorf("a first of a host: %v", answer)
	}
	if _, answer := r.knocks(2002, "192.0.2.1:5001"); answer.GetCode() != pb.HandshakeCode_FULL {
		t.Errorf("a second of a host: %v", answer)
	}
}

// TestFullPeerNamesManyHosts: whoever takes all links is not all that a newcomer hears of.
func TestFullPeerNamesManyHosts(t *testing.T) {
	r := crowded(t, 5)
	_, answer := r.knocks(2000, "198.51.100.7:9999")
	var named []string
	for _, signed := range answer.GetCandidates() {
		record, err := base.OpenRecord(signed)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, string(record.ID))
	}
	for i := range 5 {
		if !slices.Contains(named, fmt.Sprintf("p%d", 1+i)) {
			t.Errorf("p%d is not among %v", 1+i, named)
		}
	}
}

// TestNeighboursOfOneHost: a host that takes all places among our neighbours gives some up for
// others.
func TestNeighboursOfOneHost(t *testing.T) {
	r := newRig(t, nil)
	for i := range table.MaxNeighbours {
		l, _ := r.knocks(uint64(1000+i), fmt.Sprintf("198.51.100.7:%d", 1000+i))
		r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	}
	for i := range table.MaxNeighbours - 2 {
		l, _ := r.knocks(uint64(2000+i), fmt.Sprintf("192.0.2.%d:5000", i))
		r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
		if !r.c.links.Link(l).Neighbour {
			t.Errorf("the %dth of other hosts gets no place", i)
		}
	}
	if n := r.c.links.Degree(); n != table.MaxNeighbours {
		t.Errorf("%d neighbours", n)
	}
}
