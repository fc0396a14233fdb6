package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"quicpeer/certs"
	"quicpeer/internal/control"
	"quicpeer/internal/lines"
)

// asking is a command that asks a running peer.
type asking struct {
	*command
	v      *values // of the flags that all commands have
	out    *lines.Output
	client *control.Client // of the peer, once it was found
}

// commandNames are those of the commands that ask a running peer, for "did you mean".
func commandNames() (names []string) {
	for _, cmd := range (&command{}).tree(nil).root.Commands() {
		names = append(names, cmd.Name())
	}
	return names
}

// tree is the commands.
type tree struct {
	*asking
	root *cobra.Command
}

// tree builds the commands. The root, which runs a peer, is there for their flags and for
// completion: run has parsed its own command line.
func (c *command) tree(out *lines.Output) *tree {
	v := &values{}
	a := &asking{command: c, v: v, out: out}
	root := &cobra.Command{
		Use: "quicpeer", SilenceErrors: true, SilenceUsage: true, TraverseChildren: true, Args: cobra.ArbitraryArgs,
		Run: func(*cobra.Command, []string) {},
	}
	flags := newFlagSet(v)
	root.SetGlobalNormalizationFunc(flags.GetNormalizeFunc())
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(commonFlags, f.Name) {
			root.PersistentFlags().AddFlag(f)
			f.Usage = commonUsage[f.Name]
			return
		}
		root.Flags().AddFlag(f)
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		e := flagError(cmd.Flags(), err)
		return usagef("%s", strings.ReplaceAll(e.Error(), "quicpeer --help", cmd.CommandPath()+" --help"))
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(out, cmd) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.prepare(root) }
	root.AddCommand(a.sendCommand(), a.eventsCommand(), a.historyCommand(), a.joinCommand(), a.leaveCommand(), a.cancelCommand(), a.pingCommand(), a.attachCommand())
	root.AddCommand(a.answerCommands()...)
	root.AddCommand(a.adminCommands()...)
	root.InitDefaultCompletionCmd("")
	cobra.MousetrapHelpText = "" // a peer may be started by a double click
	return &tree{a, root}
}

// commonFlags are those of the root that all commands have.
var commonFlags = []string{"id", "state-dir", "json"}

var commonUsage = map[string]string{
	"id":        "the ID of the peer that is asked",
	"state-dir": "its state directory; with neither, the only peer of this user that runs",
	"json":      "print JSON lines",
}

// commandLine says whether a command other than the root is meant, and returns its arguments with
// two dashes before long flags.
func (c *command) commandLine() (args []string, ok bool) {
	var v values
	before, word := walk(newFlagSet(&v), c.args)
	if word < 0 {
		return nil, false
	}
	for _, arg := range before[:word] {
		if slices.Contains([]string{"-h", "--help", "--version"}, arg) {
			return nil, false
		}
	}
	t := c.tree(nil)
	if name := c.args[word]; name == cobra.ShellCompRequestCmd || name == cobra.ShellCompNoDescRequestCmd {
		return c.args, true
	}
	args = slices.Clone(before[:word])
	cmd, rest := t.root, c.args[word:]
	for {
		next := childOf(cmd, rest[0])
		if next == nil {
			return append(args, rest...), cmd != t.root
		}
		args, cmd, rest = append(args, rest[0]), next, rest[1:]
		cmd.InitDefaultHelpFlag()
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.AddFlagSet(cmd.Flags())
		flags.AddFlagSet(t.root.PersistentFlags())
		fixed, word := walk(flags, rest)
		if word < 0 || !cmd.HasSubCommands() {
			return append(args, fixed...), true
		}
		args, rest = append(args, fixed[:word]...), rest[word:]
	}
}

func childOf(cmd *cobra.Command, name string) *cobra.Command {
	if name == "help" && !cmd.HasParent() {
		return &cobra.Command{Use: "help"}
	}
	for _, child := range cmd.Commands() {
		if child.Name() == name {
			return child
		}
	}
	return nil
}

// ask runs a command other than the root.
func (c *command) ask(ctx context.Context, args []string) error {
	t := c.tree(lines.NewOutput(c.stdout))
	t.root.SetOut(t.out)
	t.root.SetErr(c.stderr)
	t.root.SetIn(c.stdin)
	t.root.SetArgs(args)
	err := t.root.ExecuteContext(ctx)
	if t.client != nil {
		t.client.Close()
	}
	if err == nil {
		_, err = t.out.Write(nil) // what cobra has written may have failed
	}
	return err
}

// prepare checks the flags before the name of the command, and takes the common ones from the
// environment where they were not given.
func (a *asking) prepare(root *cobra.Command) (err error) {
	root.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && err == nil && f.Name != "help" {
			err = usagef("--%s is for starting a peer; %s", f.Name, "a command asks one that runs")
		}
	})
	if err != nil {
		return err
	}
	for _, name := range commonFlags {
		f := root.PersistentFlags().Lookup(name)
		variable, value := fromEnvironment(name, a.getenv)
		if !f.Changed && value != "" && f.Value.Set(value) != nil {
			return usagef("%s=%q is not %s", variable, value, wanted(f))
		}
	}
	if a.v.id != "" {
		id, err := certs.ParseID(a.v.id)
		if err != nil {
			return usagef("--id=%q can't be used: %v", a.v.id, err)
		}
		a.v.options.id = id
	}
	return nil
}

// find finds the running peer.
func (a *asking) find(ctx context.Context) (*control.Client, error) {
	dir, err := stateDirOf(a.v.options, a.getenv)
	if err != nil {
		return nil, err
	}
	a.client, err = control.Find(ctx, dir, a.getenv)
	return a.client, err
}

// writeHelp is the help of a command.
func writeHelp(out *lines.Output, cmd *cobra.Command) {
	if !cmd.HasParent() {
		fmt.Fprint(out, helpText)
		return
	}
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n", strings.TrimSpace(about), cmd.UseLine())
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() {
			fmt.Fprintf(out, "  %s\n", child.UseLine())
		}
	}
	cmd.InitDefaultHelpFlag()
	if usages := cmd.LocalFlags().FlagUsages() + cmd.InheritedFlags().FlagUsages(); usages != "" {
		fmt.Fprintf(out, "\nFlags:\n%s", usages)
	}
}

// args requires a number of arguments, at most -1: any, which the form shows.
func args(least, most int, form string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) < least || most >= 0 && len(given) > most {
			return usagef("it is %s %s (%s --help says more)", cmd.CommandPath(), form, cmd.CommandPath())
		}
		return nil
	}
}

// peerIDs completes IDs of peers that the running one knows, and rooms.
func (a *asking) peerIDs(others ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ids := slices.Clone(others)
		if a.prepare(cmd.Root()) != nil {
			return ids, cobra.ShellCompDirectiveNoFileComp
		}
		if client, err := a.find(cmd.Context()); err == nil {
			known, _ := client.IDs(cmd.Context()) // without an answer there is nothing to complete
			ids = append(ids, known...)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// waitsError says that what was sent waits for its receiver.
type waitsError struct{ problem string }

func (e *waitsError) Error() string { return e.problem }

var errEndedEarly = errors.New("the peer has ended its answer early: is it of another version?")
