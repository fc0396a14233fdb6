package chat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// maxListed is how many messages /cancel lists, newest first: about a screenful.
const maxListed = 20

// cancel executes /cancel. Alone it lists what waits. A number refers to the list shown
// last, so that it means the same message even if others have been delivered since; @ID
// means everything for one peer. The outcome for each message is an event, as always.
func (t *Frontend) cancel(n lines.Node, what string) error {
	if what == "" {
		return t.listOutgoing(n.Outgoing())
	}
	if to, ok := strings.CutPrefix(what, "@"); ok {
		return t.cancelAll(n, to)
	}
	i, err := strconv.Atoi(what)
	switch {
	case err != nil:
		return lines.Bad("it is /cancel to list what waits, /cancel N for one of these, or /cancel @ID for all to one peer")
	case i < 1 || i > len(t.listed):
		return lines.Bad(fmt.Sprintf("there is no number %d; /cancel lists what waits, with numbers", i))
	}
	if err := n.Cancel(t.listed[i-1].Message); err != nil {
		return lines.Bad(lines.Problem(err, false))
	}
	return nil
}

// listOutgoing lists messages, with the numbers by which they can be withdrawn.
func (t *Frontend) listOutgoing(list []overlay.Outgoing) error {
	t.listed = list[:min(len(list), maxListed)]
	if len(list) == 0 {
		return t.say("*", "no messages are waiting")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, m := range t.listed {
		fmt.Fprintf(w, "%d\tto %s\t%s\t%s\n", i+1, m.To, t.since(m.SentAt), OneLine(lines.Excerpt(Body(overlay.Said{Body: m.Body, Binary: m.Binary, Kind: m.Kind}))))
	}
	w.Flush()
	if rest := len(list) - len(t.listed); rest > 0 {
		fmt.Fprintf(&b, "and %d from before\n", rest)
	}
	return t.block(count(len(list), "message")+" without a receipt; /cancel N withdraws one:", strings.TrimSuffix(b.String(), "\n"))
}

// cancelAll withdraws everything that waits for one peer.
func (t *Frontend) cancelAll(n lines.Node, to string) error {
	id, err := certs.ParseName(to)
	if err != nil {
		return lines.Bad(OneLine(lines.Excerpt(to)) + " is not a valid ID: " + OneLine(err.Error()))
	}
	found := false
	for _, m := range n.Outgoing() {
		if m.To != id {
			continue
		}
		found = true
		if err := n.Cancel(m.Message); err != nil && !errors.Is(err, overlay.ErrNotWaiting) { // an event tells what became of it
			return lines.Bad(lines.Problem(err, false))
		}
	}
	if !found {
		return lines.Bad("nothing waits for " + string(id))
	}
	return nil
}
