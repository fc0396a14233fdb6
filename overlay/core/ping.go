package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Pings that a user asks for: a round trip by the way that messages to a peer take now. That is the
// link in use, whoever carries its packets. Without one a link is wanted, as for a message; when that
// takes long the ping goes by the way of letters, a search from peer to peer, which each version
// answers. So does an older peer that doesn't know pings on links.

// Bounds of pings, guesses.
const (
	pingFor     = 10 * time.Second       // for an answer
	pingAgain   = 1 * time.Second        // by the way of letters, where a ping may get lost
	pingCarried = 500 * time.Millisecond // without a link, until one over others is wanted, as for messages
	pingLetters = 3 * time.Second        // without a link, until it goes by the way of letters
	maxPings    = 64                     // at once
	pingBurst   = 10                     // from a link that are answered at once,
	pingEvery   = 100 * time.Millisecond // then one in
)

// pings measures round trips.
type pings struct {
	*base.Env
	table   *table.Table
	links   *link.Links
	routes  *route.Routes
	reach   *reach.Reach
	carried *carried
	list    []*pinging
}

// pinging is a ping without an answer.
type pinging struct {
	number  uint64 // of the caller
	to      *base.Record
	began   time.Duration
	carried bool        // a link over others was wanted
	over    base.LinkID // the last one on which it was sent
	next    time.Duration
	sent    []sentPing
}

// sentPing is a ping on its way.
type sentPing struct {
	number uint64
	at     time.Duration
	pong   base.Pong // if it is answered
}

// startPing handles Ping.
func (ps *pings) startPing(number uint64, to certs.ID) {
	e := ps.table.ByName(to, ps.Now)
	switch {
	case e == nil || e == ps.table.Self || ps.Leaving || !ps.Ready:
		ps.Out.Pongs = append(ps.Out.Pongs, base.Pong{Number: number, Why: "it is not in the network now"})
	case len(ps.list) >= maxPings:
		ps.Out.Pongs = append(ps.Out.Pongs, base.Pong{Number: number, Why: "too many pings are on their way"})
	default:
		p := &pinging{number: number, to: e.Record, began: ps.Now}
		ps.list = append(ps.list, p)
		ps.sendPing(p)
	}
}

// checkPings sends what is due, and ends what was in vain.
func (ps *pings) checkPings() {
	ps.list = slices.DeleteFunc(ps.list, func(p *pinging) bool {
		if ps.Now < p.began+pingFor {
			ps.sendPing(p)
			return false
		}
		ps.Out.Pongs = append(ps.Out.Pongs, base.Pong{Number: p.number, Why: "no answer"})
		return true
	})
}

// sendPing sends a ping over the link in use, if it was not sent there yet, and wants a link where
// there is none.
func (ps *pings) sendPing(p *pinging) {
	l, over := ps.carried.inUse(p.to.Key)
	if l != nil && !over && !ps.routes.Serves(l) {
		l = nil // it has fallen silent
	}
	switch {
	case l != nil && l.Foreign.Knows(pb.FeaturePing):
		if l.ID != p.over {
			p.over, l.Used = l.ID, ps.Now
			pong := base.Pong{How: base.PingDirect, Link: l.ID, Address: l.Address}
			if over {
				pong.How, pong.Address = base.PingCarried, ""
			}
			ps.links.Send(l, &pb.LinkPing{Number: ps.sending(p, pong)})
		}
		return
	case l == nil && !ps.wantLink(p) || ps.Now < p.next:
		return
	}
	p.next = ps.Now + pingAgain
	key, tries := p.to.Key, len(p.sent)
	pong := base.Pong{How: base.PingLetters}
	if l != nil && !over {
		pong, tries = base.Pong{How: base.PingDirect, Link: l.ID, Address: l.Address}, 0
	} else if e := ps.table.Get(p.to.ID, key); e != nil {
		pong.Via = ps.links.Via(e)
	}
	ps.Happen(base.Staying{})
	m := &pb.Ping{Number: ps.sending(p, pong), Key: key[:]}
	ps.routes.SendAround(p.to.ID, &pb.Routed{Content: &pb.Routed_Ping{Ping: m}}, tries)
}

// sending notes that a ping goes out, and returns its number.
func (ps *pings) sending(p *pinging, pong base.Pong) uint64 {
	s := sentPing{ps.Cfg.Rand.Uint64(), ps.Now, pong}
	p.sent = append(p.sent, s)
	return s.number
}

// wantLink wants a link, and reports whether there has been none for long.
func (ps *pings) wantLink(p *pinging) bool {
	soon, waited := ps.reach.Want(p.to.ID), ps.Now-p.began
	if !p.carried && (!soon || waited >= pingCarried) {
		p.carried = true
		ps.Happen(base.Staying{})
		ps.Out.CarriedWanted = append(ps.Out.CarriedWanted, p.to.ID)
	}
	return waited >= pingLetters
}

// receivePing takes a ping or pong of a link, and reports whether the frame is one.
func (ps *pings) receivePing(l *link.Link, f *pb.PeerMessage) bool {
	switch m := f.GetContent().(type) {
	case *pb.PeerMessage_LinkPing:
		if l.Pings.Take(ps.Now, pingBurst, pingEvery) && !ps.Leaving {
			l.Used = ps.Now
			ps.links.Send(l, &pb.LinkPong{Number: m.LinkPing.GetNumber()})
		}
	case *pb.PeerMessage_LinkPong:
		ps.pinged(m.LinkPong.GetNumber(), func(p *pinging, s sentPing) bool { return s.pong.Link == l.ID })
	default:
		return false
	}
	return true
}

// receiveRoutedPong takes a pong that has come by the way of letters.
func (ps *pings) receiveRoutedPong(from certs.ID, m *pb.Ping) {
	key := certs.PublicKey(m.GetKey())
	ps.pinged(m.GetNumber(), func(p *pinging, _ sentPing) bool { return p.to.ID == from && p.to.Key == key })
}

// pinged ends the ping of a number that is right.
func (ps *pings) pinged(number uint64, right func(*pinging, sentPing) bool) {
	for i, p := range ps.list {
		for _, s := range p.sent {
			if s.number == number && right(p, s) {
				s.pong.Number, s.pong.Took = p.number, ps.Now-s.at
				ps.Out.Pongs = append(ps.Out.Pongs, s.pong)
				ps.list = slices.Delete(ps.list, i, i+1)
				return
			}
		}
	}
}
