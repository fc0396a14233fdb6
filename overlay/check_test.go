package overlay

import (
	"fmt"
	"slices"
	"strings"

	"quicpeer/certs"
)

// prefix is the common beginning of the message IDs of this run.
func (p *peer) prefix() [8]byte {
	epoch, nonce := p.messages.IDs().Run()
	return certs.MessagePrefix(p.Key(), epoch, nonce)
}

// checkEvents checks the rules that every sequence of events keeps.
func (p *peer) checkEvents() {
	p.mu.Lock()
	defer p.mu.Unlock()
	here := map[certs.ID]bool{}
	shown := map[MessageID]bool{}
	sent := map[MessageID]string{} // the last event of each message of ours
	complain := func(i int, why string) {
		p.t.Errorf("%s: event %d, %T%+v: %s", p.ID(), i, p.events[i], clipped(p.events[i]), why)
	}
	expect := func(i int, m MessageID, next string) {
		old, ok := sent[m]
		earlier := p.disk.Keeps() && [8]byte(m[:8]) != p.prefix() // of another run, which has reported it as sent
		if !ok && !earlier || old == "delivered" || old == "failed" || old == next {
			complain(i, fmt.Sprintf("after %q", old))
		}
		sent[m] = next
	}
	for i, e := range p.events {
		if _, ready := e.(Ready); ready != (i == 0) {
			complain(i, "Ready is the first event, and once")
		}
		switch e := e.(type) {
		case PeerJoined:
			if here[e.ID] {
				complain(i, "it was here already")
			}
			here[e.ID] = true
		case PeerLeft:
			if !here[e.ID] {
				complain(i, "it was not here")
			}
			delete(here, e.ID)
		case Message:
			kept := e.Before || e.Path == PathRelayed && e.To == p.ID() // others may have kept it, its sender has gone
			if !here[e.From] && !kept {
				complain(i, "its sender is not here")
			}
			if shown[e.ID] {
				complain(i, "shown twice")
			}
			shown[e.ID] = true
		case Sent:
			if _, again := sent[e.Message]; again && !p.putBack {
				complain(i, "sent twice")
			}
			sent[e.Message] = "sent"
		case Buffered:
			expect(i, e.Message, "buffered")
		case Delivered:
			expect(i, e.Message, "delivered")
		case Failed:
			expect(i, e.Message, "failed")
		}
	}
}

// summary describes the events of a failed test.
func (p *peer) summary() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := map[string]int{}
	var tail []string
	for i, e := range p.events {
		counts[fmt.Sprintf("%T", e)]++
		if i >= len(p.events)-8 {
			tail = append(tail, fmt.Sprintf("%T%+v", e, clipped(e)))
		}
	}
	return fmt.Sprintf("%v, at last\n\t%s", counts, strings.Join(tail, "\n\t"))
}

func clipped(e Event) Event {
	if m, ok := e.(Message); ok {
		m.Body = m.Body[:min(len(m.Body), 20)]
		return m
	}
	return e
}

// brief shows the first and last texts of a list.
func brief(list []string) string {
	short := make([]string, 0, len(list))
	for _, s := range list {
		short = append(short, fmt.Sprintf("%.12q", s))
	}
	if len(short) > 10 {
		short = slices.Concat(short[:5], []string{"…"}, short[len(short)-5:])
	}
	return fmt.Sprintf("%d: %v", len(list), short)
}
