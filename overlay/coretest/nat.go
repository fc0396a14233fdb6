package coretest

import (
	"fmt"
	"net/netip"
	"time"
)

// NAT is the kind of NAT in front of a machine. transport/simtest simulates real ones to the
// packet; here it only matters which packets get in.
type NAT uint8

const (
	NoNAT     NAT = iota
	ConeNAT       // lets in anybody who knows the address
	StrictNAT     // lets in only those that it has sent to
	Symmetric     // the same, with another port towards each
	NATKinds
)

// holeFor is how long a NAT lets in an answer: Linux's timeout.
const holeFor = 30 * time.Second

// PutBehind puts the machine behind a NAT.
func (m *Machine) PutBehind(nat NAT) {
	m.NAT = nat
	if m.World.holes == nil {
		m.World.holes = make(map[[2]int]time.Duration)
	}
	if nat != NoNAT {
		m.setAddress(fmt.Sprintf("203.0.113.%d:5000", m.Index+1))
	}
}

// MoveTo puts the machine on the host of another, with a port of its own.
func (m *Machine) MoveTo(host *Machine) {
	at := netip.MustParseAddrPort(host.Address)
	m.setAddress(netip.AddrPortFrom(at.Addr(), uint16(5000+m.Index)).String())
}

// interfaceAddress is the address that the machine sees itself. All machines behind NATs are in
// one subnet.
func (m *Machine) interfaceAddress() string {
	if m.NAT == NoNAT {
		return m.Address
	}
	return fmt.Sprintf("192.168.1.%d:5000", m.Index%3+2)
}

// seenBy is the address at which another machine sees this one.
func (m *Machine) seenBy(other *Machine) string {
	if m.NAT != Symmetric {
		return m.Address
	}
	a := netip.MustParseAddrPort(m.Address)
	return netip.AddrPortFrom(a.Addr(), 20000+uint16(other.Index)).String()
}

// byAddress finds the machine whose address, or whose NAT's, it is.
func (w *World) byAddress(address string) *Machine {
	m := w.addresses[address]
	if m == nil && w.holes != nil {
		if a, err := netip.ParseAddrPort(address); err == nil {
			if m = w.addresses[netip.AddrPortFrom(a.Addr(), 5000).String()]; m != nil && m.NAT != Symmetric {
				return nil
			}
		}
	}
	return m
}

// enters reports whether a packet sent now to the address of a machine gets in, and opens the
// sender's NAT for the answer.
func (w *World) enters(from, to *Machine, address string) bool {
	if w.holes == nil {
		return true
	}
	if to.NAT != Symmetric {
		w.holes[[2]int{from.Index, to.Index}] = w.Now
	}
	at, made := w.holes[[2]int{to.Index, from.Index}]
	expected := made && w.Now < at+holeFor
	switch to.NAT {
	case NoNAT, ConeNAT:
		return true
	case StrictNAT:
		return expected && from.NAT != Symmetric
	}
	return expected && address == to.seenBy(from)
}
