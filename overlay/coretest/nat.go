package coretest

import (
	"fmt"
	"net/netip"
	"time"
)

// NAT is what a machine is behind. How real ones behave, to the packet, is simulated by
// transport/simtest; here it is enough who gets in.
type NAT uint8

const (
	NoNAT     NAT = iota
	ConeNAT       // whoever knows the address gets in
	StrictNAT     // only what was sent to
	Symmetric     // the same, and another port to each
	NATKinds
)

// holeFor is how long a NAT lets in what it expects: Linux's timeout.
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

// interfaceAddress is the one that the machine sees itself. Behind NATs all are of one subnet.
func (m *Machine) interfaceAddress() string {
	if m.NAT == NoNAT {
		return m.Address
	}
	return fmt.Sprintf("192.168.1.%d:5000", m.Index%3+2)
}

// seenBy is where another machine sees this one.
func (m *Machine) seenBy(other *Machine) string {
	if m.NAT != Symmetric {
		return m.Address
	}
	a := netip.MustParseAddrPort(m.Address)
	return netip.AddrPortFrom(a.Addr(), 20000+uint16(other.Index)).String()
}

// byAddress finds the machine that packets to an address come to, or to its NAT.
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

// enters says that a packet which is sent now to the address of a machine will get in, and
// notes that the sender's NAT expects an answer.
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
