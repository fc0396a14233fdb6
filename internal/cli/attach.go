package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"quicpeer/certs"
	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
)

// attachCommand is quicpeer attach.
func (a *asking) attachCommand() *cobra.Command {
	return &cobra.Command{
		Use: "attach", Short: "Chat through the running peer, in this terminal",
		Long: `Chat through the running peer, in this terminal. Ctrl-D detaches: the peer goes
on. /quit ends the peer. Without a terminal it does the lines of standard input.`,
		Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.v.json {
				return usagef("attach is for people; with --json there are quicpeer events and POST /v1/commands on the local socket")
			}
			return a.attach(cmd.Context())
		},
	}
}

// attach shows the chat of the running peer, and passes on what is typed.
func (a *asking) attach(ctx context.Context) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	id, err := client.ID(ctx)
	if err != nil {
		return err
	}
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	console := newConsole(a.stdin, a.stdout, a.stderr, a.getenv, detach)
	defer console.restore()
	input := lines.Input(lines.NewReader(a.stdin))
	if console.prompt != nil && console.openPrompt(certs.ID(id)) == nil {
		input = console.opened
	}
	flag := func(on bool) string { return strconv.FormatBool(on) }
	q := url.Values{
		"follow": {flag(console.typed)}, "terminal": {flag(console.stdout != nil)}, "colour": {flag(console.colour)}, "width": {strconv.Itoa(console.width())},
	}
	typed, passed := io.Pipe()
	defer typed.Close()
	go terminal.Guarded(func() { passOn(input, passed, console.width) }) // a read of standard input can't be interrupted
	shown, err := client.Chat(ctx, q, typed)
	if err != nil {
		return detached(ctx, err)
	}
	defer shown.Close()
	_, err = io.Copy(console.out, shown)
	if e, ok := errors.AsType[*lines.OutputError](err); ok {
		return e
	}
	return detached(ctx, err)
}

// detached is the error of an attachment, nil if the user has ended it.
func detached(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return control.ErrBroken
}

// passOn passes typed lines on until they end, each with the width that the terminal has then.
func passOn(input lines.Input, to *io.PipeWriter, width func() int) {
	defer to.Close()
	e := json.NewEncoder(to)
	for {
		line, err := input.Next()
		if errors.Is(err, lines.ErrLong) {
			line = append(line, 0xff) // it is refused there
		} else if err != nil {
			return
		}
		if line == nil {
			line = []byte{}
		}
		if e.Encode(control.Typed{Line: line, Width: width()}) != nil {
			return // the peer, or this process, ends
		}
	}
}
