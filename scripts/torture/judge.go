package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The kinds of faults.
const (
	lost       = "lost: accepted, neither shown nor failed"
	doubled    = "doubled: shown twice by one peer"
	outlived   = "doubled: a broadcast shown once more by a later run"
	twoIDs     = "shown under two IDs"
	unsent     = "shown, but nobody has sent it"
	reordered  = "reordered: shown after a later one"
	misplaced  = "shown at a wrong peer"
	altered    = "altered"
	unshown    = "delivered, but never shown"
	contrary   = "delivered and failed as well"
	pathless   = "shown or delivered without a path"
	garbled    = "a line that is not an event"
	missed     = "missed: a broadcast to a peer that nothing was the matter with"
	unfinished = "left without its last line"
)

// kinds are in the order of the report.
var kinds = []string{
	lost, doubled, outlived, twoIDs, unsent, reordered, misplaced, altered, unshown, contrary, pathless, garbled, missed, unfinished,
}

// fault is something that must not happen.
type fault struct {
	kind    string
	text    string
	message *message // nil: not about one
	at      *fact    // the showing or receipt that is wrong; nil: not about one
}

// verdict is what the judge says.
type verdict struct {
	accepted, shown, delivered, failed, unknown, refused int

	unknownShown int            // unknown ones that have been shown
	shownFailed  int            // shown, and called failed as well
	open         int            // accepted, neither delivered nor failed
	repeated     int            // by the run after a kill
	failures     map[string]int // how many failed, by reason
	refusals     map[string]int
	paths        map[string]int // how many were shown, by path
	lastShown    time.Time
	lastEnd      time.Time // the last delivered or failed

	broadcasts, broadcastsShown int
	away                        int // not shown, by a peer that did not run when they were accepted
	excused                     int // not shown where something else was the matter
	faults                      []fault
}

func (v *verdict) of(kind string) []fault {
	return slices.DeleteFunc(slices.Clone(v.faults), func(f fault) bool { return f.kind != kind })
}

func (v *verdict) fault(kind string, m *message, at *fact, format string, args ...any) {
	v.faults = append(v.faults, fault{kind, fmt.Sprintf(format, args...), m, at})
}

// message is a command with what became of it.
type message struct {
	*command
	number            int    // among all commands
	id                string // by sent; for an unknown one, by the first showing
	accepted          *fact  // nil: not answered by sent
	refused           *fact
	delivered, failed *fact
	showings          map[string][]*fact // by peer
}

// judge works on the messages of a history.
type judge struct {
	*history
	*verdict
	messages []*message
	byRef    map[string]*message
	byID     map[string]*message
	unknown  map[stamp][]*message // not answered by sent, and not yet shown
	bodies   map[stamp]bool
}

// judge says what is right and wrong by now. A fault of order or a doubled one will
// stay; messages that are lost by now may yet come.
func (h *history) judge() *verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := &judge{
		history: h,
		verdict: &verdict{failures: map[string]int{}, refusals: map[string]int{}, paths: map[string]int{}},
		byRef:   map[string]*message{}, byID: map[string]*message{},
		unknown: map[stamp][]*message{}, bodies: map[stamp]bool{},
	}
	for i, c := range h.commands {
		m := &message{command: c, number: i, showings: map[string][]*fact{}}
		j.messages = append(j.messages, m)
		j.byRef[c.ref] = m
		j.bodies[c.stamp] = true
	}
	peers := slices.Sorted(maps.Keys(h.runs))
	for _, peer := range peers {
		j.answers(peer)
	}
	for _, m := range j.messages {
		if m.accepted == nil && m.refused == nil {
			j.unknown[m.stamp] = append(j.unknown[m.stamp], m)
		}
	}
	for _, peer := range peers {
		j.shows(peer)
	}
	for _, m := range j.messages {
		if m.to == everyone {
			j.broadcast(m)
		} else {
			j.direct(m)
		}
	}
	return j.verdict
}

// answers takes a sender's answers to its commands.
func (j *judge) answers(peer string) {
	for _, r := range j.runs[peer] {
		for _, f := range r.facts {
			if f.Event == "garbage" {
				j.fault(garbled, nil, f, "%s run %d: %s", peer, r.number, f.Error)
			}
			m := j.byRef[f.Ref]
			if m == nil || m.from != peer {
				continue
			}
			switch f.Event {
			case "sent":
				if m.accepted != nil && m.id != f.Message {
					j.fault(twoIDs, m, f, "sent as %s and as %s", m.id, f.Message)
					continue
				}
				m.accepted, m.id = f, f.Message
				j.byID[f.Message] = m
			case "error":
				m.refused = f
			case "delivered":
				m.delivered = f
			case "failed":
				m.failed = f
			}
		}
		// One that is stopped while it joins has nothing to say.
		if n := len(r.facts); !r.ended.IsZero() && !r.killed && n > 0 && !r.ready.IsZero() && r.facts[n-1].Event != "left" {
			j.fault(unfinished, nil, nil, "%s run %d ends with %q", peer, r.number, r.facts[n-1].Event)
		}
	}
}

// shows takes what a peer has shown, run after run, and looks at the order: by
// sender, direct messages and broadcasts apart.
func (j *judge) shows(peer string) {
	latest := map[stamp]*message{} // by sender and receiver
	for _, r := range j.runs[peer] {
		for _, f := range r.facts {
			if f.Event != "message" {
				continue
			}
			m := j.identify(peer, f)
			if m == nil {
				continue
			}
			m.showings[peer] = append(m.showings[peer], f)
			if len(m.showings[peer]) > 1 {
				continue // a repeat says nothing about order
			}
			way := stamp{from: m.from, to: m.to}
			if f.Before { // the past has an order of its own, and is told once by each run
				way.seq = r.number
			}
			if before := latest[way]; before != nil && before.number > m.number {
				j.fault(reordered, m, f, "shown by %s at %s, after %s (#%d)", peer, clock(f.at), before.id, before.seq)
				continue
			}
			latest[way] = m
		}
	}
}

// isLast says that the run has shown no other message after it.
func (f *fact) isLast() bool {
	for _, later := range slices.Backward(f.run.facts) {
		if later.Event == "message" {
			return later == f
		}
	}
	return false
}

// identify finds the message of a showing. Without one there is a fault.
func (j *judge) identify(peer string, f *fact) *message {
	if !f.whole {
		j.fault(altered, j.byID[f.Message], f, "%s, shown by %s at %s, has a wrong checksum", f.Message, peer, clock(f.at))
		return nil
	}
	m := j.byID[f.Message]
	if m == nil {
		if m = j.adopt(f); m == nil {
			return nil
		}
	}
	switch {
	case m.stamp != f.stamp || f.event.From != m.from || f.event.To != m.to:
		j.fault(altered, m, f, "shown by %s as one from %s to %s with the body of %v", peer, f.event.From, f.event.To, f.stamp)
		return nil
	case m.to != peer && m.to != everyone || m.to == everyone && m.from == peer:
		j.fault(misplaced, m, f, "shown by %s at %s", peer, clock(f.at))
		return nil
	}
	if f.Path != "direct" && f.Path != "relayed" {
		j.fault(pathless, m, f, "shown by %s with the path %q", peer, f.Path)
	}
	return m
}

// adopt finds an unknown message by the body of a showing, which tells its ID.
func (j *judge) adopt(f *fact) *message {
	waiting := j.unknown[f.stamp]
	if len(waiting) == 0 {
		kind := unsent
		if j.bodies[f.stamp] {
			kind = twoIDs
		}
		j.fault(kind, nil, f, "%v shown as %s at %s", f.stamp, f.Message, clock(f.at))
		return nil
	}
	m := waiting[0]
	j.unknown[f.stamp] = waiting[1:]
	m.id = f.Message
	j.byID[m.id] = m
	return m
}

// direct judges a direct message.
func (j *judge) direct(m *message) {
	showings := m.showings[m.to]
	j.again(m, m.to, showings)
	switch {
	case m.refused != nil:
		j.refused++
		j.refusals[m.refused.Error]++
	case m.accepted == nil:
		j.verdict.unknown++
		if len(showings) > 0 {
			j.unknownShown++
		}
	default:
		j.accepted++
		j.end(m)
	}
	if len(showings) > 0 {
		j.paths[showings[0].Path]++
		j.lastShown = later(j.lastShown, showings[0].at)
	}
	if m.delivered == nil {
		return
	}
	if m.delivered.Path != "direct" && m.delivered.Path != "relayed" {
		j.fault(pathless, m, m.delivered, "delivered with the path %q", m.delivered.Path)
	}
	if len(showings) == 0 {
		j.fault(unshown, m, m.delivered, "delivered at %s", clock(m.delivered.at))
	}
	if m.failed != nil {
		j.fault(contrary, m, m.delivered, "delivered at %s, failed at %s: %s", clock(m.delivered.at), clock(m.failed.at), m.failed.Error)
	}
}

// end counts what became of an accepted message.
func (j *judge) end(m *message) {
	shown := len(m.showings[m.to]) > 0
	if shown {
		j.shown++
	}
	if m.delivered != nil {
		j.delivered++
		j.lastEnd = later(j.lastEnd, m.delivered.at)
	}
	if m.failed != nil {
		j.failed++
		j.failures[m.failed.Error]++
		j.lastEnd = later(j.lastEnd, m.failed.at)
		if shown {
			j.shownFailed++
		}
	}
	if m.delivered == nil && m.failed == nil {
		j.open++
		if !shown {
			j.fault(lost, m, nil, "accepted at %s", clock(m.accepted.at))
		}
	}
}

// again judges showings after the first. A killed run may have shown its last
// message without having noted it.
func (j *judge) again(m *message, peer string, showings []*fact) {
	for i := 1; i < len(showings); i++ {
		before, s := showings[i-1], showings[i]
		if before.run.killed && before.isLast() {
			j.repeated++
			continue
		}
		kind := doubled
		if m.to == everyone && before.run != s.run {
			kind = outlived
		}
		j.fault(kind, m, s, "shown by %s at %s in run %d, and at %s in run %d", peer,
			clock(before.at), before.run.number, clock(s.at), s.run.number)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

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
		case !slices.ContainsFunc(j.runs[peer], func(r *run) bool { return r.upAround(at, 0) }):
			j.away++
		default:
			j.excused++
		}
	}
}

// wellAt reports whether a peer was up and nothing was the matter with it around a time.
func (j *judge) wellAt(peer string, at time.Time) bool {
	return j.quiet(peer, at) && slices.ContainsFunc(j.runs[peer], func(r *run) bool { return r.upAround(at, calm) })
}

// quiet reports whether a peer, or for "" the network, had no trouble.
func (j *judge) quiet(peer string, at time.Time) bool {
	return !slices.ContainsFunc(j.troubles[peer], func(s *span) bool { return s.touches(at.Add(-calm), at.Add(calm)) })
}

func (r *run) upAround(at time.Time, span time.Duration) bool {
	return !r.ready.IsZero() && r.ready.Before(at.Add(-span)) && (r.ended.IsZero() || r.ended.After(at.Add(span)))
}

// present reports whether a peer has shown another as here all around a time.
func (j *judge) present(other, peer string, at time.Time) bool {
	here := false
	for _, r := range j.runs[peer] {
		if !r.upAround(at, calm) {
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
