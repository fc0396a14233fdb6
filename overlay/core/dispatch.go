package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
)

// receive hands a frame to the machine responsible for it.
func (c *Core) receive(l *link, m *pb.PeerMessage) {
	switch m := m.GetContent().(type) {
	case *pb.PeerMessage_Propagation:
		for _, a := range m.Propagation.GetAnnouncements() {
			if !c.learn(l, a) {
				return
			}
		}
	case *pb.PeerMessage_Neighbour:
		if m.Neighbour.GetType() == pb.NeighbourType_REQUEST {
			c.visit.stay()
		}
		c.neighbourhood.receiveNeighbour(l, m.Neighbour)
	case *pb.PeerMessage_NeighbourList:
		c.neighbourhood.receiveNeighbourList(l, m.NeighbourList)
	case *pb.PeerMessage_Routes:
		c.routes.receiveRoutes(l, m.Routes)
	case *pb.PeerMessage_Routed:
		c.receiveRouted(l, m.Routed)
	case *pb.PeerMessage_Reconcile:
		c.sync.receiveReconcile(l, m.Reconcile)
	case *pb.PeerMessage_Broadcast:
		c.broadcasts.receiveBroadcast(l, m.Broadcast)
	case *pb.PeerMessage_BroadcastsHeld:
		c.broadcasts.receiveHeld(l, m.BroadcastsHeld)
	case *pb.PeerMessage_BroadcastsWanted:
		c.broadcasts.receiveWanted(l, m.BroadcastsWanted)
	case *pb.PeerMessage_Deposit:
		c.custody.receiveDeposit(l, m.Deposit)
	case *pb.PeerMessage_DepositAnswer:
		c.custody.receiveDepositAnswer(l, m.DepositAnswer)
	case *pb.PeerMessage_Observed:
		c.reach.observe(l, m.Observed.GetAddress())
	default:
		c.links.violation(l, "a handshake after the handshake")
	}
}

// receiveRouted takes a routed frame, which is for us or is passed on.
func (c *Core) receiveRouted(l *link, m *pb.Routed) {
	if certs.ID(m.GetTo()) == c.cfg.ID {
		if m := c.openRouted(l, m); m != nil {
			c.receiveContent(l, m)
		}
		return
	}
	if bytes := carriedBytes(m); bytes > 0 {
		if !c.relay.mayCarry(l, bytes) {
			c.relay.refuseToCarry(l, m, "carries no more for others now")
			return
		}
	} else if !c.routes.mayRoute(l) {
		c.note(Debug, "too many routed frames from one link, dropped", "peer", string(l.peer))
		return
	}
	own := &pb.Routed{From: m.From, To: m.To, Passed: slices.Clone(m.Passed), Parents: slices.Clone(m.Parents), Content: m.Content}
	own.ProtoReflect().SetUnknown(m.ProtoReflect().GetUnknown())
	if !slices.Contains(own.Passed, string(c.cfg.ID)) {
		parent := slices.Index(own.Passed, string(l.peer))
		if parent < 0 || len(own.Passed) >= pb.MaxPassed {
			return
		}
		own.Passed, own.Parents = append(own.Passed, string(c.cfg.ID)), append(own.Parents, byte(parent))
	}
	if !c.routes.forward(own) {
		c.relay.foundNoWay(own)
	}
}

// openRouted opens a frame routed to us; nil if it can't be read, for which no link can be
// blamed.
func (c *Core) openRouted(l *link, m *pb.Routed) *pb.Routed {
	opened, err := pb.OpenRouted(m)
	if err != nil {
		c.note(Debug, "something routed to us can't be read, dropped", "from", m.GetFrom(), "peer", string(l.peer), "why", err)
	}
	return opened
}

// receiveContent takes the content of a frame routed to us, which came over the link.
func (c *Core) receiveContent(l *link, m *pb.Routed) {
	from := certs.ID(m.GetFrom())
	if c.leaving || from == c.cfg.ID {
		return
	}
	switch content := m.GetContent().(type) {
	case *pb.Routed_Question:
		c.probes.receiveQuestion(from, content.Question)
	case *pb.Routed_Answer:
		c.probes.receiveAnswer(from, content.Answer)
	case *pb.Routed_Ping:
		if certs.PublicKey(content.Ping.GetKey()) == c.cfg.Identity.Key() {
			c.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Pong{Pong: content.Ping}})
		}
	case *pb.Routed_Pong:
		c.probes.receivePong(from, content.Pong)
	case *pb.Routed_Envelope:
		c.relay.receiveEnvelope(from, content.Envelope)
	case *pb.Routed_Refusal:
		c.relay.receiveRefusalOf(from, content.Refusal)
	case *pb.Routed_Collected:
		c.custody.receiveCollected(content.Collected)
	case *pb.Routed_Connect:
		c.reach.receiveConnect(from, content.Connect)
	case *pb.Routed_Sync:
		c.reach.receiveSync(l, from, content.Sync)
	}
}
