package main

import (
	"fmt"
	"os"
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/core"
)

// note counts what a core says to its log.
func (p *peer) note(n core.Note) {
	switch n.Kind {
	case core.Refutation:
		p.w.count.refuted++
	case core.Accusation:
		p.w.count.accused++
	case core.Violation:
		p.w.count.violations++
		p.w.odd("%s: %s %v", p.id, n.Text, n.Args)
	}
}

// print shows the story of the peer that is followed: what its core does and notes,
// and what others note of it or show of it.
func (p *peer) print(out *core.Effects) {
	id := p.w.follow
	own := p.id == id
	line := func(what string, args ...any) {
		fmt.Fprintf(os.Stderr, "%10.4f %s %s %v\n", p.w.now.Seconds(), p.id, what, args)
	}
	for _, e := range out.Events {
		switch e := e.(type) {
		case core.Joined:
			if own || e.ID == id {
				line("shows as here", e.ID)
			}
		case core.Left:
			if own || e.ID == id {
				line("shows as gone", e.ID, "farewell", e.Farewell)
			}
		default:
			if own {
				line(fmt.Sprintf("%T", e))
			}
		}
	}
	for _, n := range out.Notes {
		if own || slices.ContainsFunc(n.Args, func(a any) bool { return a == string(id) || a == id }) {
			line(n.Text, n.Args...)
		}
	}
	if !own {
		return
	}
	for _, f := range out.Frames {
		m, _ := p.w.memory.decode(f.Data)
		line("sends", p.across(f.Link), contents[contentOf(m)], len(f.Data))
	}
	for _, c := range out.Closes {
		line("closes", p.across(c.Link), c.Text)
	}
	for _, d := range out.Dials {
		line("dials", d.Candidates)
	}
}

// across names the peer at the other end of a link.
func (p *peer) across(link core.LinkID) certs.ID {
	if e := p.end(link); e != nil {
		return e.other.peer.id
	}
	return "?"
}
