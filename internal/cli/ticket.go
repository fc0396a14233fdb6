package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"quicpeer/certs"
	"quicpeer/internal/terminal"
)

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
