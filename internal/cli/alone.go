package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"quicpeer/certs"
	"quicpeer/internal/control"
	"quicpeer/internal/terminal"
	"quicpeer/overlay/files"
)

// peerFlags gives a command those of a peer, hidden.
func peerFlags(cmd *cobra.Command) *pflag.FlagSet {
	flags := newFlagSet(&values{})
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden = true; f.Name != "help" && f.Name != "version" && !slices.Contains(commonFlags, f.Name) { // which it has
			cmd.Flags().AddFlag(f)
		}
	})
	return flags
}

// flagsOf is the command line of a peer with the flags of one that were given; nil: none of them was. The ID and the state
// directory alone name a peer that runs.
func (a filing) flagsOf(cmd *cobra.Command, peer *pflag.FlagSet) (args []string) {
	add := func(f *pflag.Flag) {
		list, ok := f.Value.(pflag.SliceValue)
		switch {
		case !f.Changed:
		case ok:
			for _, value := range list.GetSlice() {
				args = append(args, "--"+f.Name+"="+value)
			}
		default:
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	}
	if peer.VisitAll(add); args == nil {
		return nil
	}
	for _, name := range commonFlags {
		add(cmd.Root().PersistentFlags().Lookup(name))
	}
	return args
}

// ofOwn reads the flags of a peer that is started for a command.
func (a filing) ofOwn(args []string) (options, error) {
	o, err := parseOptions(args, a.getenv)
	if err != nil {
		return o, err
	}
	if o.json, o.noInput = true, false; !o.levelGiven {
		o.logLevel = slog.LevelWarn // people wait for the files
	}
	return o, nil
}

// alone runs a peer for one transfer, until that is over. Each gets its events, and says what it is to do, if anything. The
// error is that of the run.
func (a filing) alone(ctx context.Context, o options, c *course, each func(control.Answer) map[string]any) error {
	if o.askTicket {
		ticket, err := a.askTicket(ctx)
		if err != nil || ticket == nil {
			return err
		}
		if err := o.useTicket(ticket); err != nil {
			return err
		}
	}
	input, typed := io.Pipe()
	events, output := io.Pipe()
	peer := *a.command
	peer.stdin, peer.stdout = input, output
	ended := make(chan error, 1)
	go terminal.Guarded(func() {
		err := peer.runPeer(ctx, o)
		_ = output.Close()
		_ = typed.Close() // ends a read
		ended <- err
	})
	commands := make(chan map[string]any, 4) // the three that there are at most
	go terminal.Guarded(func() {
		e := json.NewEncoder(typed)
		for c := range commands {
			if e.Encode(c) != nil {
				return // the peer has ended
			}
		}
	})
	defer close(commands)
	defer c.clear()
	left := false
	for r := bufio.NewReader(events); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return <-ended
		}
		var e control.Answer
		if json.Unmarshal(line, &e) != nil {
			continue // an event of another form
		}
		e.Line = line
		if command := each(e); command != nil {
			commands <- command
		}
		c.takeOwn(e)
		if c.over && !left {
			left = true
			commands <- map[string]any{"cmd": "leave"}
		}
	}
}

// takeOwn takes an event of a peer that has nothing else to do, and prints what it says.
func (c *course) takeOwn(e control.Answer) {
	isOffer := e.Event == "file_offered" && !c.accepts && e.From == c.self
	text := ""
	switch {
	case e.Event == "ready":
		c.self = e.ID
	case c.over || e.Event == "left":
	case e.Event == "error":
		c.over, c.err = true, &control.Refused{Problem: e.Error, Code: e.Code}
	case isOffer || c.file != 0 && (e.File == c.file || e.Message != "" && e.Message == c.message): // else of an earlier run, or another peer
		text, c.err = c.take(e)
	}
	if err := c.a.print(e, text); err != nil {
		c.over, c.err = true, err
	}
}

// standing is how a transfer stands when a peer of its own begins.
type standing struct {
	File    int
	Message string
	Ours    bool
	From    string
	To      string
	Name    string
	Paths   []string
	State   files.State
}

// adopt goes on with a transfer that an earlier run has begun, if there is one that is wanted.
func (c *course) adopt(e control.Answer, wanted func(standing) bool) bool {
	var answer struct{ Files []standing }
	if json.Unmarshal(e.Line, &answer) != nil {
		return false // of another version
	}
	i := slices.IndexFunc(answer.Files, func(t standing) bool { return !t.State.Over() && wanted(t) })
	if i < 0 {
		return false
	}
	t := answer.Files[i]
	c.file, c.message, c.name, c.state = t.File, t.Message, t.Name, t.State
	return true
}

// sendFilesAlone starts a peer that sends them, and leaves when the receiver has them.
func (a filing) sendFilesAlone(ctx context.Context, s sending, flags []string) error {
	o, err := a.ofOwn(flags)
	if err != nil {
		return err
	}
	input := s.paths[0] == "-"
	switch {
	case s.isWide() || s.noWait:
		return usagef("a peer of its own leaves when the receiver has the files: start one that stays, and send without the flags of a peer")
	case input && o.askTicket:
		return usagef("standard input can't be both the ticket and what is sent")
	case input:
		dir, err := a.spool(ctx, &s, "")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if s.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	c := a.course(false)
	err = a.alone(ctx, o, c, func(e control.Answer) map[string]any {
		switch {
		case e.Event == "ready":
			return map[string]any{"cmd": "files"}
		case e.Event == "files" && c.file == 0 && !c.adopt(e, s.isOf):
			return s.command(false)
		}
		return nil
	})
	return c.ofOwn(err, s.to+" does not have it yet", !input && a.keeps(o))
}

// receiveCommand is quicpeer file receive.
func (a filing) receiveCommand() *cobra.Command {
	dir, from := ".", ""
	cmd := &cobra.Command{
		Use: "receive", Short: "Start a peer that takes the first offer, and leaves",
		Long: `Start a peer that takes the first offer of files, or the first one of a peer, waits
until they are there, prints where, and leaves. It has the flags of a peer, such
as --join HOST:PORT, --listen and --id (quicpeer --help lists them). With an ID
it goes on with what an earlier start has begun. A peer that runs takes files
with quicpeer file accept, or with --accept-files.

Exit status: 0 they are there; 1 they were refused, or it has failed; the others
are those of a peer.`,
		Args: args(0, 0, "[flags]"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "where they go")
	cmd.Flags().StringVar(&from, "from", "", "take only what this peer offers")
	peer := peerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := certs.ParseID(from); err != nil && from != "" {
			return usagef("--from=%q is not a valid ID: %v", from, err)
		}
		o, err := a.ofOwn(a.flagsOf(cmd, peer))
		if err != nil {
			return err
		}
		o.visitor = false // others are to write to it
		if dir, err = filepath.Abs(dir); err != nil {
			return err
		}
		return a.receiveFiles(cmd.Context(), o, from, dir)
	}
	return cmd
}

func (a filing) receiveFiles(ctx context.Context, o options, from, dir string) error {
	c := a.course(false)
	c.accepts, c.why = true, "nothing was offered"
	isFrom := func(peer string) bool { return from == "" || peer == from }
	accept := func(file int) map[string]any {
		c.file = file
		return map[string]any{"cmd": "file_accept", "file": file, "dir": dir}
	}
	err := a.alone(ctx, o, c, func(e control.Answer) map[string]any {
		switch {
		case c.file != 0:
		case e.Event == "ready":
			c.meter.show("waiting for files, as " + e.ID)
			return map[string]any{"cmd": "files"}
		case e.Event == "files":
			if c.adopt(e, func(t standing) bool { return !t.Ours && isFrom(t.From) }) && c.state == files.StateOffered {
				return accept(c.file)
			}
		case e.Event == "file_offered" && e.From != c.self && isFrom(e.From) && e.Accepted, e.Event == "file_done" && len(e.Paths) > 0 && isFrom(e.Peer):
			c.file = e.File
		case e.Event == "file_offered" && e.From != c.self && isFrom(e.From):
			return accept(e.File)
		}
		return nil
	})
	return c.ofOwn(err, "nothing is there yet", c.file != 0 && a.keeps(o))
}

// keeps says whether a later start goes on with what a peer has begun.
func (a filing) keeps(o options) bool { return o.stateDir != "" || o.id != "" }

// ofOwn is the result of a command that has run a peer of its own, which has ended with err.
func (c *course) ofOwn(err error, not string, kept bool) error {
	switch {
	case c.over:
		return c.err
	case err != nil:
		return err
	case kept:
		return &waitsError{not + " (" + c.why + "); the next start with the same flags goes on"}
	}
	return errors.New(not + " (" + c.why + ")")
}
