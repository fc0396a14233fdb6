package main

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// swallow: a member that is a neighbour of two peers which can't reach each other passes nothing on, and
// says that it is next to everybody. An honest peer could carry their messages. The liar's links are the
// older ones.
var swallow = &attack{
	name: "swallow", about: "F6 one swallowing relay beside an honest one", bar: "5 of 5 messages within 10 s", short: true,
	hosts: []string{"a", "b", "c"},
	play: func(p *player) error {
		l := newLiar("mallory")
		if err := p.open(l); err != nil {
			return err
		}
		var links []*transport.Link
		for i := range 2 {
			to, err := p.target(i)
			if err != nil {
				return err
			}
			link, err := l.befriend(p, to, nil)
			if err != nil {
				return err
			}
			links = append(links, link)
		}
		p.say("done", nil)
		lie := &pb.Routes{Peers: []uint32{base.ShortTag(base.TagOf("a")), base.ShortTag(base.TagOf("b"))}, Hops: []byte{0, 0}}
		for p.ctx.Err() == nil {
			for _, link := range links {
				if err := send(link, lie); err != nil {
					return err
				}
			}
			time.Sleep(time.Second)
		}
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		a, err := s.start("a", "a")
		if err != nil {
			return "", false, err
		}
		b, err := s.start("b", "b")
		if err != nil {
			return "", false, err
		}
		apart := func(x, y string) bool { return x == "a" && y == "b" || x == "b" && y == "a" }
		if err := s.net.Cut(apart); err != nil {
			return "", false, err
		}
		for _, p := range []*peer{a, b} {
			if err := p.ready(patience); err != nil {
				return "", false, err
			}
		}
		if _, err := s.play("done", patience, a.at, b.at); err != nil {
			return "", false, err
		}
		c, err := s.start("c", "c", "--join", a.at+","+b.at)
		if err != nil {
			return "", false, err
		}
		for _, p := range []*peer{a, b} {
			if err := p.sees("c", patience); err != nil {
				return "", false, err
			}
		}
		if err := a.sees("b", patience); err != nil {
			return "", false, err
		}
		if err := c.sees("a", patience); err != nil {
			return "", false, err
		}
		time.Sleep(3 * time.Second) // the lies have come
		s.begin()
		var refs []string
		began := time.Now()
		for range 5 {
			ref, err := a.send(b)
			if err != nil {
				return "", false, err
			}
			refs = append(refs, ref)
			time.Sleep(200 * time.Millisecond)
		}
		arrived := 0
		for _, ref := range refs {
			if a.delivered(b, ref, max(0, 10*time.Second-time.Since(began))) == nil {
				arrived++
			}
		}
		return fmt.Sprintf("%d of 5 delivered within %.1f s", arrived, time.Since(began).Seconds()), arrived == 5, nil
	},
}

// befriend makes a neighbour's link, over which the liar says that its table is like that of whoever asks.
// It is handed what it hears.
func (l *liar) befriend(p *player, to netip.AddrPort, each func(*pb.PeerMessage)) (link *transport.Link, err error) {
	said := make(chan proto.Message, 64)
	link, err = l.join(p.ctx, to, func(m *pb.PeerMessage) {
		if each != nil {
			each(m)
		}
		switch {
		case m.GetReconcile() != nil && !m.GetReconcile().GetAnswer():
			said <- &pb.Reconcile{Answer: true}
		case m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST:
			said <- &pb.Neighbour{Type: pb.NeighbourType_ACCEPT}
		default:
			if answer := pong(m); answer != nil && answer.GetFrom() == string(l.id) {
				said <- answer
			}
		}
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			select {
			case m := <-said:
				if send(link, m) != nil {
					return
				}
			case <-p.ctx.Done():
				return
			}
		}
	}()
	return link, send(link, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
}

// befriendAll is befriend for all whose addresses are the words behind the first.
func (l *liar) befriendAll(p *player, each func(*pb.PeerMessage)) (links []*transport.Link, err error) {
	for i := range p.words[1:] {
		to, err := p.target(i + 1)
		if err != nil {
			return nil, err
		}
		link, err := l.befriend(p, to, each)
		if err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, nil
}
