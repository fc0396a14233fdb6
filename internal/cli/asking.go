package cli

import (
	"context"
	"errors"
	"slices"

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

// commonFlags are those of the root that all commands have.
var commonFlags = []string{"id", "state-dir", "json"}

var commonUsage = map[string]string{
	"id":        "the ID of the peer that is asked",
	"state-dir": "its state directory; with neither, the only peer of this user that runs",
	"json":      "print JSON lines",
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
	dir, err := stateDirectory(a.v.options, a.getenv)
	if err != nil {
		return nil, err
	}
	a.client, err = control.Find(ctx, dir, a.getenv)
	return a.client, err
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

var errLeft = errors.New("the peer has left before it had done this")
