package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"quicpeer/pb"
	"quicpeer/scripts/netlab"
)

// The reflector's inventions, and how long it is watched.
const (
	reflectors      = 40
	victimAddresses = 16 // of each invention, all in one /16
	reflectorTime   = 60 * time.Second
)

// reflector: a member invents peers whose records name a victim's addresses, and answers for them when
// somebody asks whether they live.
var reflector = &attack{
	name: "reflector", about: "F10 bytes at the victim to the member's", bar: "at most 3",
	hosts: []string{"a", "b", "c", "d", "e", "victim"},
	play:  playReflector,
	run: func(s *stage) (string, bool, error) {
		victim, err := s.net.Host("victim")
		if err != nil {
			return "", false, err
		}
		for _, h := range s.net.Hosts {
			route := fmt.Sprintf("route add 198.51.0.0/16 via %s", victim.Address)
			if h == victim {
				route = "route add local 198.51.0.0/16 dev lo"
			}
			if err := h.IP(route); err != nil {
				return "", false, err
			}
		}
		peers, err := s.honest(5)
		if err != nil {
			return "", false, err
		}
		s.begin()
		liar, err := s.net.Host("x")
		if err != nil {
			return "", false, err
		}
		before, _, err := traffic(victim)
		if err != nil {
			return "", false, err
		}
		_, saidBefore, err := traffic(liar)
		if err != nil {
			return "", false, err
		}
		if _, err := s.play("done", patience, addresses(peers)...); err != nil {
			return "", false, err
		}
		time.Sleep(reflectorTime)
		after, _, err := traffic(victim)
		if err != nil {
			return "", false, err
		}
		_, said, err := traffic(liar)
		if err != nil {
			return "", false, err
		}
		got, sent := after-before, said-saidBefore
		ratio := float64(got) / float64(sent)
		return fmt.Sprintf("%.1f: %d kB of %d kB", ratio, got/1000, sent/1000), ratio <= 3, nil
	},
}

// playReflector says its inventions to all honest peers, and answers pings in their name.
func playReflector(p *player) error {
	l := newLiar("mallory")
	if err := p.open(l); err != nil {
		return err
	}
	var ids []string
	var list []*pb.Announcement
	for i := range reflectors {
		invented := newLiar(fmt.Sprint("invented", i))
		var addresses []string
		for range victimAddresses {
			addresses = append(addresses, fmt.Sprintf("198.51.%d.%d:%d", rand.IntN(256), rand.IntN(256), 1024+rand.IntN(60000)))
		}
		ids, list = append(ids, string(invented.id)), append(list, invented.announcement(1, addresses...))
	}
	for i := range p.words {
		to, err := p.target(i)
		if err != nil {
			return err
		}
		said := make(chan *pb.PeerMessage, 1024)
		link, err := l.join(p.ctx, to, func(m *pb.PeerMessage) {
			select {
			case said <- m:
			default:
			}
		})
		if err != nil {
			return err
		}
		go func() { // until the process ends
			for m := range said {
				if answer := pong(m); answer != nil && slices.Contains(ids, answer.GetFrom()) {
					_ = send(link, answer)
				}
			}
		}()
		if err := announce(p.ctx, link, list); err != nil {
			return err
		}
	}
	p.say("done", nil)
	return nil
}

// traffic returns the bytes that a host's interface has received and sent.
func traffic(h *netlab.Host) (received, sent int64, err error) {
	text, err := h.Run("", "cat", "/proc/self/net/dev")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		if name, figures, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == "eth0" {
			if f := strings.Fields(figures); len(f) > 8 {
				received, err = strconv.ParseInt(f[0], 10, 64)
				if err != nil {
					return 0, 0, err
				}
				sent, err = strconv.ParseInt(f[8], 10, 64)
				return received, sent, err
			}
		}
	}
	return 0, 0, errors.New("the host has no eth0")
}
