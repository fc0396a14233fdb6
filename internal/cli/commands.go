package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"quicpeer/internal/lines"
)

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
	root.AddCommand(a.sendCommand(), a.eventsCommand(), a.historyCommand(), a.joinCommand(), a.leaveCommand(), a.cancelCommand(), a.pingCommand(), a.attachCommand(), a.doctorCommand(), a.fileCommand())
	root.AddCommand(a.answerCommands()...)
	root.AddCommand(a.adminCommands()...)
	root.InitDefaultCompletionCmd("")
	cobra.MousetrapHelpText = "" // a peer may be started by a double click
	return &tree{a, root}
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
			if cmd == t.root {
				return nil, false
			}
			return append(args, rest...), true
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
