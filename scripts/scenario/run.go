package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"quicpeer/scripts/internal/harness"
)

// environment is that of a peer's processes.
func environment(s *scenario, name string) []string {
	env := append(harness.Environment(filepath.Join(s.work, ".home", name)), "XDG_RUNTIME_DIR="+s.sockets, "TMPDIR="+s.sockets) // peers of the machine are none of the scenario's
	return append(env, s.engine.env...)
}

// ask asks a running peer by a command of the program, and checks its exit status and what it
// prints. Groups of the pattern become the variables NAME.1, NAME.2 and so on.
func ask(s *scenario, args []string) {
	name, status, words := args[0], args[1], args[2:]
	var pattern string
	if n := len(words); n > 1 && words[n-2] == ":" {
		words, pattern = words[:n-2], words[n-1]
	}
	want, err := strconv.Atoi(status)
	s.must(err)
	s.require(len(words) > 0)
	if p := s.named(name); p != nil {
		words = append([]string{words[0], "--state-dir", p.dir}, words[1:]...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // only a process that hangs comes to that
	defer cancel()
	cmd := exec.CommandContext(ctx, s.engine.program, words...)
	cmd.Dir, cmd.Env = s.work, environment(s, name)
	s.engine.show.typed(name, "quicpeer "+strings.Join(words, " "))
	output, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		s.must(err)
	}
	for line := range bytes.Lines(output) {
		s.engine.show.saw(name, strings.TrimRight(string(line), "\r\n"))
	}
	if got != want {
		s.fail("quicpeer %s ended with status %d, not %d\n%s", strings.Join(words, " "), got, want, indent(string(output)))
	}
	re, err := regexp.Compile("(?m)" + pattern)
	s.must(err)
	groups := re.FindSubmatch(output)
	if groups == nil {
		s.fail("quicpeer %s printed nothing that matches %s\n%s", strings.Join(words, " "), pattern, indent(string(output)))
	}
	for i, group := range groups[1:] {
		s.ts.Setenv(name+"."+strconv.Itoa(i+1), string(group))
	}
}
