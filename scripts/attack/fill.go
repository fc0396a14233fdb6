package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"quicpeer/pb"
	"quicpeer/scripts/internal/harness"
)

// How much of it: so many peers are invented, and announced over links of new keys, so many over each;
// then parts of them over more new links.
const (
	inventions   = 100_000
	overEachLink = 8192
	moreLinks    = 120
	overEachMore = 1000
	forgotten    = 10 * time.Minute // the bar
)

// fill: a member invents 100,000 peers, and announces them over one new link after the other.
var fill = &attack{
	name: "fill", about: "F3 100,000 invented", bar: "2 of 2 newcomers join, ≤ 60 MB above idle, ≤ 10 s of processor, gone within 10 minutes",
	hosts: []string{"a", "b", "c", "d", "e", "f", "g", "h"},
	play: func(p *player) error {
		list := invent("ghost", inventions)
		p.say("invented", nil)
		began := time.Now()
		parts := slices.Collect(slices.Chunk(list, overEachLink))
		for i := range moreLinks {
			at := i * overEachMore % (len(list) - overEachMore)
			parts = append(parts, list[at:at+overEachMore])
		}
		refused := 0
		for i, part := range parts {
			if err := p.introduce(fmt.Sprint("mallory", i), i, part); err != nil {
				refused++
			}
			if i == len(parts)-moreLinks-1 {
				p.say("first", map[string]any{"seconds": time.Since(began).Seconds()})
			}
		}
		p.say("done", map[string]any{"seconds": time.Since(began).Seconds(), "refused": refused})
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(6)
		if err != nil {
			return "", false, err
		}
		if _, err := s.play("invented", 2*time.Minute, addresses(peers)...); err != nil {
			return "", false, err
		}
		s.begin()
		began := time.Now()
		joined := 0
		join := func(host string, door *peer) error {
			p, err := s.start(host, host, "--join", door.at)
			if err != nil {
				return err
			}
			if s.knowsAll(p, peers) == nil {
				joined++
			}
			return nil
		}
		if _, err := s.said("first", 2*time.Minute); err != nil {
			return "", false, err
		}
		if err := join("g", peers[1]); err != nil {
			return "", false, err
		}
		if _, err := s.said("done", 5*time.Minute); err != nil {
			return "", false, err
		}
		if err := join("h", peers[0]); err != nil {
			return "", false, err
		}
		most, gone := s.inventedGone(began)
		f := s.figures()
		held := joined == 2 && gone <= forgotten && f.peak-f.idle <= 60e6 && f.cpu <= 10*time.Second
		return fmt.Sprintf("%d of 2 join, at most %d shown, %s", joined, most, goneText(gone)), held && f.stopped == 0, nil
	},
}

func goneText(gone time.Duration) string {
	if gone > forgotten {
		return "not gone after 10 minutes"
	}
	return fmt.Sprintf("gone after %.0f s", gone.Seconds())
}

// invent makes up so many peers, whose IDs begin so.
func invent(prefix string, n int) []*pb.Announcement {
	list := make([]*pb.Announcement, n)
	var group sync.WaitGroup
	const workers = 2
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				list[i] = newLiar(fmt.Sprint(prefix, i)).announcement(1)
			}
		})
	}
	group.Wait()
	return list
}

// introduce announces peers over a link of a new key to one of the targets, and ends it.
func (p *player) introduce(id string, turn int, list []*pb.Announcement) error {
	l := newLiar(id)
	if err := p.open(l); err != nil {
		return err
	}
	defer l.endpoint.Close()
	to, err := p.target(turn % len(p.words))
	if err != nil {
		return err
	}
	link, err := l.join(p.ctx, to, nil)
	if err != nil {
		return err
	}
	if err := announce(p.ctx, link, list); err != nil {
		return err
	}
	select {
	case <-link.Drained(0):
	case <-link.Done():
	case <-time.After(patience):
		return errors.New("it reads nothing any more")
	}
	return nil
}

// knowsAll waits until a newcomer is in the network and sees all these peers, and they see it.
func (s *stage) knowsAll(p *peer, peers []*peer) error {
	if err := p.ready(patience); err != nil {
		return err
	}
	for _, q := range peers {
		if err := p.sees(q.id, 10*time.Second); err != nil {
			return err
		}
		if err := q.sees(p.id, 10*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// inventedGone waits until no honest peer shows an invented one, and returns how many one showed at most at
// the end of a wait, and how long after began the last had gone.
func (s *stage) inventedGone(began time.Time) (most int, gone time.Duration) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for ; ; <-ticker.C {
		shown := 0
		for _, p := range s.peers {
			here := p.count(isOf("peer_joined", "ghost")) - p.count(isOf("peer_left", "ghost"))
			shown = max(shown, here)
		}
		most = max(most, shown)
		if gone = time.Since(began); shown == 0 || gone > forgotten {
			return most, gone
		}
	}
}

// isOf chooses the events of a kind about peers whose IDs begin so.
func isOf(event, prefix string) func(*harness.Event) bool {
	return func(e *harness.Event) bool { return e.Name == event && strings.HasPrefix(e.Field("id"), prefix) }
}
