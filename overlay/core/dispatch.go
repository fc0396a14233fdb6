package core

import (
	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// receive hands a frame to the machine responsible for it.
func (c *Core) receive(l *link.Link, f *pb.PeerMessage) {
	switch m := f.GetContent().(type) {
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
		c.neighbourhood.ReceiveNeighbour(l, m.Neighbour)
	case *pb.PeerMessage_NeighbourList:
		c.neighbourhood.ReceiveNeighbourList(l, m.NeighbourList)
	case *pb.PeerMessage_Routes:
		c.routes.ReceiveRoutes(l, m.Routes)
	case *pb.PeerMessage_Routed:
		c.receiveRouted(l, m.Routed)
	case *pb.PeerMessage_Reconcile:
		c.sync.ReceiveReconcile(l, m.Reconcile)
	case *pb.PeerMessage_Broadcast:
		c.broadcasts.ReceiveBroadcast(l, m.Broadcast)
	case *pb.PeerMessage_BroadcastsHeld:
		c.broadcasts.ReceiveHeld(l, m.BroadcastsHeld)
	case *pb.PeerMessage_BroadcastsWanted:
		c.broadcasts.ReceiveWanted(l, m.BroadcastsWanted)
	case *pb.PeerMessage_PastWanted:
		c.past.ReceiveWanted(l, m.PastWanted)
	case *pb.PeerMessage_PastGiven:
		c.past.ReceiveGiven(l, m.PastGiven)
	case *pb.PeerMessage_Deposit:
		c.custody.ReceiveDeposit(l, m.Deposit)
	case *pb.PeerMessage_DepositAnswer:
		c.custody.ReceiveDepositAnswer(l, m.DepositAnswer)
	case *pb.PeerMessage_Observed:
		c.reach.Observe(l, m.Observed.GetAddress())
	case *pb.PeerMessage_Sync:
		c.reach.ReceiveSync(l, m.Sync, true)
	case *pb.PeerMessage_LinkPing, *pb.PeerMessage_LinkPong:
		c.pings.receivePing(l, f)
	default:
		c.links.Violation(l, "a handshake after the handshake")
	}
}

// receiveRouted takes a routed frame, which is for us or is passed on. One for us that can't be
// read is dropped, and no link can be blamed for it.
func (c *Core) receiveRouted(l *link.Link, m *pb.Routed) {
	if certs.ID(m.GetTo()) != c.env.Cfg.ID {
		if !c.reach.Introduce(l, m) {
			c.relay.PassOn(l, m)
		}
		return
	}
	opened, err := pb.OpenRouted(m)
	if err != nil {
		c.env.Note(base.Debug, "something routed to us can't be read, dropped", "from", m.GetFrom(), "peer", string(l.Peer), "why", err)
		return
	}
	c.receiveContent(l, opened)
}

// receiveContent takes the content of a frame routed to us, which came over the link.
func (c *Core) receiveContent(l *link.Link, m *pb.Routed) {
	from := certs.ID(m.GetFrom())
	if c.env.Leaving || from == c.env.Cfg.ID {
		return
	}
	switch content := m.GetContent().(type) {
	case *pb.Routed_Question:
		c.probes.ReceiveQuestion(detect.Asker{ID: from, Over: l.ID, Back: c.routes.WayBack(l, m)}, content.Question)
	case *pb.Routed_Answer:
		c.probes.ReceiveAnswer(from, content.Answer)
	case *pb.Routed_Ping:
		if certs.PublicKey(content.Ping.GetKey()) == c.env.Cfg.Identity.Key() {
			c.routes.SendBack(l.ID, from, &pb.Routed{Back: c.routes.WayBack(l, m), Content: &pb.Routed_Pong{Pong: content.Ping}})
		}
	case *pb.Routed_Pong:
		c.pings.receiveRoutedPong(from, content.Pong)
		c.probes.ReceivePong(l.ID, from, content.Pong)
		c.neighbourhood.ReceivePong(from, content.Pong)
		c.hearsay.ReceivePong(from, content.Pong)
	case *pb.Routed_Envelope:
		c.relay.ReceiveEnvelope(l.ID, from, content.Envelope)
	case *pb.Routed_Collected:
		c.custody.ReceiveCollected(content.Collected)
	case *pb.Routed_Withdraw:
		c.custody.ReceiveWithdraw(l.ID, from, content.Withdraw)
	case *pb.Routed_Withdrawn:
		c.custody.ReceiveWithdrawn(from, content.Withdrawn)
	case *pb.Routed_Sync:
		c.reach.ReceiveSync(l, content.Sync, false)
	case *pb.Routed_Redeem:
		c.tickets.receiveFromDoor(l.ID, from, content.Redeem)
	case *pb.Routed_Redeemed:
		c.tickets.receiveAnswer(from, content.Redeemed)
	case *pb.Routed_Carried:
		c.env.Out.Carried = append(c.env.Out.Carried, base.Carried{From: base.TagOf(from), Packet: content.Carried})
	}
}
