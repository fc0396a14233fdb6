package main

import (
	"bytes"
	"fmt"
	"math"

	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

// unread: a host asks for tables over 240 links, and reads nothing. Meanwhile somebody joins over a
// slow line.
var unread = &attack{
	name: "unread", about: "F9 240 links that read nothing", bar: "≤ 100 MB above idle; a newcomer over 64 kbit/s ready ≤ 60 s",
	hosts: []string{"a", "b"},
	play: func(p *player) error {
		to, err := p.target(0)
		if err != nil {
			return err
		}
		var links []*transport.Link
		for i := range 240 {
			l := newLiar(fmt.Sprintf("reader%d", i))
			l.extra = func(r *pb.Record) { r.Tags = bytes.Repeat([]byte("x"), pb.MaxTags) } // the longer the table
			if err := p.open(l); err != nil {
				return err
			}
			link, err := l.knock(p.ctx, to)
			if err != nil {
				return err
			}
			if _, err := link.Receive(); err != nil {
				return err
			}
			links = append(links, link)
		}
		p.say("linked", nil)
		everything := &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_HELD}}}
		for p.ctx.Err() == nil {
			for _, link := range links {
				_ = send(link, everything) // some links may have been ended
			}
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(1)
		if err != nil {
			return "", false, err
		}
		slow, err := s.net.Host("b")
		if err == nil {
			err = s.net.Slow(slow, 64)
		}
		if err != nil {
			return "", false, err
		}
		s.begin()
		if _, err := s.play("linked", patience, peers[0].at); err != nil {
			return "", false, err
		}
		time.Sleep(5 * time.Second)
		began := time.Now()
		joined := "a newcomer not ready in 60 s"
		b, err := s.start("b", "b", "--join", peers[0].at, "--join-timeout", "0")
		if err != nil {
			return "", false, err
		}
		ready := b.ready(time.Minute) == nil
		if ready {
			joined = fmt.Sprintf("a newcomer ready after %.1f s", time.Since(began).Seconds())
		}
		time.Sleep(max(0, 20*time.Second-time.Since(began)))
		f := s.watch.of(peers[0])
		above := (f.peak - f.idle) / 1e6
		return fmt.Sprintf("%d MB above idle; %s", above, joined), above <= 100 && ready, nil
	},
}
