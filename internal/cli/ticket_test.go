package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

var (
	testTicket = &certs.Ticket{
		Network: certs.PublicKey{1}, Name: "home", Seed: [16]byte([]byte("0123456789abcdef")), ID: "bob",
		Doors: []certs.TicketDoor{{Address: "127.0.0.1:9"}},
	}
	testText = testTicket.Text()
)

// A ticket gives the ID, however it was pasted, and may stand beside addresses.
func TestJoinByTicket(t *testing.T) {
	pasted := " " + strings.ToUpper(testText[:40]) + "\r\n  " + testText[40:]
	for name, test := range map[string]struct {
		args []string
		env  []string
		join []string
	}{
		"alone":              {args: []string{"-join", testText}},
		"pasted":             {args: []string{"-j", pasted}},
		"by variable":        {env: []string{"QUICPEER_JOIN=" + pasted}},
		"with its ID":        {args: []string{"--join=" + testText, "--id", "bob"}},
		"with its network":   {args: []string{"--join=" + testText, "--network", "home"}},
		"beside addresses":   {args: []string{"--join", "a:1," + testText, "--join", "b:2"}, join: []string{"a:1", "b:2"}},
		"a host of its name": {args: []string{"--join", testText, "--join", "qp1.example:5000"}, join: []string{"qp1.example:5000"}},
	} {
		o, err := parseOptions(test.args, environment(test.env...))
		if err != nil || o.id != "bob" || o.visitor || o.askTicket || fmt.Sprint(o.join) != fmt.Sprint(append(test.join, testText)) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	for _, env := range []string{"", "QUICPEER_JOIN=-"} {
		args := []string{"--join", "a:1", "-join", "-"}
		if env != "" {
			args = nil
		}
		o, err := parseOptions(args, environment(env))
		if err != nil || !o.askTicket || o.id != "" || len(o.join) != len(args)/4 {
			t.Errorf("%q %s: %+v, %v", args, env, o, err)
		}
	}
}

// A private network is made by a peer that keeps its key, and begins nowhere else.
func TestPrivateFlag(t *testing.T) {
	for _, args := range []string{"--private --id bob", "--private --state-dir d", "--private --id bob --network " + strings.Repeat("x", 24)} {
		if o, err := parseOptions(strings.Fields(args), environment()); err != nil || !o.private {
			t.Errorf("%s: %+v, %v", args, o, err)
		}
	}
	if o, err := parseOptions([]string{"--id", "bob"}, environment("QUICPEER_PRIVATE=true")); err != nil || !o.private {
		t.Errorf("by variable: %+v, %v", o, err)
	}
}

// An error of a ticket does not show it.
func TestTicketRefused(t *testing.T) {
	const typo = "the ticket is mistyped or cut off: its last characters don't fit"
	for _, test := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{"--join", testText[:100]}, "", "--join: " + typo},
		{nil, "QUICPEER_JOIN=" + testText + "x", "QUICPEER_JOIN: " + typo},
		{[]string{"--join", testText, "--id", "robert"}, "", "the ticket is for the ID bob, not robert"},
		{[]string{"--join", testText, "--network", "work"}, "", `the ticket is for the network "home", not "work"`},
		{[]string{"--join", testText, "--join", testText}, "", "--join names two tickets"},
		{[]string{"--join", testText, "--join", "-"}, "", "--join names two tickets"},
		{[]string{"--join", "-,-"}, "", "--join names two tickets"},
		{[]string{"--join", testText[:60], testText[60:]}, "", "put a ticket with blanks or line ends into quotes"},
		{[]string{testText}, "", "a ticket is given as --join TICKET"},
		{[]string{testText[3:]}, "", `unexpected argument "aeaqaaaa…"`},
		{[]string{"--join", testText[3:]}, "", `--join="aeaqaaaa…" is not HOST:PORT`},
		{[]string{"--join", testText + ":5000x"}, "", `--join="qp1aeaqa…" is not HOST:PORT`},
		{[]string{"--id", testText}, "", `--id="qp1…" can't be used`},
		{[]string{"--drain", testText}, "", `--drain="qp1…" is not a duration`},
		{[]string{"--" + testText}, "", "there is no flag --qp1…"},
		{[]string{"-" + testText}, "", "there is no flag -"},
		{[]string{"--jion", testText}, "", "there is no flag --jion; did you mean --join?"},
		{[]string{"--jion=" + testText}, "", "there is no flag --jion; did you mean --join?"},
		{[]string{"-jion", testText}, "", "did you mean -join instead of -jion?"},
		{[]string{"--private", "--id", "bob", "--join", testText}, "", "--private makes a network, and --join joins another: leave one of them out"},
		{[]string{"--private", "--id", "bob", "--join", "a:1"}, "", "leave one of them out"},
		{[]string{"--private", "--id", "bob", "--join", "-"}, "", "leave one of them out"},
		{[]string{"--private", "--id", "bob"}, "QUICPEER_JOIN=a:1", "--private makes a network, and QUICPEER_JOIN joins another"},
		{[]string{"--private"}, "", "--private needs --id or --state-dir: the network's key must be kept"},
		{[]string{"--private", "--id", "b", "--network", strings.Repeat("x", 25)}, "", "at most 24 bytes, this one 25"},
		{[]string{"--private", "--id", "b", "--network", "a#b"}, "", "has no '#'"},
	} {
		_, err := parseOptions(test.args, environment(test.env))
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q %s: %v, not %q", test.args, test.env, err, test.want)
		} else if showsTicket(err.Error()) {
			t.Errorf("%q %s: the ticket is shown: %v", test.args, test.env, err)
		}
	}
}

// showsTicket says whether a part of the ticket that matters is in a text.
func showsTicket(s string) bool {
	for i := 8; i+12 < len(testText); i++ {
		if strings.Contains(strings.ToLower(s), testText[i:i+12]) && strings.Trim(testText[i:i+12], "a") != "" {
			return true
		}
	}
	return false
}

// The ticket is the first line of standard input, and what follows is the usual input.
func TestReadTicket(t *testing.T) {
	const typo = "its last characters don't fit"
	for name, test := range map[string]struct{ input, rest, want string }{
		"a line":           {testText + "\n@alice hi\n", "@alice hi\n", ""},
		"without an end":   {testText, "", ""},
		"with CRLF":        {testText + "\r\n@alice hi\r\n", "@alice hi\r\n", ""},
		"with a BOM":       {"\ufeff" + testText + "\n", "", ""},
		"with blanks":      {"  " + testText[:50] + " " + testText[50:] + "\n", "", ""},
		"nothing":          {"", "", "has none"},
		"an empty line":    {"\n" + testText + "\n", testText + "\n", "has none"},
		"half of it":       {testText[:50] + "\n" + testText[50:] + "\n", testText[50:] + "\n", typo},
		"something else":   {"hello\nyou", "you", "begins with qp1"},
		"a line too long":  {strings.Repeat(" ", certs.MaxTicketText+2) + testText, " " + testText, "has none"},
		"a lot of letters": {testText + strings.Repeat("a", 1<<20), "", "too long"},
	} {
		in := strings.NewReader(test.input)
		got, err := (&command{stdin: in}).askTicket(t.Context())
		rest, _ := io.ReadAll(in)
		if test.want == "" && (err != nil || got.Text() != testText) || test.want != "" && (got != nil || err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, ok := errors.AsType[*usageError](err); err != nil && (!ok || showsTicket(err.Error())) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "a lot of letters" && string(rest) != test.rest || len(rest) < len(test.input)-certs.MaxTicketText-2 {
			t.Errorf("%s: %q is left", name, rest)
		}
	}
	failed := errors.New("unplugged")
	if _, err := readTicket(readerFunc(func([]byte) (int, error) { return 0, failed })); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}

// A signal ends the waiting for a ticket in good order.
func TestAskTicketInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		c := &command{stdin: r, args: []string{"-join", "-"}, getenv: environment()}
		done := make(chan error)
		go func() { done <- c.run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
	})
}

// Neither the log nor the last line shows a ticket, wherever they have it from.
func TestTicketIsNotLogged(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var b bytes.Buffer
		s := &session{console: &console{}, options: options{watching: watching{logJSON: asJSON, logLevel: slog.LevelDebug}}}
		s.log = newLog(&b, s.options, false)
		s.start = func(context.Context, overlay.Config) (node, error) { return nil, errors.New("x") }
		if _, err := s.join(t.Context(), overlay.Config{Join: []string{"a:1", testText}}); err == nil {
			t.Fatal("joined")
		}
		s.log.Info(testText, "text", "at "+testText, "error", fmt.Errorf("dial %s", testText), "list", []string{testText}, "n", 7)
		report(&b, &overlay.UnreachableError{Failures: []string{testText + ": no answer"}})
		if strings.Count(b.String(), "qp1…") != 6 || showsTicket(b.String()) || !strings.Contains(b.String(), "a:1") {
			t.Errorf("logged:\n%s", b.String())
		}
	}
}

// The founder of a private network is told once what to keep.
func TestKeepTheKey(t *testing.T) {
	for name, test := range map[string]struct {
		before, made, asJSON bool
		told                 bool
	}{
		"begun": {made: true, told: true}, "begun, JSON": {made: true, asJSON: true, told: true},
		"started again": {before: true, made: true}, "its key is elsewhere": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				key := filepath.Join(dir, "network.key")
				make := func() { os.WriteFile(key, nil, 0o600) }
				if test.before {
					make()
				}
				var out buffer
				s, logs := newTestSession(linestest.New("me"), strings.NewReader("/quit\n"), &out)
				if s.options.json, s.options.private = test.asJSON, true; test.asJSON {
					s.console.stdin = strings.NewReader(`{"cmd":"leave"}`)
				}
				s.state = &overlay.State{Dir: dir}
				s.start = func(_ context.Context, cfg overlay.Config) (node, error) {
					if !cfg.Private {
						t.Error("not private")
					}
					if test.made {
						make()
					}
					return linestest.New("me"), nil
				}
				if err := s.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				where := out.String()
				if test.asJSON {
					where = logs.String()
				}
				if told := strings.Contains(where, "keep a copy of") && strings.Contains(where, key); told != test.told {
					t.Errorf("told: %v\n%s%s", told, out.String(), logs.String())
				}
			})
		})
	}
}
