// Package doctor says why a peer is not found, not reached, or not connected directly, and what
// to do about it.
//
// [Gather] looks at this machine and changes nothing there: it opens sockets, sends a few packets
// on the LAN and to the router, and reads files. [Judge] makes findings of what was seen, and is
// pure. What a running peer knows comes in as a [Peer].
package doctor

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Facts are what Gather has seen.
type Facts struct {
	Port       uint16 // that the peer listens on; 0: another one at each start
	Socket     Socket
	Firewalls  []Firewall
	Interfaces []Interface
	NoRoute6   error // of a route to the internet by IPv6; nil: there is one
	Router     Router
	Clock      Clock
	State      State
	Files      Files
	Peer       *Peer // the running peer; nil: none was asked
}

// Socket is what opening a UDP socket has shown.
type Socket struct {
	Listen        string // HOST:PORT
	Err           error  // of opening it there
	Receive, Send int    // sizes of its buffers; 0: unknown
	Wanted        int    // what quic-go wants of both
	// Tried says that packets were sent to it from this machine, Heard that one has arrived;
	// SendErr is the error of sending.
	Tried, Heard bool
	SendErr      error
}

// Firewall is a packet filter on this machine.
type Firewall struct {
	Name   string // ufw, firewalld, nft, the macOS firewall, the Windows firewall
	Active bool
	Hidden string // why it could not be looked at; empty: it could
	// Strict says that it refuses what no rule allows; Open that a rule lets the port in. Both are
	// only known where it could be looked at.
	Strict, Open bool
}

// Interface is a network interface that is up, other than loopback.
type Interface struct {
	Name      string
	Addresses []netip.Addr
	CanMulti  bool // it has the flag
	// Heard says that a multicast sent over it was heard on it; Err why it could not be sent or
	// listened for. Others are those on the LAN that have answered, as quicpeer's peers do that
	// run with --discover.
	Heard  bool
	Err    error
	Others []netip.Addr
}

// Router is what the router has answered.
type Router struct {
	Gateway  netip.Addr // zero: no default route, or it isn't known here
	By       string     // the protocol by which it maps ports; empty: it has not answered
	External netip.Addr // its own address, zero if it doesn't say
	Behind   bool       // that address is not one of the internet
}

// Clock is what is known of this machine's clock.
type Clock struct {
	Now    time.Time
	Synced bool      // the kernel says that something keeps it right
	Hidden string    // why the kernel was not asked; empty: it was
	Newest time.Time // when a file of the state directory was written last; zero: none
}

// State is the state directory.
type State struct {
	Dir      string // empty: nothing is kept
	Exists   bool
	Err      error  // of looking at it
	Foreign  bool   // it belongs to another user
	ReadOnly bool   // this user can't write there
	Mode     uint32 // its permissions
	Held     bool   // a process has it open: a peer, as a rule
	Free     uint64 // bytes free on its disk
	NoNodes  bool   // no file can be made there: the file system has no inodes left
	DiskErr  error  // why that is not known
}

// Files are the limits of open files of a process.
type Files struct {
	Most uint64 // 0: unknown
}

// Peer is what the running peer says.
type Peer struct {
	ID     certs.ID
	Listen []string // HOST:PORT that others can dial
	Net    overlay.Net
	Clocks []PeerClock
}

// Heard is a message that a peer has written to this one.
type Heard struct {
	From       certs.ID
	SentAt, At time.Time // by its clock, and by ours when it came
}

// Clocks compares the clocks of peers with ours. The message of each that seems to have been on its
// way for the shortest time counts.
func Clocks(messages []Heard) (list []PeerClock) {
	for _, m := range messages {
		ahead := m.SentAt.Sub(m.At)
		i := slices.IndexFunc(list, func(p PeerClock) bool { return p.ID == m.From })
		if i < 0 {
			list = append(list, PeerClock{m.From, ahead})
			continue
		}
		list[i].Ahead = max(list[i].Ahead, ahead)
	}
	return list
}

// PeerClock is how another peer's clock differs from ours, from a message that it has written
// to us: that was on its way for a while, so the difference is at least that.
type PeerClock struct {
	ID    certs.ID
	Ahead time.Duration // of when the message came; negative: behind it, or the message took so long
}
