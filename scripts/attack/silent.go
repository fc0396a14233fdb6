package main

import (
	"fmt"
	"strings"
	"time"

	"quicpeer/pb"
	"quicpeer/scripts/internal/harness"
)

// silent: thirty members become neighbours of four peers, pass nothing on and answer no questions but
// those about tables. Then one of the four dies.
var silent = &attack{
	name: "silent", about: "F9 30 silent neighbours", bar: "crash known ≤ 5 s",
	hosts: []string{"a", "b", "c", "d"},
	play: func(p *player) error {
		neighbours := 0
		for i := range 30 {
			l := newLiar(fmt.Sprintf("silent%d", i))
			if err := p.open(l); err != nil {
				return err
			}
			for j := range p.words {
				to, err := p.target(j)
				if err != nil {
					return err
				}
				frames := make(chan *pb.PeerMessage, 64)
				link, err := l.join(p.ctx, to, func(m *pb.PeerMessage) { frames <- m })
				if err != nil {
					return err
				}
				if err := send(link, &pb.Neighbour{Type: pb.NeighbourType_REQUEST}); err != nil {
					return err
				}
				go func() {
					again := time.NewTicker(time.Second)
					defer again.Stop()
					for {
						var err error
						select {
						case m := <-frames:
							switch ask := m.GetReconcile(); {
							case ask != nil && !ask.GetAnswer():
								err = send(link, &pb.Reconcile{Answer: true}) // our tables are equal
							case m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST:
								err = send(link, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
							}
						case <-again.C:
							err = send(link, &pb.Neighbour{Type: pb.NeighbourType_REQUEST, Priority: true})
						case <-link.Done():
							return
						}
						if err != nil {
							return
						}
					}
				}()
				neighbours++
			}
		}
		p.say("done", map[string]any{"links": neighbours})
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(4)
		if err != nil {
			return "", false, err
		}
		s.begin()
		if _, err := s.play("done", patience, addresses(peers)...); err != nil {
			return "", false, err
		}
		time.Sleep(20 * time.Second)
		dead := peers[3]
		lost := s.figures().lost
		dead.Kill()
		died := time.Now()
		var known []string
		held := lost == 0
		for _, p := range peers[:3] {
			took := "never"
			if _, err := p.await(40*time.Second, 1, func(e *harness.Event) bool { return e.Name == "peer_left" && e.Field("id") == dead.id }); err == nil {
				took = fmt.Sprintf("%.1f s", time.Since(died).Seconds())
			}
			held = held && took != "never" && time.Since(died) <= 5*time.Second
			known = append(known, took)
		}
		return "known after " + strings.Join(known, ", "), held, nil
	},
}
