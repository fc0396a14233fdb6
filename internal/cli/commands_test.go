package cli

import (
	"errors"
	"strings"
	"testing"

	"quicpeer/internal/control"
)

// The first word that is neither a flag nor the value of one is the command; flags before and
// behind it may have one dash.
func TestCommandLine(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"status", "status"},
		{"-id bob status -json", "--id bob status --json"},
		{"-i send status", "-i send status"}, // a peer with the ID send
		{"send bob -wait 5s -no-wait hi", "send bob --wait 5s --no-wait hi"},
		{"send bob -- -json", "send bob -- -json"},
		{"send -state-dir send bob hi", "send --state-dir send bob hi"},
		{"completion bash -no-descriptions", "completion bash --no-descriptions"},
		{"-json completion -help", "--json completion --help"},
		{"ping bob -c 3", "ping bob -c 3"},
		{"help send", "help send"},
		{"__complete send -id", "__complete send -id"},
		// These run a peer, or are its wrong command lines.
		{"", ""},
		{"--id send", ""},
		{"-listen :5000 -join status", ""},
		{"-- send", ""},
		{"sned bob", ""},
		{"--help send", ""},
		{"-version send", ""},
	} {
		c := &command{args: strings.Fields(test.args), getenv: environment()}
		args, ok := c.commandLine()
		if got := strings.Join(args, " "); ok != (test.want != "") || got != test.want {
			t.Errorf("%s became %q (%v), want %q", test.args, got, ok, test.want)
		}
	}
}

// A wrong command line of a command is a usage error that names it; without a
// running peer the rest is a NoPeerError.
func TestCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ args, env, want string }{
		{"send", "", "it is quicpeer send TO [TEXT...]"},
		{"send bob hi --wiat 3s", "", "there is no flag --wiat; did you mean --wait?"},
		{"send bob hi --wait", "", "--wait needs a value: a duration"},
		{"send bob hi --wait=-1s", "", "negative"},
		{"send b/b hi", "", "neither an ID nor a #room nor *"},
		{"--listen :5 send bob hi", "", "--listen is for starting a peer"},
		{"events --from x", "", "is not a position"},
		{"ping bob -c 0", "", "above 0"},
		{"--tag role=db status", "", "--tag is for starting a peer"},
		{"status now", "", "it is quicpeer status"},
		{"status -i b/b", "", "--id=\"b/b\" can't be used"},
		{"status", "QUICPEER_JSON=maybe", `QUICPEER_JSON="maybe" is not true or false`},
		{"status", "QUICPEER_ID=b/b", "can't be used"},
		{"attach --json", "", "attach is for people"},
		{"sned bob", "", `unexpected argument "sned": did you mean quicpeer send?`},
		{"status", "", ""}, {"status", "QUICPEER_ID=bob", ""}, {"send bob hi", "QUICPEER_STATE_DIR=" + dir, ""}, {"leave --state-dir " + dir, "", ""},
	} {
		var out, log buffer
		c := &command{args: strings.Fields(test.args), getenv: environment(test.env, "HOME="+dir, "TMPDIR="+dir), stdin: strings.NewReader(""), stdout: &out, stderr: &log, interrupt: func() {}}
		err := c.run(t.Context())
		if test.want == "" {
			if _, ok := errors.AsType[*control.NoPeerError](err); !ok || report(&log, err) != statusNoPeer || !strings.Contains(log.String(), "; start one: quicpeer --") {
				t.Errorf("%s %s: %v, %q", test.args, test.env, err, log.String())
			}
			continue
		}
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), test.want) || out.String() != "" {
			t.Errorf("%s %s: %v, %q", test.args, test.env, err, out.String())
		}
	}
}

// The help of each command says how it is used.
func TestCommandHelp(t *testing.T) {
	for _, name := range commandNames() {
		var out buffer
		c := &command{args: []string{name, "--help"}, getenv: environment(), stdout: &out, stderr: &out}
		if err := c.run(t.Context()); err != nil || !strings.Contains(out.String(), "Usage:\n  quicpeer "+name) {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
		if !strings.Contains(helpText, name) {
			t.Errorf("the help lacks the command %s", name)
		}
	}
}

func TestHistorySize(t *testing.T) {
	for text, want := range map[string]int64{"16M": 16 << 20, "256m": 256 << 20, "1G": 1 << 30, "1GiB": 1 << 30, "16777216": 16 << 20, "2TB": 2 << 40} {
		o, err := parseOptions([]string{"--history-size", text, "--history-messages", "5"}, environment())
		if err != nil || o.history.Bytes != want || o.history.Messages != 5 {
			t.Errorf("%s: %+v, %v", text, o.history, err)
		}
	}
	for _, args := range []string{"--history-size 1M", "--history-size 99999999999G", "--history-size big", "--history-size -1G", "--history-messages 0", "--history-messages x", "--no-history --history-size 1G"} {
		if _, err := parseOptions(strings.Fields(args), environment()); err == nil {
			t.Errorf("%s: accepted", args)
		}
	}
}
