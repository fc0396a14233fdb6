package main

import (
	"cmp"
	"fmt"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// aged: a member is the first to tell the others of a peer, and says that nobody has heard of that for so
// long that its lease is over in a moment. It goes on to say so of whatever that peer says of itself.
var aged = &attack{
	name: "aged", about: "F7 aged records", bar: "shown as lost 0 times",
	hosts: []string{"a", "b", "c", "d", "e"},
	play: func(p *player) error {
		l := newLiar("mallory")
		if err := p.open(l); err != nil {
			return err
		}
		said := newTold() // by all
		links, err := l.befriendAll(p, said.hear)
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := send(link, everything()); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
		for end := time.Now().Add(90 * time.Second); time.Now().Before(end) && p.ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			record := said.record(p.words[0])
			if record == nil {
				continue
			}
			old := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: record, Hops: 1, Age: base.ToAge(table.Lease - 300*time.Millisecond)}
			for i, link := range links {
				list := []*pb.Announcement{old}
				if i == 0 { // the peer itself, which is to know the others and to have links to them
					list = said.joins()
				}
				if err := announce(p.ctx, link, list); err != nil {
					return err
				}
			}
		}
		p.say("done", nil)
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(4)
		if err != nil {
			return "", false, err
		}
		alone, err := s.start("e", "e")
		if err != nil {
			return "", false, err
		}
		if err := alone.ready(patience); err != nil {
			return "", false, err
		}
		s.begin()
		if err := s.player(append([]string{alone.id, alone.at}, addresses(peers)...)...); err != nil {
			return "", false, err
		}
		for _, p := range peers {
			if err := cmp.Or(p.sees(alone.id, patience), alone.sees(p.id, patience)); err != nil {
				return "", false, err
			}
		}
		if _, err := s.said("done", 4*patience); err != nil {
			return "", false, err
		}
		lost := s.figures().lost
		return fmt.Sprintf("a peer whose records are a day old, shown as lost %d times", lost), lost == 0, nil
	},
}
