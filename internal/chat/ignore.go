package chat

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// parseIgnore parses what follows /ignore or /unignore: an ID, also as @ID, or nothing for a list.
func parseIgnore(command, whom string) (typed, error) {
	verb := ignorePeer
	if command == "/unignore" {
		verb = unignorePeer
	}
	if whom == "" && verb == ignorePeer {
		return typed{verb: verb}, nil
	}
	if whom == "" {
		return typed{}, lines.Bad("it is /unignore ID; /ignore lists who is ignored")
	}
	whom = strings.TrimPrefix(whom, "@")
	id, err := certs.ParseID(whom)
	if err != nil {
		return typed{}, lines.Bad(OneLine(lines.Excerpt(whom)) + " is not a valid ID: " + OneLine(err.Error()))
	}
	return typed{verb: verb, to: id}, nil
}

// ignore executes /ignore.
func (t *Frontend) ignore(n lines.Node, id certs.ID) error {
	if id == "" {
		return t.listIgnored(n.Ignored())
	}
	if err := n.Ignore(id); err != nil {
		return lines.Bad(lines.Problem(err, false))
	}
	return t.say("*", fmt.Sprintf("%s is ignored; /unignore %s ends that", t.name(id), id))
}

// unignore executes /unignore.
func (t *Frontend) unignore(n lines.Node, id certs.ID) error {
	if err := n.Unignore(id); err != nil {
		return lines.Bad(lines.Problem(err, false))
	}
	return t.say("*", t.name(id)+" is not ignored any more")
}

func (t *Frontend) listIgnored(list []overlay.IgnoredPeer) error {
	if len(list) == 0 {
		return t.say("*", "nobody is ignored")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%v\n", p.ID, p.Key)
	}
	w.Flush()
	return t.block(count(len(list), "peer")+" ignored:", strings.TrimSuffix(b.String(), "\n"))
}
