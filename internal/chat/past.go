package chat

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// usualPast is how many messages /history, /search and the beginning show: about a screenful.
const usualPast = 20

// parsePast parses what follows /history and /search.
func parsePast(command, rest string) (typed, error) {
	if command == "/search" {
		if rest == "" {
			return typed{}, lines.Bad("it is /search TEXT")
		}
		return typed{verb: searchHistory, text: rest}, nil
	}
	if n, err := strconv.Atoi(rest); rest != "" && (err != nil || n < 1 || n > lines.MaxPast) {
		return typed{}, lines.Bad(fmt.Sprintf("it is /history, or /history N for the last N messages (at most %d)", lines.MaxPast))
	}
	return typed{verb: showHistory, text: rest}, nil
}

// past executes /history and /search.
func (t *Frontend) past(ctx context.Context, n lines.Node, c typed) error {
	q := overlay.Query{Last: usualPast}
	if c.verb == searchHistory {
		q.Search = c.text
	} else if c.text != "" {
		q.Last, _ = strconv.Atoi(c.text) // parsePast has read it
	}
	list, err := n.Past(ctx, q)
	if err != nil {
		return lines.Deny(err)
	}
	what := "what was said last"
	if c.verb == searchHistory {
		what = "found"
	}
	return t.Said(what, list)
}

// Said shows messages of the history, below a line that says what they are.
func (t *Frontend) Said(what string, list []overlay.Said) error {
	if len(list) == 0 {
		return t.say("*", "the history has no such messages")
	}
	return t.block(count(len(list), "message")+", "+what+":", t.told(list, 0, time.Time{}))
}

// Earlier shows the last messages of the history: see [Screen]. Events about these may come later, and are not shown
// again.
func (t *Frontend) Earlier(ctx context.Context, n lines.Node, since time.Time, seen uint64) error {
	list, err := n.Past(ctx, overlay.Query{Last: usualPast})
	switch {
	case ctx.Err() != nil: // whoever looks is leaving
		return nil
	case err != nil:
		return t.say("!", OneLine(err.Error()))
	case len(list) == 0:
		return nil
	}
	t.earlier = positions{}
	for _, s := range list {
		t.earlier[s.Pos] = true
	}
	return t.screen.Earlier(list, since, seen)
}

// positions are those of messages in the history.
type positions map[uint64]bool

// has says whether an event is one of these messages.
func (p positions) has(event overlay.Event) bool {
	switch e := event.(type) {
	case overlay.Message:
		return p[e.Pos]
	case overlay.Sent:
		return p[e.Pos]
	}
	return false
}

// Earlier shows messages in a block.
func (p *printer) Earlier(list []overlay.Said, since time.Time, seen uint64) error {
	return p.Note(Note{Mark: "*", Text: "earlier:", Block: p.told(list, seen, since)})
}

// told are the lines of messages of the history.
func (s *style) told(list []overlay.Said, seen uint64, since time.Time) string {
	var b strings.Builder
	for _, m := range list {
		if !since.IsZero() && m.Pos > seen {
			fmt.Fprintf(&b, "--- new since %s ---\n", s.since(since))
			since = time.Time{}
		}
		at := s.since(m.SentAt)
		from, to := string(m.From), ""
		switch {
		case m.Unproved:
			from += " (not known)"
		case m.NewKey:
			from += " (new key)"
		}
		if m.To != overlay.Everyone {
			to = " -> " + OneLine(string(m.To))
		}
		colon, body := wording(m)
		head := fmt.Sprintf("%s %s%s%s", at, OneLine(from), to, colon)
		what := ""
		switch m.State {
		case overlay.StateWaiting:
			what = " (waiting)"
		case overlay.StateFailed:
			what = " (not delivered: " + OneLine(m.Error) + ")"
		}
		width := 0
		if s.look.Width != nil {
			width = max(0, s.look.Width()-len(margin))
		}
		fmt.Fprintf(&b, "%s%s%s\n", head, indent(body, "  ", len(head), width), what)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// status answers /status.
func (t *Frontend) status(s lines.Status) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
	row("id", string(s.ID))
	row("key", s.Key.String())
	row("network", quoted(s.Network))
	row("listens", OneLine(strings.Join(s.Listen, " ")))
	row("up", fmt.Sprintf("%v, since %s", t.now().Sub(s.Since).Round(time.Second), t.since(s.Since)))
	row("peers", fmt.Sprintf("%d, of these %d direct", s.Peers, s.Direct))
	row("waiting", count(s.Waiting, "message"))
	if s.StateDir != "" {
		row("state", fmt.Sprintf("%s (%.1f MiB)", OneLine(s.StateDir), float64(s.Disk)/(1<<20)))
	}
	if s.End != 0 {
		row("history", fmt.Sprintf("positions %d to %d", s.First, s.End))
	}
	if s.Socket != "" {
		row("socket", OneLine(s.Socket))
	}
	row("version", fmt.Sprintf("%s, protocol %d, process %d", OneLine(s.Version), s.Protocol, s.PID))
	w.Flush()
	return t.block("this peer:", strings.TrimSuffix(b.String(), "\n"))
}

// quoted is a network's name for people.
func quoted(name string) string {
	if name == "" {
		return "(no name)"
	}
	return OneLine(name)
}
