package coretest

import (
	"cmp"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// recollect puts a broadcast into the history of a machine that has one.
func (m *Machine) recollect(room string, s *pb.Signed) {
	if m.History != nil {
		room = cmp.Or(room, pb.Everyone)
		m.History[room] = append(m.History[room], s)
	}
}

// Say has the process say something in a room, or to everyone if that is empty.
func (p *Process) Say(room, body string) [pb.MessageIDSize]byte {
	id := p.Core.Step(p.World.Now, core.Broadcast{Room: room, Body: body, SentAt: int64(p.World.Now)}).Message
	p.recollect(room, p.Core.LastSaid())
	p.Drain()
	return id
}
