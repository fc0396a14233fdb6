package coretest

import (
	"slices"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// The pretend driver's part for links over others: it has no QUIC, but can follow a packet.

// maxHops is how many links a packet may cross, as in package transport.
const maxHops = 16

// LeadsTo follows the ways of a packet at this moment, and says whether they lead to a machine.
func (p *Process) LeadsTo(to *Machine) bool {
	var before *Process
	for range maxHops {
		over, here := p.Core.CarriesTo(base.TagOf(to.ID))
		i := slices.IndexFunc(p.Ends, func(e *End) bool { return len(over) > 0 && e.ID == over[0] && e.Open })
		if !here || i < 0 || p.Ends[i].Other.gone {
			return false
		}
		next := p.Ends[i].Other.Process
		if next == before { // packets never go back
			return false
		}
		if next.Machine == to {
			return true
		}
		before, p = p, next
	}
	return false
}

// Search sends a packet of a link over others by a search.
func (p *Process) Search(to *Machine, packet string) {
	p.Core.Step(p.World.Now, core.Carry{To: base.TagOf(to.ID), Packet: []byte(packet)})
	p.Drain()
}

// HasPacket reports whether a packet has come by a search.
func (m *Machine) HasPacket(packet string) bool { return m.disk.packets[packet] }
