package cli

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// A line that is refused for any reason makes the run fail, naming the first such line;
// all others are executed.
func TestRefusedLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20+1)
	for name, test := range map[string]struct {
		text bool
		line string
		why  string
	}{
		"an unknown command":    {true, "/sned bob hi", "no command /sned"},
		"a command with more":   {true, "/peers now", "stands alone"},
		"no ID":                 {true, "@b/b: hi", "not a valid ID"},
		"no text":               {true, "@bob", "@ID text"},
		"no UTF-8":              {true, "caf\xe9", "not UTF-8"},
		"to everyone, too long": {true, long, "at most 65536"},
		"to one, too long":      {true, "@bob " + long, "at most 1048576"},
		"to oneself":            {true, "@me hi", "to itself"},
		"far too long":          {true, strings.Repeat("x", lines.MaxLine+1), "longer than 8 MiB"},
		"no address":            {true, "/join", "/join HOST:PORT"},
		"two addresses":         {true, "/join a:1 b:1", "/join HOST:PORT"},
		"no answer":             {true, "/join dead:1", "dead:1: no answer"},
		"no answer, in JSON":    {false, `{"cmd":"join","address":"dead:1"}`, "dead:1: no answer"},
		"no admin":              {true, "/invite eve", "not private"},
		"no act":                {true, "/remove", "/remove ID [all]"},
		"no admin, in JSON":     {false, `{"cmd":"remove","to":"eve"}`, "not private"},
		"no JSON":               {false, "hello", "not a JSON object"},
		"no known command":      {false, `{"cmd":"dance"}`, `no command "dance"`},
		"no known field":        {false, `{"cmd":"table","colour":"red"}`, "colour"},
		"no ID, in JSON":        {false, `{"cmd":"send","to":"b b","body":"x"}`, "an ID consists of"},
		"no UTF-8, in JSON":     {false, "{\"cmd\":\"broadcast\",\"body\":\"\xe9\"}", "UTF-8"},
		"too long, in JSON":     {false, `{"cmd":"broadcast","body":"` + long + `"}`, "at most 65536"},
		"to oneself, in JSON":   {false, `{"cmd":"send","to":"me","body":"x"}`, "to itself"},
		"far too long, in JSON": {false, strings.Repeat("x", lines.MaxLine+1), "longer than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := `{"cmd":"send","to":"bob","body":"hi"}`
				if test.text {
					good = "@bob hi"
				}
				n := linestest.New("me")
				var out buffer
				s, logs := newTestSession(n, strings.NewReader(strings.Join([]string{good, test.line, good, test.line, good}, "\n")), &out)
				s.options.json = !test.text
				e, ok := errors.AsType[*refusedError](s.run(t.Context()))
				if !ok || e.Count != 2 || e.Number != 2 || !strings.Contains(e.Why, test.why) || !strings.HasPrefix(test.line, strings.TrimSuffix(e.Line, "…")) {
					t.Errorf("%+v", e)
				}
				if got := strings.Join(n.Sent(), "|"); got != "bob: hi|bob: hi|bob: hi" {
					t.Errorf("sent %.100q", got)
				}
				if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); !strings.Contains(lines[len(lines)-1], "left") {
					t.Errorf("the last line: %q", lines[len(lines)-1])
				}
				if strings.Count(logs.String(), "was refused") != 2 {
					t.Errorf("the log: %.1000q", logs.String())
				}
			})
		})
	}
}

// A message that is refused later, from the backlog, counts as well.
func TestRefusedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full, n.Stuck = make(chan struct{}), "bob"
		r := startSession(t, n, false)
		r.write(send("bob", "1"), send("me", "2"))
		r.in.Close()
		close(n.Full)
		if e, ok := errors.AsType[*refusedError](<-r.ended); !ok || e.Count != 1 || e.Number != 2 || !strings.Contains(e.Why, overlay.ErrToSelf.Error()) {
			t.Errorf("%+v", e)
		}
	})
}

// A user at a terminal has seen what was refused.
func TestRefusedOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		s, logs := newTestSession(linestest.New("me"), strings.NewReader("nonsense\n"), &out)
		s.console.typed = true
		if err := s.run(t.Context()); err != nil || strings.Contains(logs.String(), "refused") {
			t.Errorf("%v; the log: %s", err, logs.String())
		}
	})
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if newConsole(f, &buffer{}, &buffer{}, environment()).typed {
		t.Error("the null device is taken for a terminal")
	}
}
