package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
)

// attachCommand is quicpeer attach.
func (a *asking) attachCommand() *cobra.Command {
	var full, plain bool
	cmd := &cobra.Command{
		Use: "attach", Short: "Chat through the running peer, in this terminal",
		Long: `Chat through the running peer, in this terminal. Ctrl-D detaches: the peer goes
on. /quit ends the peer. Without a terminal it does the lines of standard input.`,
		Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.v.json {
				return usagef("attach is for people; with --json there are quicpeer events and POST /v1/commands on the local socket")
			}
			return a.attach(cmd.Context(), full, plain)
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "begin in full screen")
	cmd.Flags().BoolVar(&plain, "plain", false, "plain lines: no line editing, no colours, no cursor movement")
	return cmd
}

// attach shows the chat of the running peer, and passes on what is typed.
func (a *asking) attach(ctx context.Context, full, plain bool) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	console := newConsole(a.stdin, a.stdout, a.stderr, a.getenv)
	if plain {
		console.plain()
	}
	if console.prompt != nil {
		if taken, err := terminal.Take(console.prompt, console.stdout); err == nil {
			defer taken.Give()
			return a.attachTerminal(ctx, client, console, taken, full)
		}
	}
	flag := func(on bool) string { return strconv.FormatBool(on) }
	q := url.Values{
		"follow": {flag(console.typed)}, "terminal": {flag(console.stdout != nil)}, "colour": {flag(console.colour)}, "width": {strconv.Itoa(console.width())},
	}
	typed, passed := io.Pipe()
	defer typed.Close()
	go terminal.Guarded(func() { passOn(lines.NewReader(a.stdin), passed, console.width) }) // a read of standard input can't be interrupted
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

// attachTerminal has the running peer draw on this terminal.
func (a *asking) attachTerminal(ctx context.Context, client *control.Client, console *console, taken *terminal.Taken, full bool) error {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	var asked unanswered
	size := taken.Size()
	q := url.Values{
		"width": {strconv.Itoa(size.Width)}, "height": {strconv.Itoa(size.Height)}, "term": {console.term}, "home": {console.home},
		"colour": {strconv.FormatBool(console.colour)}, "full": {strconv.FormatBool(full)},
	}
	typed, passed := io.Pipe()
	defer typed.Close()
	var writing sync.Mutex
	send := func(f control.FromTerminal) error {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		writing.Lock()
		defer writing.Unlock()
		_, err = passed.Write(append(line, '\n'))
		return err
	}
	go terminal.Guarded(func() { // a read of standard input can't be interrupted
		defer passed.Close()
		for b := make([]byte, 32<<10); ; {
			n, err := console.prompt.Read(b)
			if asked.often(b[:n]) {
				give(errFrozen)
			}
			if n > 0 && send(control.FromTerminal{Keys: b[:n]}) != nil || err != nil {
				return
			}
		}
	})
	go func() {
		for {
			select {
			case size := <-taken.Resized():
				if send(control.FromTerminal{Width: size.Width, Height: size.Height}) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err := client.Terminal(ctx, q, typed, func(f control.ToTerminal) error {
		if asked.n.Store(0); f.Suspend {
			taken.Suspend()
			return send(control.FromTerminal{Resumed: true})
		}
		if _, err := console.stdout.Write(f.Show); err != nil {
			return &lines.OutputError{Err: err}
		}
		return nil
	})
	if err != nil {
		terminal.Abort() // the peer has not tidied up
	}
	if e, ok := errors.AsType[*lines.OutputError](err); ok {
		return e
	}
	if context.Cause(ctx) == errFrozen {
		return errFrozen
	}
	return detached(ctx, err)
}

var errFrozen = errors.New("the peer does not answer, so this terminal has left it; quicpeer doctor may say why")

// unanswered counts how often Ctrl-C was pressed since the peer has shown something: one that is stopped can't
// be told that its user wants to leave.
type unanswered struct{ n atomic.Int64 }

// often says that it was often enough: three times, where two leave a chat.
func (u *unanswered) often(keys []byte) bool {
	n := bytes.Count(keys, []byte{3}) + bytes.Count(keys, []byte("\x1b[99;5u")) // as kitty sends it
	return n > 0 && u.n.Add(int64(n)) >= 3
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
