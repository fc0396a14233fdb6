package cli

import (
	"testing"

	"quicpeer/internal/terminal"
)

// What a terminal gets depends on its name, and on what its user has asked for.
func TestConsoleOfTerminal(t *testing.T) {
	for _, test := range []struct {
		environment    []string
		prompt, colour bool
	}{
		{[]string{"TERM=xterm"}, true, true},
		{[]string{"TERM=xterm", "NO_COLOR=1"}, true, false},
		{[]string{"TERM=dumb"}, false, false},
		{[]string{"TERM=xterm", "ACCESSIBLE=1"}, false, false},
	} {
		_, file := openTerminal(t)
		stream := &terminal.Stream{File: file}
		c := newConsole(stream, stream, stream, environment(test.environment...))
		if prompt := c.prompt != nil; prompt != test.prompt || c.colour != test.colour || c.logColour != test.colour {
			t.Errorf("%v: prompt %v, colours %v, in the log %v", test.environment, prompt, c.colour, c.logColour)
		}
	}
}
