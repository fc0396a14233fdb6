package main

import (
	"maps"
	"slices"
	"time"
)

// calm is how long before and after a broadcast nothing may be the matter for it to
// have to arrive: 10 s in all.
const calm = 5 * time.Second

// broadcast judges a message to everyone.
func (j *judge) broadcast(m *message) {
	for peer, showings := range m.showings {
		j.again(m, peer, showings)
	}
	if m.accepted == nil {
		return
	}
	j.broadcasts++
	at := m.accepted.at
	well := j.quiet("", at) && j.wellAt(m.from, at)
	for _, peer := range slices.Sorted(maps.Keys(j.runs)) {
		switch {
		case peer == m.from:
		case len(m.showings[peer]) > 0:
			j.broadcastsShown++
		case well && j.wellAt(peer, at) && j.present(m.from, peer, at) && j.present(peer, m.from, at):
			j.fault(missed, m, nil, "accepted at %s, never shown by %s", clock(at), peer)
		default:
			j.excused++
		}
	}
}

// wellAt reports whether a peer was up and nothing was the matter with it around a
// time.
func (j *judge) wellAt(peer string, at time.Time) bool {
	return j.quiet(peer, at) && slices.ContainsFunc(j.runs[peer], func(r *run) bool { return r.upAround(at) })
}

// quiet reports whether there was no trouble of a peer, or for "" of the network.
func (j *judge) quiet(peer string, at time.Time) bool {
	return !slices.ContainsFunc(j.troubles[peer], func(s *span) bool { return s.touches(at.Add(-calm), at.Add(calm)) })
}

func (r *run) upAround(at time.Time) bool {
	return !r.ready.IsZero() && r.ready.Before(at.Add(-calm)) && (r.ended.IsZero() || r.ended.After(at.Add(calm)))
}

// present reports whether a peer has shown another as here all around a time.
func (j *judge) present(other, peer string, at time.Time) bool {
	here := false
	for _, r := range j.runs[peer] {
		if !r.upAround(at) {
			continue
		}
		for _, f := range r.facts {
			if f.ID != other || f.Event != "peer_joined" && f.Event != "peer_left" {
				continue
			}
			switch {
			case f.at.Before(at.Add(-calm)):
				here = f.Event == "peer_joined"
			case f.at.Before(at.Add(calm)):
				return false
			}
		}
	}
	return here
}
