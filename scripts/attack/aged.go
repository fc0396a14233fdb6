package main

import (
	"cmp"
	"fmt"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
	"quicpeer/transport"
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
		var links []*transport.Link
		for i := range p.words[1:] {
			to, err := p.target(i + 1)
			if err != nil {
				return err
			}
			link, err := l.befriend(p, to, said.hear)
			if err == nil {
				err = send(link, everything())
			}
			if err != nil {
				return err
			}
			links = append(links, link)
		}
		time.Sleep(time.Second)
		p.say("told", map[string]any{"of": len(said.joins())})
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
		<-p.ctx.Done()
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
		words := []string{alone.id, alone.at}
		for _, p := range peers {
			words = append(words, p.at)
		}
		x, err := s.player("", words...)
		if err != nil {
			return "", false, err
		}
		for _, p := range peers {
			if err := cmp.Or(p.sees(alone.id, patience), alone.sees(p.id, patience)); err != nil {
				return "", false, err
			}
		}
		if _, err := s.said(x, "done", 4*patience); err != nil {
			return "", false, err
		}
		lost := s.figures().lost
		return fmt.Sprintf("a peer whose records are a day old, shown as lost %d times", lost), lost == 0, nil
	},
}
