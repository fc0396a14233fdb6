package overlay

import (
	"strings"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
)

// Figures is what a node holds, and has counted since its start. docs/metrics.md says what each figure
// is for.
type Figures struct {
	messaging.Stats
	Software    string // see Config
	Peers       map[PeerState]int
	Neighbours  int
	Links       map[How]int       // connections in use; HowRelayed: those that go over others
	RTT         Histogram         // of each connection, each 10 s
	Letters     int               // kept for peers that are away
	LetterBytes int               // their size
	Carried     uint64            // bytes passed on for others
	Refused     map[string]uint64 // connections and newcomers that were turned away, by the reason
	Lost        uint64            // peers shown as lost
	FalseLost   uint64            // peers that were called lost, or shown as lost, and were here all the while
	Punches     map[string]uint64 // simultaneous opens through NATs, by what came of them
	Joins       map[string]uint64 // dials of addresses to join, by the same
}

// Histogram counts durations: those up to each of the Bounds and above the one before.
type Histogram = messaging.Histogram

// Bounds are the upper bounds of a Histogram.
var Bounds = messaging.Bounds

// watched is what a node says of itself to whoever watches it.
type watched struct{ node *Node }

// Figures returns what the node holds, and has counted. After the end only the counts of messages are
// left.
func (w watched) Figures() Figures {
	s, _ := ask(&w.node.mailbox, figuresQuestion{})
	s.Stats = messaging.StatsOf(w.node.messages)
	s.Software = w.node.cfg.Software
	return s
}

// figuresQuestion asks for what the loop knows.
type figuresQuestion struct{}

func (figuresQuestion) answer(l *loop) Figures {
	c, wire := l.core.Stats(), l.node.endpoint.Counts()
	s := Figures{
		Peers:      map[PeerState]int{StateAlive: 0, StateSuspect: 0},
		Neighbours: len(l.core.Neighbours()),
		Links:      map[How]int{HowLAN: 0, HowDialled: 0, HowPunched: 0, HowRelayed: 0},
		RTT:        l.rtt.seen,
		Letters:    c.Letters, LetterBytes: c.LetterBytes,
		Carried: wire.Carried,
		Refused: map[string]uint64{"busy": wire.Refused, "protocol": c.Violations},
		Lost:    c.Lost, FalseLost: c.FalseLost,
		Punches: map[string]uint64{"made": c.Punches.Done, "failed": c.Punches.Failed},
		Joins:   map[string]uint64{"joined": c.Joins.Done, "refused": c.Joins.Refused, "failed": c.Joins.Failed},
	}
	for code, n := range c.Refused {
		s.Refused[strings.ToLower(code.String())] = n
	}
	for _, p := range l.core.Peers() {
		if p.Suspect {
			s.Peers[StateSuspect]++
		} else {
			s.Peers[StateAlive]++
		}
	}
	for _, w := range l.core.Net().Peers {
		if how := howOf(w); w.Link != 0 || w.Carried != 0 {
			s.Links[how]++
		}
	}
	return s
}

// rttEvery is how often the round trip of each link is counted, so that a scrape each 15 s sees all
// (a guess).
const rttEvery = 10 * time.Second

// rtts counts the round trips of all links.
type rtts struct {
	seen Histogram
	next time.Duration
}

func (r *rtts) look(now time.Duration, links map[base.LinkID]*nodeLink) {
	if now < r.next {
		return
	}
	r.next = now + rttEvery
	for _, nl := range links {
		if rtt := nl.Stats().RTT; nl.peer != "" && rtt > 0 {
			r.seen.Observe(rtt)
		}
	}
}
