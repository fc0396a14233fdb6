package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"quicpeer/certs"
	"quicpeer/internal/terminal"
)

// checkJoin validates the values of --join: addresses, and at most one ticket, or - instead.
func (v *values) checkJoin(o *options, f *pflag.FlagSet, given map[string]string) error {
	o.join = nil
	var ticket *certs.Ticket
	for _, item := range splitLists(v.join) {
		switch {
		case (item == "-" || certs.IsTicket(item)) && (ticket != nil || o.askTicket):
			return usagef("%s names two tickets: a peer joins one network with one of them", given["join"])
		case item == "-":
			o.askTicket = true
		case certs.IsTicket(item):
			var err error
			if ticket, err = certs.ParseTicket(item); err != nil {
				return usagef("%s: %v", given["join"], err)
			}
		default:
			if err := checkAddress(item, true); err != nil {
				return usagef("%s=%q is not %s: %v", given["join"], shortened(item), wanted(f.Lookup("join")), err)
			}
			o.join = append(o.join, item)
		}
	}
	if ticket != nil {
		return o.useTicket(ticket)
	}
	return nil
}

// shortened is a value for an error. One as long as a ticket may be one without its beginning.
func shortened(value string) string {
	if len(value) > 64 {
		return value[:8] + "…"
	}
	return value
}

// useTicket makes this peer the one that the ticket is for.
func (o *options) useTicket(t *certs.Ticket) error {
	if o.id != "" && o.id != t.ID {
		return usagef("the ticket is for the ID %s, not %s", t.ID, o.id)
	}
	if o.network != "" && o.network != t.Name {
		return usagef("the ticket is for the network %q, not %q", t.Name, o.network)
	}
	o.id, o.visitor = t.ID, false
	o.join = append(o.join, t.Text())
	return nil
}

// checkPrivate validates --private.
func (v *values) checkPrivate(o *options, f *pflag.FlagSet, given map[string]string) error {
	if !v.private {
		return nil
	}
	if len(o.join) > 0 || o.askTicket {
		return usagef("%s makes a network, and %s joins another: leave one of them out", given["private"], given["join"])
	}
	if o.id == "" && o.stateDir == "" {
		return usagef("%s needs --id or --state-dir: the network's key must be kept", given["private"])
	}
	if err := certs.CheckPrivateName(v.network); err != nil {
		return usagef("%s=%q can't be used: %v", given["network"], v.network, err)
	}
	return nil
}

// askTicket gets the ticket of --join -, from standard input: on a terminal it is not shown,
// and nowhere does it get into a list of processes or a history. A nil ticket without an
// error: the user has changed his mind, or ctx has ended.
func (c *command) askTicket(ctx context.Context) (*certs.Ticket, error) {
	type answer struct {
		ticket *certs.Ticket
		err    error
	}
	answers := make(chan answer, 1)
	go terminal.Guarded(func() {
		var a answer
		if in, ok := terminal.Of(c.stdin); ok {
			a.ticket, a.err = c.promptTicket(in)
		} else {
			a.ticket, a.err = readTicket(c.stdin)
		}
		answers <- a
	})
	defer terminal.Restore()
	select {
	case a := <-answers:
		return a.ticket, a.err
	case <-ctx.Done():
		return nil, nil
	}
}

// readTicket reads the line of a ticket, and nothing behind it: that is the usual input.
func readTicket(r io.Reader) (*certs.Ticket, error) {
	var line []byte
	for b := make([]byte, 1); len(line) <= certs.MaxTicketText; {
		n, err := r.Read(b)
		if n > 0 && b[0] != '\n' {
			line = append(line, b[0])
			continue
		}
		if n > 0 || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the ticket: %w", err)
		}
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(line), "\ufeff"))
	if text == "" {
		return nil, usagef("--join - reads a ticket from standard input, which has none")
	}
	ticket, err := certs.ParseTicket(text)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return ticket, nil
}

// promptTicket asks for a ticket until there is one. It may come in several lines.
func (c *command) promptTicket(in *terminal.Stream) (*certs.Ticket, error) {
	hidden, err := in.Hide(c.stderr, c.interrupt)
	if err != nil {
		return nil, fmt.Errorf("reading the ticket: %w", err)
	}
	for text, prompt := "", "ticket (not shown): "; ; prompt = "the rest of it, or nothing: " {
		line, err := hidden.ReadPassword(prompt)
		if errors.Is(err, io.EOF) {
			return nil, nil // Ctrl-C or Ctrl-D
		}
		if err != nil {
			return nil, fmt.Errorf("reading the ticket: %w", err)
		}
		text += line
		ticket, err := certs.ParseTicket(text)
		if err == nil {
			return ticket, nil
		}
		if strings.TrimSpace(line) == "" || len(text) > certs.MaxTicketText {
			return nil, usagef("%v", err)
		}
		fmt.Fprintf(hidden, "quicpeer: %v\n", err)
	}
}
