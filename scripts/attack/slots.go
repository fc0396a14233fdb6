package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

// slots: a host takes all links of a peer, and says to newcomers that nobody else is here.
var slots = &attack{
	name: "slots", about: "F4 255 links of one host", bar: "a newcomer sees all honest peers within 5 s",
	hosts: []string{"a", "b", "c", "d", "e", "f"},
	play: func(p *player) error {
		to, err := p.target(0)
		if err != nil {
			return err
		}
		sit := func(i int) error {
			l := newLiar(fmt.Sprintf("sitter%d", i))
			if err := p.open(l); err != nil {
				return err
			}
			link, err := l.join(p.ctx, to, nil)
			if err != nil {
				return errors.Join(err, l.endpoint.Close())
			}
			go l.lure(p.ctx)
			go use(p.ctx, link)
			return nil
		}
		for i, told := 0, false; p.ctx.Err() == nil && i < 2000; i++ {
			err := sit(i)
			if refused := (*refusedError)(nil); !errors.As(err, &refused) {
				continue
			}
			if !told { // all places are taken
				told = true
				p.say("done", map[string]any{"links": fmt.Sprint(i)})
			}
			time.Sleep(100 * time.Millisecond) // and then each that becomes free
		}
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(5)
		if err != nil {
			return "", false, err
		}
		s.begin()
		done, err := s.play("done", 2*patience, peers[0].at)
		if err != nil {
			return "", false, err
		}
		f, err := s.start("f", "f", "--join", peers[0].at)
		if err != nil {
			return "", false, err
		}
		began, seen, took := time.Now(), 0, time.Duration(0)
		for _, p := range peers {
			if f.sees(p.id, max(time.Millisecond, 10*time.Second-time.Since(began))) == nil {
				seen, took = seen+1, time.Since(began)
			}
		}
		all := seen == len(peers)
		return fmt.Sprintf("%s links; %d of %d seen after %.1f s", done.Field("links"), seen, len(peers), took.Seconds()), all && took <= 5*time.Second, nil
	},
}

// use makes a link count as used.
func use(ctx context.Context, link *transport.Link) {
	for ctx.Err() == nil {
		if s := link.TryOpenStream(); s != nil {
			_ = s.CloseWrite()
			s.Cancel(transport.CodeProtocol)
		}
		if send(link, &pb.LinkPing{Number: 1}) != nil {
			return
		}
		time.Sleep(4 * time.Second)
	}
}

// lure lets in whoever dials the liar, and says that nobody else is here.
func (l *liar) lure(ctx context.Context) {
	for {
		link, err := l.endpoint.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			for {
				m, err := link.Receive()
				switch ask := m.GetReconcile(); {
				case err != nil:
					return
				case m.GetHandshakeStart() != nil:
					err = send(link, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: l.record(pb.AnnouncementType_JOIN, 0, l.address()), Software: "attack", Features: pb.Features()})
				case ask != nil && !ask.GetAnswer():
					err = send(link, &pb.Reconcile{Answer: true})
				case m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST:
					err = send(link, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
				}
				if err != nil {
					return
				}
			}
		}()
	}
}
