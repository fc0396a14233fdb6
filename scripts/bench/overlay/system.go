package main

import (
	"context"
	"sync/atomic"
)

// system is a kind of network that is measured: how a member of it starts. The
// first member gets no door, all others the first one's address. What a member
// sees goes to the census, what it sends to the traffic.
type system struct {
	name  string
	start func(ctx context.Context, name, door string, seen *census, sent *traffic) (member, error)
}

// The systems, ours first.
var (
	ours   = system{"quicpeer", startPeer}
	theirs = system{"memberlist", startMemberlist}
)

// member is one node of a network. Of leave and kill one is called, once.
type member interface {
	// address is where others join through it.
	address() string
	// leave says goodbye and ends the member, within patience.
	leave() error
	// kill ends the member as a crash would: from now on it sends nothing. It returns when
	// nothing is left of it.
	kill()
}

// traffic is what all members of a network send, headers of IP and UDP or TCP included.
type traffic struct{ packets, bytes atomic.Int64 }

// headers are the bytes before the data of a UDP packet: 20 of IPv4, 8 of UDP.
const headers = 20 + 8

func (t *traffic) packet(payload int) {
	t.packets.Add(1)
	t.bytes.Add(int64(headers + payload))
}
