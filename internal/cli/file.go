package cli

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/overlay/files"
)

// filing is a command about files.
type filing struct{ *asking }

// fileCommand is quicpeer file.
func (a *asking) fileCommand() *cobra.Command {
	f := filing{a}
	cmd := &cobra.Command{
		Use: "file", Short: "Send and receive files",
		Long: `Send and receive files, by the peer that runs, or with flags of a peer such as
--join by one that is started for that alone.`,
		RunE: func(*cobra.Command, []string) error {
			return usagef("it is quicpeer file send, receive, list, accept or cancel (quicpeer file --help says more)")
		},
	}
	cmd.AddCommand(f.sendCommand(), f.receiveCommand(), f.listCommand(), f.acceptCommand(), f.cancelCommand())
	return cmd
}

func (a filing) sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use: "send TO PATH...", Short: "Send files and directories",
		Long: `Send files and directories to TO: an ID, a #room, or * for everyone. The path -
is standard input, and needs a --name. It waits until the peer TO has them; of
an offer to a room or to everyone, and with --no-wait, it prints the number.

With flags of a peer, such as --join HOST:PORT, it starts a peer for that alone,
which leaves when TO has the files (quicpeer --help lists the flags). With an ID
among them the same command goes on where an earlier one was.

Exit status: 0 TO has them (or they are offered: to a room, to everyone, with
--no-wait); 5 it goes on in the running peer; 1 it was refused, or has failed.`,
		Args: args(2, -1, "TO PATH..."),
		ValidArgsFunction: func(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.peerIDs("*")(cmd, given, word)
		},
	}
	cmd.Flags().StringVar(&s.name, "name", "", "the name that the only PATH has at the receiver")
	cmd.Flags().StringVar(&s.note, "note", "", "a word to the receiver")
	cmd.Flags().DurationVar(&s.wait, "wait", 0, "how long to wait until TO has them; 0 waits for ever")
	cmd.Flags().BoolVar(&s.noWait, "no-wait", false, "wait only until they are offered")
	peer := peerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s.to, s.paths = args[0], args[1:]
		if err := s.check(); err != nil {
			return err
		}
		own := a.flagsOf(cmd, peer)
		if own == nil {
			return a.sendFiles(cmd.Context(), s)
		}
		return a.sendFilesAlone(cmd.Context(), s, own)
	}
	return cmd
}

// sendFiles has the running peer send them.
func (a filing) sendFiles(ctx context.Context, s sending) error {
	client, err := a.find(ctx)
	if err != nil {
		return err
	}
	dir := ""
	if s.paths[0] == "-" {
		state, err := client.StateDir(ctx)
		if err != nil {
			return err
		}
		if dir, err = a.spool(ctx, &s, state); err != nil {
			return err
		}
	}
	waiting := ctx
	if s.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	c := a.course(s.noWait || s.isWide())
	err = a.do(waiting, client, s.command(dir != ""), s.noWait, c.take)
	c.clear()
	if dir != "" && c.file == 0 { // the peer has not taken it
		_ = os.RemoveAll(dir) // nothing more can be done
	}
	return c.outcome(err, "was offered")
}

func (a filing) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [N]", Short: "List the transfers, or all names of one", Args: args(0, 1, "[N]"), ValidArgsFunction: a.numbers(func(files.State, bool) bool { return true }),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) > 0 {
				if _, err := fileNumber(args[0]); err != nil {
					return err
				}
				q.Set("file", args[0])
			}
			return a.answer(cmd.Context(), "/v1/files", q)
		},
	}
}

func (a filing) acceptCommand() *cobra.Command {
	dir, noWait := ".", false
	cmd := &cobra.Command{
		Use: "accept N", Short: "Take what another peer offers",
		Long: `Take what another peer offers under the number N (quicpeer file list), wait until
it is there, and print where that is.

Exit status: 0 it is there (or accepted, with --no-wait); 5 it goes on in the
running peer; 1 it was refused, or has failed.`,
		Args: args(1, 1, "N"), ValidArgsFunction: a.numbers(func(s files.State, ours bool) bool { return !ours && s == files.StateOffered }),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := fileNumber(args[0])
			if err != nil {
				return err
			}
			if dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			client, err := a.find(cmd.Context())
			if err != nil {
				return err
			}
			c := a.course(noWait)
			c.file, c.accepts = file, true
			err = a.do(cmd.Context(), client, map[string]any{"cmd": "file_accept", "file": file, "dir": dir}, noWait, c.take)
			c.clear()
			return c.outcome(err, "was accepted")
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "where it goes")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it is there")
	return cmd
}

func (a filing) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel N", Short: "Withdraw an offer, or decline or stop one of another peer", Args: args(1, 1, "N"),
		ValidArgsFunction: a.numbers(func(s files.State, _ bool) bool { return !s.Over() }),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := fileNumber(args[0])
			if err != nil {
				return err
			}
			return a.simple(cmd.Context(), map[string]any{"cmd": "file_cancel", "file": file}, "files", func(control.Answer) string { return "cancelled" })
		},
	}
}

// fileNumber reads the number of a transfer.
func fileNumber(text string) (int, error) {
	file, err := strconv.Atoi(text)
	if err != nil || file < 1 {
		return 0, usagef("%q is not the number of a file: quicpeer file list has them", lines.Excerpt(text))
	}
	return file, nil
}

// fileNumbers completes the numbers of transfers.
func (a filing) numbers(wanted func(files.State, bool) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) (list []string, _ cobra.ShellCompDirective) {
		if len(given) == 0 && a.prepare(cmd.Root()) == nil {
			if client, err := a.find(cmd.Context()); err == nil {
				list, _ = client.Files(cmd.Context(), wanted) // without an answer there is nothing to complete
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
