package core

import (
	"bytes"
	"fmt"
	"time"

	"quicpeer/certs"
)

// right says whether every table holds exactly the living, and if not what is wrong.
func (w *world) right() (why string) {
	living := w.living()
	for _, p := range living {
		if !p.isReady {
			return fmt.Sprintf("%s is not ready", p.node.id)
		}
		if why := p.knows(living); why != "" {
			return why
		}
		// Of more keys for an ID than a table holds the peers may hold different ones.
		if !w.anyHostile() && !bytes.Equal(p.core.table.digest(), living[0].core.table.digest()) {
			return fmt.Sprintf("the tables of %s and %s differ", p.node.id, living[0].node.id)
		}
	}
	return ""
}

// knows says whether the peer's table and its events hold exactly the living.
func (p *process) knows(living []*process) (why string) {
	want := make(map[certs.ID]*process)
	for _, q := range living {
		if q != p {
			want[q.node.id] = q
		}
	}
	peers := p.core.Peers()
	for _, peer := range peers {
		q := want[peer.ID]
		switch {
		case q == nil:
			return fmt.Sprintf("%s thinks %s is here", p.node.id, peer.ID)
		case peer.Key != q.node.identity.Key():
			return fmt.Sprintf("%s has another key for %s", p.node.id, peer.ID)
		case peer.Suspect:
			return fmt.Sprintf("%s suspects %s", p.node.id, peer.ID)
		case p.core.table.get(peer.ID, peer.Key).record.Epoch != q.epoch:
			return fmt.Sprintf("%s knows another run of %s", p.node.id, peer.ID)
		case p.there[peer.ID] != peer.Key:
			return fmt.Sprintf("%s has %s in the table, not in the events", p.node.id, peer.ID)
		}
	}
	if len(peers) != len(want) || len(p.there) != len(want) {
		return fmt.Sprintf("%s knows %d and has shown %d of %d", p.node.id, len(peers), len(p.there), len(want))
	}
	return ""
}

// settle waits until everything is right, and returns how long that took.
func (w *world) settle(limit time.Duration) time.Duration {
	w.t.Helper()
	took, ok := w.runUntil(limit, func() bool { return w.right() == "" })
	if !ok {
		w.fatal("not right after %v: %s", limit, w.right())
	}
	return took
}

// checkQuiet lets time pass in which nothing happens: no event, few frames, and
// everything stays right.
func (w *world) checkQuiet() {
	w.t.Helper()
	const span = 20 * time.Second
	events := 0
	for _, p := range w.living() {
		events -= len(p.log)
	}
	before := w.frames
	w.run(span)
	for _, p := range w.living() {
		events += len(p.log)
	}
	if _, ok := w.runUntil(time.Second, func() bool { return w.right() == "" }); !ok {
		w.fatal("was right and is not any more: %s", w.right()) // a suspect may refute
	}
	if events != 0 && !w.anyHostile() {
		w.fatal("%d events while nothing happened", events)
	}
	// A ping each 10 s, over several links there and back, a comparison of tables a
	// minute, and where there are fewer neighbours than wanted requests.
	if most := 60 * len(w.living()); w.frames-before > most && !w.anyHostile() {
		w.fatal("%d frames in %v while nothing happened, not at most %d", w.frames-before, span, most)
	}
	if _, ok := w.runUntil(time.Second, func() bool { return w.linked() == "" }); !ok {
		w.fatal("%s", w.linked())
	}
}

// linked says what is wrong with the links: neighbourhood is mutual and nobody
// is linked twice.
func (w *world) linked() (why string) {
	for _, p := range w.living() {
		seen := make(map[certs.PublicKey]bool)
		for _, e := range p.ends {
			l := p.core.links.link(e.id)
			if l == nil || l.state != linkUp {
				continue
			}
			if seen[l.key] {
				return fmt.Sprintf("%s has two links to %s", p.node.id, l.peer)
			}
			seen[l.key] = true
			m := e.other.process.core.links.link(e.other.id)
			if !e.other.process.dead && m != nil && m.state == linkUp && m.neighbour != l.neighbour {
				return fmt.Sprintf("%s and %s do not agree on being neighbours", p.node.id, l.peer)
			}
		}
	}
	return ""
}

// checkEvents looks whether everybody saw each run of everybody else begin once
// and end once, in the right way and in time. Runs that ended while the observer
// was about to join may be seen or not.
func (w *world) checkEvents() {
	w.t.Helper()
	for _, n := range w.nodes {
		for _, o := range n.runs {
			if !o.isReady || o.jumpy || o.crashed || o.err != nil {
				continue
			}
			for _, subject := range w.nodes {
				if subject != n {
					o.checkSubject(subject)
				}
			}
		}
	}
}

func (p *process) checkSubject(subject *node) {
	w := p.node.world
	w.t.Helper()
	until := w.now
	if p.leaving {
		until = p.stopped
	}
	want := 0
	for _, r := range subject.runs {
		if !r.isReady || r.jumpy || r.stopped > 0 && r.stopped+12*time.Second >= p.started && r.stopped < p.ready+12*time.Second || r.started+5*time.Second > until {
			return // not to be judged
		}
		if r.stopped == 0 || r.stopped > p.ready {
			want++
		}
	}
	var ends []seen
	joined := 0
	for _, s := range p.log {
		switch e := s.event.(type) {
		case Joined:
			if e.ID == subject.id {
				joined++
			}
		case Left:
			if e.ID == subject.id {
				ends = append(ends, s)
			}
		}
	}
	if joined != want {
		w.fatal("%s saw %s join %d times, not %d", p.node.id, subject.id, joined, want)
	}
	for _, r := range subject.runs {
		if r.stopped == 0 || r.stopped < p.ready || r.stopped+12*time.Second > until {
			continue
		}
		if len(ends) == 0 {
			w.fatal("%s never saw %s go", p.node.id, subject.id)
		}
		took := ends[0].at - r.stopped
		if farewell := ends[0].event.(Left).Farewell; took < 0 || took > 10*time.Second || farewell == r.crashed {
			w.fatal("%s saw %s go %v after it did, farewell %v, crashed %v", p.node.id, subject.id, took, farewell, r.crashed)
		}
		ends = ends[1:]
	}
}

// checkBroadcasts looks whether all who were there all the time have got each
// broadcast; that nobody got one twice is checked as they come.
func (w *world) checkBroadcasts() {
	w.t.Helper()
	for _, b := range w.sent {
		for _, p := range b.must {
			gone := p.stopped > 0 && p.stopped < b.at+3*time.Second
			if p.got[b.id] != 1 && !gone && !p.jumpy && !b.author.jumpy {
				w.fatal("%s did not get the broadcast of %s at %v", p.node.id, b.author.node.id, b.at)
			}
		}
	}
}

// connected says whether the living without p are one piece: by the edges that
// stand (overlay false), or by the links between neighbours.
func (w *world) connected(without *process, overlay bool) bool {
	var list []*process
	for _, p := range w.living() {
		if p != without {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return true
	}
	seen := map[*process]bool{list[0]: true}
	ahead := list[:1:1]
	for len(ahead) > 0 {
		p := ahead[0]
		ahead = ahead[1:]
		visit := func(q *process) {
			if q != without && !q.dead && !q.leaving && !seen[q] && w.reach(p.node.index, q.node.index) {
				seen[q] = true
				ahead = append(ahead, q)
			}
		}
		if !overlay {
			for _, q := range list {
				visit(q)
			}
			continue
		}
		for _, e := range p.ends {
			if l := p.core.links.link(e.id); l != nil && l.neighbour {
				visit(e.other.process)
			}
		}
	}
	return len(seen) == len(list)
}
