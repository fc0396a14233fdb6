package core_test

import (
	"bytes"
	"fmt"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
)

// right reports whether every table holds exactly the living, and if not what is wrong.
func (w *world) right() (why string) {
	living := w.Living()
	for _, p := range living {
		if !p.IsReady {
			return fmt.Sprintf("%s is not ready", p.ID)
		}
		if why := w.knows(p, living); why != "" {
			return why
		}
		// If an ID has more keys than a table holds, the peers may hold different ones.
		if w.hostile == nil && !bytes.Equal(p.Core.Digest(), living[0].Core.Digest()) {
			return fmt.Sprintf("the tables of %s and %s differ", p.ID, living[0].ID)
		}
	}
	return ""
}

// knows reports whether the peer's table and its events hold exactly the living.
func (w *world) knows(p *process, living []*process) (why string) {
	want := make(map[certs.PublicKey]*process)
	called := map[certs.ID]int{p.ID: 1} // how many have an ID
	for _, q := range living {
		if q != p {
			want[q.Key] = q
			called[q.ID]++
		}
	}
	peers := p.Core.Peers()
	for _, peer := range peers {
		q := want[peer.Key]
		switch {
		case q == nil:
			return fmt.Sprintf("%s thinks %s is here", p.ID, peer.ID)
		case peer.ID != q.ID && (peer.ID != certs.Alias(q.ID, q.Key) || called[q.ID] < 2 && w.hostile == nil):
			return fmt.Sprintf("%s calls %s %s", p.ID, q.ID, peer.ID)
		case peer.Suspect:
			return fmt.Sprintf("%s suspects %s", p.ID, peer.ID)
		case p.Core.EpochOf(q.ID, peer.Key) != q.Epoch:
			return fmt.Sprintf("%s knows another run of %s", p.ID, peer.ID)
		}
		if key, ok := p.KeyOf(peer.ID); !ok || key != peer.Key {
			return fmt.Sprintf("%s has %s in the table, not in the events", p.ID, peer.ID)
		}
	}
	if len(peers) != len(want) || p.Others() != len(want) {
		return fmt.Sprintf("%s knows %d and has shown %d of %d", p.ID, len(peers), p.Others(), len(want))
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

// checkQuiet lets time pass without anything happening: no event, few frames, and everything
// stays right.
func (w *world) checkQuiet() {
	w.t.Helper()
	const span = 20 * time.Second
	events := 0
	for _, p := range w.Living() {
		events -= len(w.diary(p).log)
	}
	before := w.Count.Frames
	w.Run(span)
	for _, p := range w.Living() {
		events += len(w.diary(p).log)
	}
	if _, ok := w.runUntil(time.Second, func() bool { return w.right() == "" }); !ok {
		w.fatal("was right and is not any more: %s", w.right()) // a suspect may refute
	}
	if events != 0 && w.hostile == nil {
		w.fatal("%d events while nothing happened", events)
	}
	// Per minute: pings over several links there and back, a comparison of tables and, with fewer
	// neighbours than wanted, requests.
	if most := int64(60 * len(w.Living())); w.Count.Frames-before > most && w.hostile == nil {
		w.fatal("%d frames in %v while nothing happened, not at most %d", w.Count.Frames-before, span, most)
	}
	if _, ok := w.runUntil(time.Second, func() bool { return w.linked() == "" }); !ok {
		w.fatal("%s", w.linked())
	}
}

// linked reports what is wrong with the links: neighbourhood is mutual, and no two peers keep two
// links.
func (w *world) linked() (why string) {
	for _, p := range w.Living() {
		seen := make(map[certs.PublicKey]bool)
		for _, e := range p.Ends {
			l := p.Core.View(e.ID)
			if !l.Up {
				continue
			}
			if seen[l.Key] {
				return fmt.Sprintf("%s has two links to %s", p.ID, l.Peer)
			}
			seen[l.Key] = true
			if e.Other.Process.Dead {
				continue
			}
			if m := e.Other.Process.Core.View(e.Other.ID); m.Up && m.Neighbour != l.Neighbour {
				return fmt.Sprintf("%s and %s do not agree on being neighbours", p.ID, l.Peer)
			}
		}
	}
	return ""
}

// checkEvents checks that everybody saw each run of everybody else begin once and end once, in
// the right way and in time. Runs that ended while the observer was about to join may be seen or
// not.
func (w *world) checkEvents() {
	w.t.Helper()
	for _, n := range w.Machines {
		for _, o := range n.Runs {
			if !o.IsReady || w.diary(o).jumpy || o.Crashed || o.Err != nil {
				continue
			}
			for _, subject := range w.Machines {
				if subject != n {
					w.checkSubject(o, subject)
				}
			}
		}
	}
}

func (w *world) checkSubject(p *process, subject *node) {
	w.t.Helper()
	until := w.Now
	if p.Leaving {
		until = p.Stopped
	}
	want := 0
	for _, r := range subject.Runs {
		if !r.IsReady || w.diary(r).jumpy || r.Stopped > 0 && r.Stopped+12*time.Second >= p.Started && r.Stopped < p.Ready+12*time.Second || r.Started+5*time.Second > until {
			return // not to be judged
		}
		if r.Stopped == 0 || r.Stopped > p.Ready {
			want++
		}
	}
	var ends []shown
	joined := 0
	for _, s := range w.diary(p).log {
		switch e := s.event.(type) {
		case base.Joined:
			if e.ID == subject.ID {
				joined++
			}
		case base.Left:
			if e.ID == subject.ID {
				ends = append(ends, s)
			}
		}
	}
	if joined != want {
		w.fatal("%s saw %s join %d times, not %d", p.ID, subject.ID, joined, want)
	}
	for _, r := range subject.Runs {
		if r.Stopped == 0 || r.Stopped < p.Ready || r.Stopped+12*time.Second > until {
			continue
		}
		if len(ends) == 0 {
			w.fatal("%s never saw %s go", p.ID, subject.ID)
		}
		took := ends[0].at - r.Stopped
		if farewell := ends[0].event.(base.Left).Farewell; took < 0 || took > 10*time.Second || farewell == r.Crashed {
			w.fatal("%s saw %s go %v after it did, farewell %v, crashed %v", p.ID, subject.ID, took, farewell, r.Crashed)
		}
		ends = ends[1:]
	}
}

// checkBroadcasts checks that all that were there all the time have got each broadcast; that
// nobody got one twice is checked as they come.
func (w *world) checkBroadcasts() {
	w.t.Helper()
	for _, b := range w.sent {
		for _, p := range b.must {
			gone := p.Stopped > 0 && p.Stopped < b.at+3*time.Second
			if w.diary(p).got[b.id] != 1 && !gone && !w.diary(p).jumpy && !w.diary(b.author).jumpy {
				w.fatal("%s did not get the broadcast of %s at %v", p.ID, b.author.ID, b.at)
			}
		}
	}
}

// connected reports whether the living without p are one piece: by the edges that stand (overlay
// false), or by the links between neighbours.
func (w *world) connected(without *process, overlay bool) bool {
	var list []*process
	for _, p := range w.Living() {
		if p != without {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return true
	}
	if overlay {
		return len(w.Piece(list[0], without)) == len(list)
	}
	seen := map[*process]bool{list[0]: true}
	ahead := list[:1:1]
	for i := 0; i < len(ahead); i++ {
		for _, q := range list {
			if !seen[q] && w.Reach(ahead[i].Machine, q.Machine) {
				seen[q] = true
				ahead = append(ahead, q)
			}
		}
	}
	return len(seen) == len(list)
}
