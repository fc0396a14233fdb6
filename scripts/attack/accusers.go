package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"quicpeer/pb"
)

// accomplices is how many peers the accuser invents.
const accomplices = 400

// accusers: a member invents 400 peers, and calls a living one lost in the names of any two of them, over
// links to all others, for half a minute. Three of the others reach the victim over peers alone, and its
// answers take half a second more, if we are root.
var accusers = &attack{
	name: "accusers", about: "F7 400 accomplices", bar: "shown as lost 0 times",
	hosts: []string{"a", "b", "c", "d", "e", "f"},
	play: func(p *player) error {
		l := newLiar("mallory")
		if err := p.open(l); err != nil {
			return err
		}
		said := newTold()
		victim := p.words[0]
		links, err := l.befriendAll(p, said.hear)
		if err != nil {
			return err
		}
		var names []string
		var list []*pb.Announcement
		for i := range accomplices {
			a := newLiar(fmt.Sprint("accomplice", i))
			names = append(names, string(a.id))
			list = append(list, a.announcement(1, l.address()))
		}
		for _, link := range links {
			if err := announce(p.ctx, link, list); err != nil {
				return err
			}
		}
		if err := send(links[0], everything()); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		p.say("begins", nil)
		count := 0
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && p.ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			record := said.record(victim)
			if record == nil {
				continue
			}
			a := rand.IntN(accomplices)
			lost := &pb.Announcement{Type: pb.AnnouncementType_LOST, Record: record, Hops: 1, Accusers: []string{names[a], names[(a+1)%accomplices]}}
			for _, link := range links {
				if err := announce(p.ctx, link, []*pb.Announcement{lost}); err != nil {
					return err
				}
			}
			count++
		}
		p.say("done", map[string]any{"accusations": count})
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		far, err := s.net.Host("b")
		if err != nil {
			return "", false, err
		}
		away := "a victim 500 ms away"
		if err := s.net.Far(far, 500*time.Millisecond); err != nil {
			away = fmt.Sprintf("a near victim (%v)", err)
		}
		// c, d and f reach the victim over the others alone.
		err = s.net.Cut(func(x, y string) bool {
			return x == "b" && strings.Contains("cdf", y) || y == "b" && strings.Contains("cdf", x)
		})
		if err != nil {
			return "", false, err
		}
		peers, err := s.honest(6)
		if err != nil {
			return "", false, err
		}
		words := []string{"b"}
		for _, p := range peers {
			if p.id != "b" {
				words = append(words, p.at)
			}
		}
		time.Sleep(10 * time.Second) // its record says how far away it is
		s.begin()
		done, err := s.play("done", 2*patience, words...)
		if err != nil {
			return "", false, err
		}
		time.Sleep(5 * time.Second)
		lost := s.figures().lost
		return fmt.Sprintf("%s accusations of %s, shown as lost %d times", done.Field("accusations"), away, lost), lost == 0, nil
	},
}

// everything asks for a whole table.
func everything() *pb.Reconcile {
	return &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_HELD}}}
}
