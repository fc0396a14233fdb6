package hooks

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"quicpeer/overlay"
)

// prefix is that of the variables which say something about a message. Flags of the program have
// variables of the same prefix; a command gets none of those, since one may hold a ticket, and
// another may be taken for a fact about the message.
const prefix = "QUICPEER_"

// cleanEnvironment is that of this process without our variables.
func cleanEnvironment() []string {
	var list []string
	for _, item := range os.Environ() {
		if !strings.HasPrefix(item, prefix) {
			list = append(list, item)
		}
	}
	return list
}

// facts are the variables that say something about a message.
func facts(m overlay.Message) []string {
	list := []string{
		prefix + "FROM=" + string(m.From),
		prefix + "TO=" + string(m.To),
		prefix + "ID=" + m.ID.String(),
		prefix + "SENT_AT=" + m.SentAt.UTC().Format(time.RFC3339Nano),
		prefix + "KEY=" + m.Key.String(),
		prefix + "PATH=" + string(m.Path),
	}
	if m.Before {
		list = append(list, prefix+"BEFORE=1")
	}
	if m.Unproved {
		list = append(list, prefix+"UNPROVED=1")
	}
	if m.Kind != "" {
		list = append(list, prefix+"KIND="+string(m.Kind))
	}
	if m.About != (overlay.MessageID{}) {
		list = append(list, prefix+"ABOUT="+m.About.String())
	}
	if m.Binary {
		list = append(list, prefix+"BINARY=1")
	}
	if m.NewKey {
		list = append(list, prefix+"NEW_KEY=1")
	}
	return list
}

// command is the command for a message. When ctx ends it is killed with all that it has started.
func (r *runner) command(ctx context.Context, m overlay.Message) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.Env = append(r.environment[:len(r.environment):len(r.environment)], facts(m)...)
	cmd.Stdin = strings.NewReader(m.Body)
	cmd.WaitDelay = lateOutput
	ownGroup(cmd)
	return cmd
}
