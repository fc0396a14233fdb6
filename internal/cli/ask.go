package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/pb"
)

// sendCommand is quicpeer send.
func (a *asking) sendCommand() *cobra.Command {
	wait, noWait := 10*time.Second, false
	cmd := &cobra.Command{
		Use: "send TO [TEXT...]", Short: "Send a message",
		Long: `Send a message to TO: an ID, a #room, or * for everyone. Without TEXT, or with -,
standard input is the message, without its last line end. It waits for the
receipt of a message to one peer.

Exit status: 0 it is delivered (or sent: to a room, to everyone, with --no-wait);
5 it waits for its receiver; 1 it was refused.`,
		Args: args(1, -1, "TO [TEXT...]"), ValidArgsFunction: a.peerIDs("*"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 {
				return usagef("--wait=%v is negative: give a duration, such as 10s, or 0 to wait for ever", wait)
			}
			return a.send(cmd.Context(), args[0], args[1:], wait, noWait)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for the receipt; 0 waits for ever")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "wait only until the message is accepted")
	return cmd
}

func (a *asking) send(ctx context.Context, to string, words []string, wait time.Duration, noWait bool) error {
	if err := lines.CheckReceiver(certs.ID(to)); err != nil {
		return usagef("%q is neither an ID nor a #room nor *: %v", lines.Excerpt(to), err)
	}
	text := strings.Join(words, " ")
	if len(words) == 0 || len(words) == 1 && words[0] == "-" {
		var err error
		if text, err = a.message(); err != nil {
			return err
		}
	}
	if !utf8.ValidString(text) {
		return &control.Refused{Problem: "the message is not UTF-8, nothing was sent", Code: "not_utf8"}
	}
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	command := map[string]any{"cmd": "send", "to": to, "body": text}
	if to == "*" {
		command = map[string]any{"cmd": "broadcast", "body": text}
	}
	if !a.v.options.json { // whoever watches the peer sees the beginning of what was delivered
		command["ref"] = lines.Excerpt(text)
	}
	return a.sendOver(ctx, client, command, to, wait, noWait)
}

// sendOver sends a message and waits for what becomes of it.
func (a *asking) sendOver(ctx context.Context, client *control.Client, command map[string]any, to string, wait time.Duration, noWait bool) error {
	waiting := ctx
	if wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	sent, why, settled := false, "no receipt has come", false
	err := a.do(waiting, client, command, noWait, func(e control.Answer) (string, error) {
		switch e.Event {
		case "sent":
			sent = true
			if settled = noWait || to == "*" || strings.HasPrefix(to, "#"); settled {
				return "sent", nil
			}
		case "buffered":
			why = e.Reason
		case "delivered":
			settled = true
			return "delivered to " + to, nil
		case "failed":
			return "", errors.New("not delivered: " + e.Error)
		case "left":
			return "", errLeft
		}
		return "", nil
	})
	switch {
	case settled:
		return err
	case sent && (err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		return &waitsError{fmt.Sprintf("the message waits for %s (%s); the running peer goes on", to, why)}
	case sent && errors.Is(err, errLeft):
		return &waitsError{fmt.Sprintf("the peer has left; the message waits for %s in its state directory", to)}
	case sent && errors.Is(err, control.ErrBroken):
		return &waitsError{fmt.Sprintf("the peer has stopped; the message waits for %s in its state directory", to)}
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the peer has not accepted the message in time: very many wait already (quicpeer buffer)")
	}
	return err
}

// message reads a message from standard input.
func (a *asking) message() (string, error) {
	b, err := io.ReadAll(io.LimitReader(a.stdin, pb.MaxBody+3)) // the message, its line end and one byte too many
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return "", &control.Refused{Problem: "standard input is empty, nothing was sent", Code: "empty"}
	}
	return text, nil
}

// do carries out a command, and prints what each returns of an event, or with --json the events.
func (a *asking) do(ctx context.Context, client *control.Client, command map[string]any, untilSent bool, each func(control.Answer) (string, error)) error {
	var problem error
	err := client.Command(ctx, command, untilSent, func(e control.Answer) bool {
		if e.Event == "error" {
			problem = &control.Refused{Problem: e.Error, Code: e.Code}
		}
		text, err := each(e)
		if problem == nil {
			problem = err
		}
		if err := a.print(e, text); err != nil {
			problem = err
		}
		return problem == nil
	})
	if problem != nil {
		return problem
	}
	return err
}

// print prints what an event says, or with --json the event.
func (a *asking) print(e control.Answer, text string) (err error) {
	switch {
	case a.v.json:
		_, err = a.out.Write(e.Line)
	case text != "":
		for line := range strings.SplitSeq(text, "\n") {
			if err == nil {
				_, err = io.WriteString(a.out, chat.OneLine(line)+"\n")
			}
		}
	}
	return err
}

// answerCommands are those with one answer.
func (a *asking) answerCommands() (list []*cobra.Command) {
	for name, short := range map[string]string{
		"peers":  "List the peers of the network",
		"status": "Sum up the running peer: identity, network, uptime, peers, what waits, disk, versions",
		"net":    "Say how the peer is reached and reaches others, and why not more directly",
		"buffer": "List for whom messages wait",
	} {
		list = append(list, &cobra.Command{
			Use: name, Short: short, Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.answer(cmd.Context(), "/v1/"+name, nil) },
		})
	}
	return list
}

func (a *asking) answer(ctx context.Context, path string, q url.Values) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	b, err := client.Ask(ctx, path, q, !a.v.json)
	if err != nil {
		return err
	}
	_, err = a.out.Write(b)
	return err
}

// historyCommand is quicpeer history.
func (a *asking) historyCommand() *cobra.Command {
	var last int
	var since, search string
	cmd := &cobra.Command{
		Use: "history [TO]", Short: "Show what was said",
		Long: `Show messages of the history: the last ones, or those to and from TO: an ID, a
#room, or * for everyone.`,
		Args: args(0, 1, "[TO]"), ValidArgsFunction: a.peerIDs("*"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) > 0 {
				q.Set("with", args[0])
			}
			if cmd.Flags().Changed("last") {
				q.Set("last", strconv.Itoa(last))
			}
			if since != "" {
				q.Set("since", sinceOf(since))
			}
			if search != "" {
				q.Set("search", search)
			}
			return a.answer(cmd.Context(), "/v1/history", q)
		},
	}
	cmd.Flags().IntVar(&last, "last", 100, "at most so many messages, the last ones")
	cmd.Flags().StringVar(&since, "since", "", "only what was said since then: 2h, 2026-03-05, 2026-03-05T12:00:00Z")
	cmd.Flags().StringVar(&search, "search", "", "only messages with that text, in letters of any case")
	return cmd
}

// sinceOf reads a date or a local time; what it can't read is left to the peer.
func sinceOf(text string) string {
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return at.Format(time.RFC3339)
		}
	}
	return text
}

// eventsCommand is quicpeer events.
func (a *asking) eventsCommand() *cobra.Command {
	var from uint64
	var follow bool
	cmd := &cobra.Command{
		Use: "events", Short: "Print what happens as JSON lines",
		Long: `Print the events as JSON lines: those from now on, or with --from those from a
position of the history to its end, and with --follow what happens then. It
begins with ready and who is here. Where the history does not go back so far any
more, standard error says at which position it begins.`,
		Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("from") && from == 0 {
				return usagef("--from=0 is not a position of the history: positions are 1, 2, 3 and so on")
			}
			return a.events(cmd.Context(), from, follow || from == 0)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "a position of the history, from 1 on")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what happens")
	return cmd
}

func (a *asking) events(ctx context.Context, from uint64, follow bool) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	var problem error
	over := !follow
	late := func(first uint64) {
		fmt.Fprintf(a.stderr, "quicpeer: position %d is not kept any more, so the events begin at position %d; --history-size and --history-messages say how much the peer keeps\n", from, first)
	}
	err = client.Events(ctx, from, follow, late, func(e control.Answer) bool {
		if _, problem = a.out.Write(e.Line); problem != nil {
			return false
		}
		over = over || e.Event == "left"
		if e.Event == "error" {
			problem = &control.Refused{Problem: e.Error, Code: e.Code}
		}
		return problem == nil
	})
	switch {
	case problem != nil:
		return problem
	case ctx.Err() != nil: // Ctrl-C
		return nil
	case err == nil && !over:
		return control.ErrBroken
	}
	return err
}

// simple is a command that carries out one of JSON, and is done with the event of a name.
func (a *asking) simple(ctx context.Context, command map[string]any, done string, say func(control.Answer) string) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	over := false
	err = a.do(ctx, client, command, false, func(e control.Answer) (string, error) {
		switch e.Event {
		case done:
			over = true
			return say(e), nil
		case "left":
			return "", errLeft
		}
		return "", nil
	})
	if err == nil && !over {
		err = errEndedEarly
	}
	return err
}

// joinCommand is quicpeer join.
func (a *asking) joinCommand() *cobra.Command {
	return &cobra.Command{
		Use: "join HOST:PORT...", Short: "Dial other peers, and so join their network to this one", Args: args(1, -1, "HOST:PORT..."),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, address := range args {
				err := a.simple(cmd.Context(), map[string]any{"cmd": "join", "address": address}, "joined", func(e control.Answer) string {
					return "joined " + e.ID + " at " + address
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// leaveCommand is quicpeer leave.
func (a *asking) leaveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "leave", Short: "End the running peer in good order", Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.simple(cmd.Context(), map[string]any{"cmd": "leave"}, "left", func(e control.Answer) string {
				if e.Undelivered > 0 {
					return fmt.Sprintf("left, %d undelivered", e.Undelivered)
				}
				return "left"
			})
		},
	}
}

// cancelCommand is quicpeer cancel.
func (a *asking) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel MESSAGE", Short: "Withdraw a message that waits for its receiver",
		Long: `Withdraw a message that waits for its receiver. MESSAGE is its ID, as the event
sent tells it, and quicpeer send --json.`,
		Args: args(1, 1, "MESSAGE"), ValidArgsFunction: a.waitingMessages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.simple(cmd.Context(), map[string]any{"cmd": "cancel", "message": args[0]}, "failed", func(control.Answer) string {
				return "cancelled"
			})
		},
	}
}

// waitingMessages completes the IDs of messages that wait.
func (a *asking) waitingMessages(cmd *cobra.Command, given []string, _ string) (ids []string, _ cobra.ShellCompDirective) {
	if len(given) == 0 && a.prepare(cmd.Root()) == nil {
		if client, err := a.find(cmd.Context()); err == nil {
			ids, _ = client.Waiting(cmd.Context()) // without an answer there is nothing to complete
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// adminCommands are those of a private network.
func (a *asking) adminCommands() []*cobra.Command {
	admin, all := false, false
	act := func(name, short, done string, fill func(map[string]any), say func(control.Answer) string) *cobra.Command {
		return &cobra.Command{
			Use: name + " ID", Short: short, Args: args(1, 1, "ID"), ValidArgsFunction: a.peerIDs(),
			RunE: func(cmd *cobra.Command, args []string) error {
				command := map[string]any{"cmd": name, "to": args[0]}
				if fill != nil {
					fill(command)
				}
				return a.simple(cmd.Context(), command, done, say)
			},
		}
	}
	invite := act("invite", "Make a ticket with which ID can join this private network, once", "invitation",
		func(c map[string]any) { c["admin"] = admin }, func(e control.Answer) string { return e.Ticket })
	invite.Flags().BoolVar(&admin, "admin", false, "the newcomer may invite and remove as well")
	remove := act("remove", "Take a member out of this private network for good", "removed",
		func(c map[string]any) { c["all"] = all }, func(e control.Answer) string { return e.ID + " was removed from the network for good" })
	remove.Flags().BoolVar(&all, "all", false, "and all that it has signed as an admin")
	return []*cobra.Command{invite, remove, act("uninvite", "Make the tickets for ID void", "uninvited", nil, func(e control.Answer) string {
		return "the tickets for " + e.ID + " are void"
	})}
}

// pingCommand is quicpeer ping.
func (a *asking) pingCommand() *cobra.Command {
	count := 3
	cmd := &cobra.Command{
		Use: "ping ID", Short: "Measure round trips by the way that messages to ID take, and say which",
		Long: `Measure round trips by the way that messages to ID take, and say which it is.

Exit status: 0 directly, 5 only over other peers, 1 no answer.`,
		Args: args(1, 1, "ID"), ValidArgsFunction: a.peerIDs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 {
				return usagef("-c %d is not a number of round trips above 0", count)
			}
			return a.ping(cmd.Context(), args[0], count)
		},
	}
	cmd.Flags().IntVarP(&count, "count", "c", count, "how many round trips")
	return cmd
}

func (a *asking) ping(ctx context.Context, id string, count int) error {
	var last control.Answer
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil
			}
		}
		err := a.simple(ctx, map[string]any{"cmd": "ping", "to": id}, "pong", func(e control.Answer) string {
			last = e
			way := e.How
			if e.Via != "" {
				way += " via " + e.Via
			}
			return fmt.Sprintf("%s: %.1f ms, %s", id, e.RTT, way)
		})
		if err != nil {
			return err
		}
	}
	if last.Path == "relayed" {
		return &waitsError{id + " is reached over other peers only; quicpeer net says why"}
	}
	return nil
}
