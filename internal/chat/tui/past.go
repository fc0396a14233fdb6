package tui

import (
	"context"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
)

// page is a part of the history that has come.
type page struct {
	of    certs.ID
	list  []overlay.Said
	err   error
	found string // what was searched for; empty: a page of a conversation
	visit *overlay.Said
	last  int // how many were asked for
}

const (
	pageSize = 100              // messages of a page
	patience = 10 * time.Second // for the disk, a guess
)

// ask reads the history beside the model.
func (p page) ask(node Node, q overlay.Query) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.last = q.Last
		p.list, p.err = node.Past(ctx, q)
		return loaded{p}
	}
}

// fill reads a page of what was said before, if the conversation in front has not a screen of it.
func (m *model) fill() tea.Cmd {
	v := m.talk.front
	if !m.full.on && !m.full.wanted || v.complete || len(v.entries) > m.size.Height {
		return nil
	}
	return m.readOlder()
}

// fillAbove reads a page if the beginning of what is here is near.
func (m *model) fillAbove() tea.Cmd {
	v := m.talk.front
	if v.complete || m.full.position() > m.size.Height {
		return nil
	}
	if len(v.entries) >= maxHeld {
		return m.prompt.say("there is more above; quicpeer history has it")
	}
	return m.readOlder()
}

func (m *model) readOlder() tea.Cmd {
	if m.full.loading {
		return nil
	}
	m.full.loading = true
	v := m.talk.front
	return page{of: v.name}.ask(m.cfg.Node, overlay.Query{With: v.name, Before: v.oldest(), Last: pageSize})
}

// search looks for a text in the history.
func (m *model) search(text string) tea.Cmd {
	return page{found: text}.ask(m.cfg.Node, overlay.Query{Search: text, Last: 1000})
}

// load takes a page of the history.
func (m *model) load(p page) tea.Cmd {
	if p.found == "" {
		m.full.loading = false
	}
	switch {
	case p.err != nil:
		return m.prompt.say("the history can't be read: " + chat.OneLine(p.err.Error()))
	case p.found != "" && len(p.list) == 0:
		return m.prompt.say(fmt.Sprintf("the history has no message with %q", p.found))
	case p.found != "":
		m.full.found = &found{text: p.found, list: p.list, at: len(p.list) - 1}
		return nil
	}
	v := m.talk.find(p.of)
	if v == nil {
		return nil
	}
	if len(p.list) < p.last && p.visit == nil {
		v.complete = true
	}
	m.talk.prepend(v, p.list)
	if p.visit != nil && v == m.talk.front && !m.full.reach(*p.visit) {
		return m.prompt.say("that message is too far above; /history has it")
	}
	if v != m.talk.front { // which had to wait for this page
		return m.fill()
	}
	return nil
}
