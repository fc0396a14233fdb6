package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quicpeer/pb"
)

// claim: a member says that other keys hold everyone's IDs since epoch 1.
var claim = &attack{
	name: "claim", about: "F1 one frame, six honest peers", bar: "0 stop, 0 messages change hands", short: true,
	hosts: []string{"a", "b", "c", "d", "e", "f"},
	play: func(p *player) error {
		l := newLiar("mallory")
		if err := p.open(l); err != nil {
			return err
		}
		to, err := p.target(0)
		if err != nil {
			return err
		}
		link, err := l.join(p.ctx, to, nil)
		if err != nil {
			return err
		}
		var list []*pb.Announcement
		for _, id := range strings.Split(p.words[1], ",") {
			claimant := newLiar(id)
			claimant.epoch = 1
			list = append(list, claimant.announcement(1, l.address()))
		}
		if err := announce(p.ctx, link, list); err != nil {
			return err
		}
		p.say("done", nil)
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(6)
		if err != nil {
			return "", false, err
		}
		s.begin()
		var ids []string // of the door last: it is to pass on what it hears of the others
		for _, p := range slices.Backward(peers) {
			ids = append(ids, p.id)
		}
		if _, err := s.play("done", patience, peers[0].at, strings.Join(ids, ",")); err != nil {
			return "", false, err
		}
		time.Sleep(3 * time.Second)
		arrived := 0
		for i, p := range peers {
			to := peers[(i+1)%len(peers)]
			ref, err := p.send(to)
			if err == nil {
				err = p.delivered(to, ref, 5*time.Second)
			}
			if err == nil {
				arrived++
			}
		}
		stopped := s.figures().stopped
		return fmt.Sprintf("%d stop, %d of %d messages arrive", stopped, arrived, len(peers)), stopped == 0 && arrived == len(peers), nil
	},
}
