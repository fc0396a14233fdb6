package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/scripts/internal/harness"
)

// What a peer of typed lines answers to /invite.
var (
	ticketText  = regexp.MustCompile(`^ +(qp1[a-z2-7]+)$`)
	refusalText = regexp.MustCompile(`^[0-9:]+ \? (.*)`)
)

// invite has a peer make a ticket, waits for it, and keeps it for "-join @ID".
func invite(s *scenario, p *process, args []string, by harness.Deadline) {
	admin := len(args) == 2
	s.require(!admin || args[1] == "admin")
	id, from := args[0], 0
	p.Look(func() { from = len(p.lines) })
	s.tickets[id] = "" // an earlier one is not the last
	act(s, p, "invite", id, "admin", admin)
	var (
		l               *line
		ticket, refusal string
	)
	err := p.Wait(by, func(harness.State) (bool, error) {
		for ; from < len(p.lines) && ticket+refusal == ""; from++ {
			l = p.lines[from]
			ticket, refusal = answerToInvite(l, p.text, id)
		}
		if refusal != "" {
			return false, fmt.Errorf("%s refuses to invite %s: %s", p.name, id, refusal)
		}
		return ticket != "", nil
	})
	if errors.Is(err, harness.ErrTooLate) {
		err = fmt.Errorf("%s made no ticket for %s within %v\n%s", p.name, id, by, p.describe(25))
	}
	s.must(err)
	s.tickets[id] = ticket
	s.take(p, l)
}

// leaks are the secrets of a private network that stand in a peer's standard error, which people paste
// into bug reports: a ticket, its seed, or the network's key, in any of the usual forms.
func leaks(tickets map[string]string, p *process) (found []string) {
	secrets := map[string]string{}
	for id, text := range tickets {
		t, err := certs.ParseTicket(text)
		if err != nil {
			continue // none was made, or it is a pretended one
		}
		secrets[text] = "the ticket for " + id
		for what, b := range map[string][]byte{"the seed of the ticket for " + id: t.Seed[:], "the network's key": t.Network[:]} {
			for _, form := range []string{hex.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), fmt.Sprint(b)} {
				secrets[form] = what
			}
		}
	}
	p.Look(func() {
		for secret, what := range secrets {
			if strings.Contains(strings.ToLower(string(p.stderr)), strings.ToLower(secret)) {
				found = append(found, what+" stands in its standard error")
			}
		}
	})
	slices.Sort(found)
	return found
}

// answerToInvite is what a line says of an invitation.
func answerToInvite(l *line, text bool, id string) (ticket, refusal string) {
	switch {
	case text:
		if m := ticketText.FindStringSubmatch(l.Raw); m != nil {
			return m[1], ""
		}
		if m := refusalText.FindStringSubmatch(l.Raw); m != nil {
			return "", m[1]
		}
	case l.Name == "invitation" && l.Field("id") == id:
		return l.Field("ticket"), ""
	case l.Name == "error" && strings.Contains(l.Field("input"), `"cmd":"invite"`):
		return "", l.Field("error")
	}
	return "", ""
}

// remove has an admin take a peer out. It waits for nothing: see the event removed.
func remove(s *scenario, p *process, args []string, _ harness.Deadline) {
	all := len(args) == 2
	s.require(!all || args[1] == "all")
	act(s, p, "remove", args[0], "all", all)
}

// act gives an admin's command, with a word after the ID that is also a field.
func act(s *scenario, p *process, cmd, id, word string, also bool) {
	if p.text {
		text := "/" + cmd + " " + id
		if also {
			text += " " + word
		}
		s.typeLine(p, []string{text}, harness.Deadline{})
		return
	}
	c := map[string]any{"cmd": cmd, "to": id}
	if also {
		c[word] = true
	}
	s.command(p, nil, c)
}
